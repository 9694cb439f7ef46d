internal import Common

/// The Content-Type of a name, by its extension (IANA media types); `application/octet-stream` for any other.
func contentType(of path: RemotePath) -> String {
  let name = path.name
  guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > name.startIndex else {
    return "application/octet-stream"
  }
  let suffix = String(decoding: name[name.index(after: dot)...], as: UTF8.self).lowercased()
  return contentTypes[suffix] ?? "application/octet-stream"
}

private let contentTypes: [String: String] = [
  "7z": "application/x-7z-compressed", "avro": "application/avro", "bmp": "image/bmp", "bz2": "application/x-bzip2",
  "css": "text/css", "csv": "text/csv", "doc": "application/msword",
  "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "edi": "application/EDIFACT",
  "gif": "image/gif", "gz": "application/gzip", "htm": "text/html", "html": "text/html", "ics": "text/calendar",
  "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript", "json": "application/json",
  "jsonl": "application/jsonl", "log": "text/plain", "md": "text/markdown", "mp3": "audio/mpeg", "mp4": "video/mp4",
  "ndjson": "application/x-ndjson", "ods": "application/vnd.oasis.opendocument.spreadsheet",
  "odt": "application/vnd.oasis.opendocument.text", "orc": "application/vnd.apache.orc",
  "parquet": "application/vnd.apache.parquet", "pdf": "application/pdf", "png": "image/png",
  "ppt": "application/vnd.ms-powerpoint",
  "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", "rtf": "application/rtf",
  "sql": "application/sql", "svg": "image/svg+xml", "tar": "application/x-tar", "tgz": "application/gzip",
  "tif": "image/tiff", "tiff": "image/tiff", "tsv": "text/tab-separated-values", "txt": "text/plain",
  "wav": "audio/wav", "webp": "image/webp", "xls": "application/vnd.ms-excel",
  "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xml": "application/xml",
  "xz": "application/x-xz", "yaml": "application/yaml", "yml": "application/yaml", "zip": "application/zip",
  "zst": "application/zstd",
]
