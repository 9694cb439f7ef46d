package import Common
internal import Foundation

/// A bucket as a client that is not ours sees it: boto3, through scripts/bucket.py.
package struct Bucket: Sendable {
  package struct Object: Equatable, Sendable {
    package let size: Int
    package let etag: String
    package let modified: String
    /// Of the bytes as downloaded; nil where only the listing was asked for.
    package let sha256: SHA256Digest?
    package let metadata: [String: String]
    package let contentType: String?
  }

  package let endpoint: String
  package let name: String
  package let accessKey: String
  package let secretKey: String

  package init(endpoint: String, name: String, accessKey: String, secretKey: String) {
    self.endpoint = endpoint
    self.name = name
    self.accessKey = accessKey
    self.secretKey = secretKey
  }

  /// Every object under a prefix, downloaded and hashed, by key. Keys are bytes: to Swift, NFC and NFD twins are equal
  /// strings.
  package func objects(under prefix: String = "") throws -> [[UInt8]: Object] { try ask("json", prefix) }

  /// The listing alone.
  package func heads(under prefix: String = "") throws -> [[UInt8]: Object] { try ask("heads", prefix) }

  private func ask(_ command: String, _ prefix: String) throws -> [[UInt8]: Object] {
    let answer = try python("scripts/bucket.py", [command, prefix], environment: environment)
    var objects: [[UInt8]: Object] = [:]
    for row in try JSONDecoder().decode([Row].self, from: Data(answer.utf8)) {
      objects[Array(row.key.utf8)] = Object(
        size: row.size, etag: row.etag, modified: row.modified, sha256: row.sha256.flatMap { SHA256Digest(hex: $0) },
        metadata: row.metadata ?? [:], contentType: row.type)
    }
    return objects
  }

  private var environment: [String: String] {
    [
      "S3_ENDPOINT": endpoint, "S3_BUCKET_NAME": name, "S3_ACCESS_KEY_ID": accessKey, "S3_SECRET_ACCESS_KEY": secretKey,
    ]
  }

  private struct Row: Decodable {
    let key: String
    let size: Int
    let etag: String
    let modified: String
    let sha256: String?
    let metadata: [String: String]?
    let type: String?
  }
}
