package import Common
internal import HTTP
package import Logging

/// What HEAD says of an object.
package struct ObjectFacts: Sendable {
  /// Bytes.
  package let size: UInt64
  /// Without the quotes; opaque.
  package let etag: String?
  package let versionID: String?
  package let contentType: String?
  /// `x-amz-meta-…`, names in lower case without that prefix.
  package let metadata: [String: String]
}

/// One bucket. Not for several threads: made, used and dropped on one. Only ``wake`` may be used from others.
package final class S3Client {
  package let settings: S3Settings
  /// Attempts sent, all operations together.
  package private(set) var requestCount = 0
  /// Tells ``put(_:)``, from any thread, that its queue has something.
  package var wake: @Sendable () -> Void {
    let waker = engine.waker
    return { waker.wake() }
  }
  /// Whether a PUT of this client has succeeded: its credentials are then good for some keys at least.
  var hasStored = false
  let engine: HTTPEngine
  let clock: Clock
  let stop: StopSignal
  let logger: Logger
  private let endpoint: Endpoint
  private let bucketPath: String
  private var signer: Signer
  /// What the server's clock is ahead of ours, milliseconds; nil until a server complained.
  private(set) var skewMilliseconds: Int64?

  /// Longest wait between two looks at the stop signal.
  static let pollMilliseconds = 250

  /// Makes the client; connects to nothing yet.
  package init(_ settings: S3Settings, clock: Clock, stop: StopSignal, logger: Logger) throws(S3Error) {
    self.settings = settings
    self.clock = clock
    self.stop = stop
    self.logger = logger
    let named = settings.addressing == .virtualHost
    // In the host name anything else could point the request, signature and all, at another server.
    let isUsable =
      named ? settings.bucket.utf8.allSatisfy(isHostByte) : !settings.bucket.utf8.contains(UInt8(ascii: "/"))
    guard !settings.bucket.isEmpty, isUsable else {
      throw S3Error(
        code: "InvalidBucketName", operation: "set up", subject: "s3://\(escaped(settings.bucket))",
        reason: "not a bucket name for \(settings.addressing.rawValue) addressing", advice: "is S3_BUCKET_NAME right?",
        severity: .configuration)
    }
    endpoint = named ? settings.endpoint.withHostPrefix(settings.bucket) : settings.endpoint
    bucketPath = named ? "" : "/" + PercentEncoding.path(settings.bucket.utf8)
    signer = Signer(credentials: settings.credentials, region: settings.region, service: settings.service)
    do {
      var http = HTTPSettings(
        userAgent: settings.userAgent, caBundlePath: settings.caBundlePath, idleSeconds: settings.timeoutSeconds,
        connectSeconds: min(10, settings.timeoutSeconds), scheme: settings.endpoint.scheme,
        heartbeat: settings.heartbeat)
      http.bandwidth = settings.bandwidth
      engine = try HTTPEngine(http)
    } catch {
      throw S3Error(
        code: error.kind.rawValue, operation: "set up", subject: settings.endpoint.description, reason: error.reason,
        severity: .other)
    }
  }

  // MARK: Operations

  /// Facts about an object, nil when there is none.
  package func head(key: [UInt8]) throws(S3Error) -> ObjectFacts? {
    let response: HTTPResponse
    do {
      response = try run(Operation(.head, key: key))
    } catch {
      if error.httpStatus == 404 { return nil }
      throw error
    }
    var metadata = [String: String]()
    for (name, value) in response.headers where name.hasPrefix("x-amz-meta-") {
      metadata[String(name.dropFirst("x-amz-meta-".count))] = value
    }
    return ObjectFacts(
      size: response.header("content-length").flatMap { UInt64($0) } ?? 0, etag: unquoted(response.header("etag")),
      versionID: response.header("x-amz-version-id"), contentType: response.header("content-type"), metadata: metadata)
  }

  /// An object's bytes, at most `maximumBytes`; a longer one is an error.
  package func get(key: [UInt8], maximumBytes: Int = 1 << 20) throws(S3Error) -> [UInt8] {
    var operation = Operation(.get, key: key)
    operation.maximumResponseBytes = maximumBytes
    return try run(operation).body
  }

  /// Removes an object; that there is none is a success, as S3 has it.
  package func delete(key: [UInt8]) throws(S3Error) { _ = try run(Operation(.delete, key: key)) }

  /// Asks whether the bucket is there and open to us. A HEAD gets no error document, so LIST with no keys asks instead
  /// when it fails: that says why.
  package func headBucket() throws(S3Error) {
    do {
      _ = try run(Operation(.head, key: nil))
    } catch {
      guard error.httpStatus != nil else { throw error }
      var listing = Operation(.get, key: nil)
      listing.query = SigV4.canonicalQuery([("list-type", Array("2".utf8)), ("max-keys", Array("1".utf8))])
      _ = try run(listing)
    }
  }

  // MARK: One request

  /// What to send, before it is signed.
  struct Operation {
    var method: HTTPRequest.Method
    /// Nil: the bucket itself.
    var key: [UInt8]?
    /// Canonical, see ``SigV4/canonicalQuery(_:)``.
    var query = ""
    var headers: [(name: String, value: String)] = []
    var body = HTTPBody.none
    var payloadSHA256 = emptySHA256
    var maximumResponseBytes = 1 << 20

    init(_ method: HTTPRequest.Method, key: [UInt8]?) {
      self.method = method
      self.key = key
    }

    /// SHA-256 of nothing.
    static let emptySHA256 = SHA256Digest.of([]).hex
  }

  /// Signs an attempt now and hands it to the engine. Throws when it can never be sent.
  func send(_ operation: Operation, ticket: Int, freshConnection: Bool) throws(TransportError) {
    let path =
      operation.key.map { "\(bucketPath)/\(PercentEncoding.path($0))" } ?? (bucketPath.isEmpty ? "/" : bucketPath)
    let headers = signer.sign(
      method: operation.method.rawValue, authority: endpoint.authority, path: path, query: operation.query,
      headers: operation.headers, payloadSHA256: operation.payloadSHA256,
      wallMilliseconds: clock.wallMilliseconds() + (skewMilliseconds ?? 0))
    var url = endpoint.description + path
    if !operation.query.isEmpty { url += "?" + operation.query }
    try engine.start(
      HTTPRequest(
        method: operation.method, url: url, headers: headers, body: operation.body,
        maximumResponseBytes: operation.maximumResponseBytes, freshConnection: freshConnection), ticket: ticket)
    requestCount += 1
  }

  /// The words for what an operation does.
  func attempt(_ method: HTTPRequest.Method, key: [UInt8]?) -> Attempt {
    let subject = "s3://\(escaped(settings.bucket))" + (key.map { "/\(escaped($0))" } ?? "")
    return Attempt(operation: method.rawValue, subject: subject, endpoint: endpoint)
  }

  /// Takes the server's clock, once; true when the request that was signed with `usedSkew` should be signed again.
  func adoptClock(_ serverMilliseconds: Int64?, usedSkew: Int64?) -> Bool {
    if skewMilliseconds == nil, let serverMilliseconds {
      let skew = serverMilliseconds - clock.wallMilliseconds()
      skewMilliseconds = skew
      logger.warning(
        "the S3 server's clock differs from this machine's; signing with the server's",
        metadata: ["seconds": "\(skew / 1000)"])
    }
    return skewMilliseconds != usedSkew
  }

  /// Sends one request and waits for its answer, trying again as the policy says.
  func run(_ operation: Operation) throws(S3Error) -> HTTPResponse {
    let words = attempt(operation.method, key: operation.key)
    var attempts = 0
    var freshConnection = false
    while true {
      if stop.isRequested { throw words.make(code: "stopped", reason: "asked to stop", severity: .temporary) }
      attempts += 1
      let usedSkew = skewMilliseconds
      let failed: FailedAttempt
      switch roundTrip(operation, freshConnection: freshConnection) {
      case .failure(let error): failed = words.failure(error)
      case .success(let response):
        guard let failure = words.failure(response) else { return response }
        failed = failure
      }
      freshConnection = failed.error.httpStatus == 503
      switch failed.verdict {
      case .final: throw failed.error
      case .skewed:
        if !adoptClock(failed.serverMilliseconds, usedSkew: usedSkew) { throw failed.error }
      case .resend where attempts >= Verdict.maximumSends: throw failed.error
      case .retry, .resend:
        guard let delay = delaySeconds(after: failed, attempts: attempts) else { throw failed.error }
        pause(seconds: delay)
      }
    }
  }

  /// Seconds to wait before the next attempt; nil when there is none.
  func delaySeconds(after failed: FailedAttempt, attempts: Int) -> Double? {
    settings.retry.delaySeconds(
      failedAttempts: attempts, throttled: failed.verdict == .retry(throttled: true),
      retryAfterSeconds: failed.retryAfterSeconds)
  }

  private func roundTrip(_ operation: Operation, freshConnection: Bool) -> Result<HTTPResponse, TransportError> {
    do {
      try send(operation, ticket: 0, freshConnection: freshConnection)
    } catch {
      return .failure(error)
    }
    var outcome: Result<HTTPResponse, TransportError>?
    var deadline = Double.infinity
    while outcome == nil {
      engine.step(waitMilliseconds: Self.pollMilliseconds) { _, result in outcome = result }
      if stop.isRequested, deadline == .infinity { deadline = monotonicSeconds() + Self.stopGraceSeconds }
      if outcome == nil, monotonicSeconds() >= deadline {
        _ = engine.abandon()
        return .failure(TransportError(kind: .other, reason: "abandoned: asked to stop"))
      }
    }
    return outcome!
  }

  private func pause(seconds: Double) {
    let end = monotonicSeconds() + seconds
    while !stop.isRequested {
      let left = end - monotonicSeconds()
      if left <= 0 { return }
      engine.step(waitMilliseconds: min(Self.pollMilliseconds, Int(left * 1000) + 1)) { _, _ in }
    }
  }

  /// Seconds that requests in flight get after the run was asked to stop.
  static let stopGraceSeconds = 8.0
}

/// An ETag without its quotes, and without the mark of a weak one.
func unquoted(_ etag: String?) -> String? {
  guard var text = etag?[...] else { return nil }
  if text.hasPrefix("W/") { text = text.dropFirst(2) }
  if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = text.dropFirst().dropLast() }
  return String(text)
}

/// Letters, digits, hyphen and dot: what a bucket's name in a host name is made of (AWS, "Bucket naming rules").
private func isHostByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."): true
  default: false
  }
}
