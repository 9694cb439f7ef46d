/// A place that objects are published to: endpoint, bucket and folder. Two runs with equal destinations share their
/// published state; change one part and everything is pending again.
package struct Destination: Hashable, Sendable, CustomStringConvertible {
  package let endpoint: Endpoint
  package let bucket: String
  /// Prefix of every key: empty, or ending in exactly one slash.
  package let folder: String

  package init(endpoint: Endpoint, bucket: String, folder: String) {
    self.endpoint = endpoint
    self.bucket = bucket
    self.folder = Self.prefix(fromFolderName: folder)
  }

  /// S3_FOLDER_NAME as a key prefix.
  ///
  /// | given | prefix |
  /// |---|---|
  /// | empty or only slashes | empty: the root of the bucket |
  /// | anything else | without leading slashes, with one trailing slash |
  package static func prefix(fromFolderName name: String) -> String {
    var bytes = Array(name.utf8)
    bytes.removeFirst(bytes.prefix { $0 == slash }.count)
    while bytes.last == slash { bytes.removeLast() }
    return bytes.isEmpty ? "" : String(decoding: bytes + [slash], as: UTF8.self)
  }

  /// The name the journal knows this destination by: `scheme://host[:port]/bucket/folder/`.
  package var description: String { "\(endpoint)/\(bucket)/\(folder)" }

  init?(_ reader: inout SettingsReader, required: Bool) {
    let given = reader.text("S3_ENDPOINT")
    let bucket = reader.text("S3_BUCKET_NAME")
    let folder = reader.text("S3_FOLDER_NAME") ?? ""
    if required {
      if given == nil, !reader.problems.contains(where: { $0.hasPrefix("S3_ENDPOINT") }) {
        reader.report("S3_ENDPOINT is not set")
      }
      if bucket == nil, !reader.problems.contains(where: { $0.hasPrefix("S3_BUCKET_NAME") }) {
        reader.report("S3_BUCKET_NAME is not set")
      }
    }
    if let bucket, !Self.isBucketName(bucket) {
      reader.report(
        "S3_BUCKET_NAME is \(quoted(bucket)); it must be 3 to 63 of a-z A-Z 0-9 . - _ (S3_FOLDER_NAME holds folders)"
      )
    }
    var endpoint: Endpoint?
    if let given {
      do throws(Endpoint.Fault) {
        endpoint = try Endpoint(parsing: given)
      } catch {
        reader.report("S3_ENDPOINT is \(quoted(given)): \(error.reason)")
      }
    }
    guard let endpoint, let bucket else { return nil }
    self.init(endpoint: endpoint, bucket: bucket, folder: folder)
  }

  private static func isBucketName(_ name: String) -> Bool {
    (3...63).contains(name.utf8.count)
      && name.utf8.allSatisfy {
        (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || (0x30...0x39).contains($0)
          || [0x2d, 0x2e, 0x5f].contains($0)
      } && name.utf8.first != 0x2e
  }
}
