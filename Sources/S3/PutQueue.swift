package import Common
internal import HTTP

/// What a PUT carries; see ``HTTPBody``. The descriptor stays the caller's and is read with pread(2) from 0.
package enum PutBody: Sendable {
  case bytes([UInt8])
  case file(descriptor: Int32, size: UInt64)

  var http: HTTPBody {
    switch self {
    case .bytes(let bytes): .bytes(bytes)
    case .file(let descriptor, let size): .file(descriptor: descriptor, size: size)
    }
  }
}

/// One object to put.
package struct PutRequest: Sendable {
  /// The caller's own number; comes back in ``PutResult``.
  package var token: Int
  /// UTF-8 bytes, never normalised, no slash in front.
  package var key: [UInt8]
  package var body: PutBody
  /// Of the body as sent.
  package var sha256: SHA256Digest
  /// Of the body as sent.
  package var md5: MD5Digest
  /// Content-Type, x-amz-meta-… and the like.
  package var headers: [(name: String, value: String)]

  package init(
    token: Int, key: [UInt8], body: PutBody, sha256: SHA256Digest, md5: MD5Digest,
    headers: [(name: String, value: String)] = []
  ) {
    self.token = token
    self.key = key
    self.body = body
    self.sha256 = sha256
    self.md5 = md5
    self.headers = headers
  }
}

/// What the server said of an object it stored.
package struct PutReceipt: Sendable {
  /// Without the quotes; opaque.
  package let etag: String?
  package let versionID: String?
  package let requestID: String?
}

/// How one request ended.
package struct PutResult: Sendable {
  package let token: Int
  /// Attempts sent; 0 when the request was never sent.
  package let attempts: Int
  package let outcome: Result<PutReceipt, S3Error>
}

/// Where ``S3Client/put(_:)`` takes its requests from and leaves their results. Called on the thread that runs it;
/// it must not block, and must not call the client.
package protocol PutQueue: AnyObject {
  func next() -> PutNext
  /// Once for every request handed out.
  func finished(_ result: PutResult)
}

package enum PutNext {
  case request(PutRequest)
  /// There is none yet: another thread calls ``S3Client/wake`` when there is one.
  case notYet
  case exhausted
}
