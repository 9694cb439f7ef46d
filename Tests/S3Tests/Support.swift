import Common
import Foundation
import HTTP
import Logging
import S3
import TestSupport

/// The shared server's settings for one bucket.
func settings(_ server: SeaweedFS, bucket: String, secret: String? = nil) -> S3Settings {
  S3Settings(
    endpoint: server.endpoint, bucket: bucket, region: server.region, service: "s3", addressing: .path,
    credentials: S3Credentials(accessKeyID: server.accessKey, secretAccessKey: Secret(secret ?? server.secretKey)),
    connections: 16, retry: RetryPolicy(maximumAttempts: 4, baseSeconds: 0.01, maximumSeconds: 0.1))
}

func client(_ settings: S3Settings, stop: StopSignal = StopSignal(), clock: Clock = .system) throws -> S3Client {
  var logger = Logger(label: "s3-tests")
  logger.logLevel = .critical
  return try S3Client(settings, clock: clock, stop: stop, logger: logger)
}

/// A new bucket on the shared server, and a client for it.
func freshBucket(_ name: String) throws -> S3Client {
  let server = try SeaweedFS.shared
  let bucket = "\(name)-\(UUID().uuidString.prefix(8).lowercased())"
  try server.makeBucket(bucket)
  return try client(settings(server, bucket: bucket))
}

func putRequest(
  _ token: Int, _ key: [UInt8], _ body: [UInt8], headers: [(name: String, value: String)] = []
) -> PutRequest {
  var hasher = ContentHasher(withMD5: true)
  hasher.update(body)
  return PutRequest(
    token: token, key: key, body: .bytes(body), sha256: hasher.sha256(), md5: hasher.md5Digest()!, headers: headers)
}

/// Hands out a fixed list and keeps the results by token.
final class ListQueue: PutQueue {
  private var waiting: [PutRequest]
  private(set) var results = [Int: PutResult]()
  /// How often a token was reported beyond once.
  private(set) var repeats = 0
  private(set) var handedOut = 0
  var onFinished: ((PutResult) -> Void)?

  init(_ requests: [PutRequest]) { waiting = requests.reversed() }

  func next() -> PutNext {
    guard let request = waiting.popLast() else { return .exhausted }
    handedOut += 1
    return .request(request)
  }

  func finished(_ result: PutResult) {
    if results.updateValue(result, forKey: result.token) != nil { repeats += 1 }
    onFinished?(result)
  }

  var errors: [S3Error] {
    results.values.compactMap { if case .failure(let error) = $0.outcome { error } else { nil } }
  }
  var successes: Int { results.count - errors.count }
}
