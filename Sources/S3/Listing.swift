internal import Common
internal import HTTP

/// An object as a listing shows it.
package struct ListedObject: Sendable {
  /// As stored, decoded.
  package let key: [UInt8]
  /// Bytes.
  package let size: UInt64
  /// Without the quotes; opaque.
  package let etag: String?
  /// RFC 3339, the server's clock.
  package let lastModified: String?
  package let storageClass: String?
}

/// One page of ListObjectsV2 (AWS, "ListObjectsV2", Response Syntax).
struct ListPage {
  var objects = [ListedObject]()
  var isTruncated = false
  var nextToken: String?

  /// Throws what is wrong with a page.
  init(_ body: [UInt8]) throws(XMLReader.Fault) {
    var raw = [(key: [UInt8], size: UInt64?, etag: String?, modified: String?, storage: String?)]()
    var current: (key: [UInt8], size: UInt64?, etag: String?, modified: String?, storage: String?) = (
      [], nil, nil, nil, nil
    )
    var isEncoded = false
    var truncated = false
    var token: String?
    var isListing = false
    try XMLReader.read(body) { path, text in
      guard path[0] == "ListBucketResult" else { return }
      isListing = true
      let value = { String(decoding: text, as: UTF8.self) }
      if path.count == 3, path[1] == "Contents" {
        switch path[2] {
        case "Key": current.key = text
        case "Size": current.size = UInt64(value())
        case "ETag": current.etag = unquoted(value())
        case "LastModified": current.modified = value()
        case "StorageClass": current.storage = value()
        default: break
        }
      } else if path.count == 2 {
        switch path[1] {
        case "Contents":
          raw.append(current)
          current = ([], nil, nil, nil, nil)
        case "EncodingType": isEncoded = value() == "url"
        case "IsTruncated": truncated = value() == "true"
        case "NextContinuationToken": token = value()
        default: break
        }
      }
    }
    if !isListing { throw XMLReader.Fault(reason: "it is not a ListBucketResult") }
    isTruncated = truncated
    nextToken = token
    objects.reserveCapacity(raw.count)
    for entry in raw {
      // EncodingType may stand after the keys it is about, so they are decoded last.
      guard let size = entry.size, let key = isEncoded ? PercentEncoding.decode(entry.key) : entry.key else {
        throw XMLReader.Fault(reason: "key \(escaped(entry.key)) is malformed or has no size")
      }
      objects.append(
        ListedObject(
          key: key, size: size, etag: entry.etag, lastModified: entry.modified, storageClass: entry.storage))
    }
  }
}

extension S3Client {
  /// Bytes of one page that are read; 1,000 keys of 1,024 bytes, all encoded, take half.
  private static let maximumPageBytes = 8 << 20

  /// Visits every object whose key begins with `prefix`, in the server's order, page by page (ListObjectsV2).
  ///
  /// Throws when a page is no listing, or when the server's marker does not advance, instead of listing for ever.
  package func list(prefix: [UInt8], visit: (ListedObject) -> Void) throws(S3Error) {
    var token: String?
    var lastKey: [UInt8]?
    while true {
      var items: [(name: String, value: [UInt8])] = [
        ("list-type", Array("2".utf8)), ("encoding-type", Array("url".utf8)), ("max-keys", Array("1000".utf8)),
      ]
      if !prefix.isEmpty { items.append(("prefix", prefix)) }
      if let token { items.append(("continuation-token", Array(token.utf8))) }
      var operation = Operation(.get, key: nil)
      operation.query = SigV4.canonicalQuery(items)
      operation.maximumResponseBytes = Self.maximumPageBytes
      let body = try run(operation).body
      let page: ListPage
      do {
        page = try ListPage(body)
      } catch {
        throw listingError("the server's list is not readable: \(error.reason)")
      }
      for object in page.objects { visit(object) }
      guard page.isTruncated else { return }
      guard let next = page.nextToken, !next.isEmpty, next != token,
        page.objects.last.map({ $0.key != lastKey }) ?? true
      else { throw listingError("the server's list does not advance") }
      token = next
      lastKey = page.objects.last?.key
    }
  }

  private func listingError(_ reason: String) -> S3Error {
    attempt(.get, key: nil).make(
      code: "bad-listing", reason: reason, advice: "is S3_ENDPOINT an S3 service?", severity: .temporary)
  }
}
