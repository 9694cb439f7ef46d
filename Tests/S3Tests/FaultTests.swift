import Common
import Foundation
import S3
import TestSupport
import Testing

/// What becomes of a PUT when the server or the network misbehaves: its outcome and the number of attempts.
@Suite struct FaultTests {
  typealias Answer = ScriptedHTTPServer.Answer

  static let ok = Answer.response(status: 200, headers: [("ETag", "\"e\"")])

  static func document(_ code: String, _ message: String = "words", extra: String = "") -> String {
    "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>\(message)</Message>\(extra)</Error>"
  }

  /// Settings for a scripted server: four attempts, a few milliseconds apart.
  static func settings(_ endpoint: Endpoint, timeoutSeconds: Int = 20) -> S3Settings {
    S3Settings(
      endpoint: endpoint, bucket: "bucket", region: "us-east-1", service: "s3", addressing: .path,
      credentials: S3Credentials(accessKeyID: "key", secretAccessKey: Secret("secret")), connections: 4,
      timeoutSeconds: timeoutSeconds, retry: RetryPolicy(maximumAttempts: 4, baseSeconds: 0.01, maximumSeconds: 0.02))
  }

  struct Outcome {
    var attempts: Int
    var error: S3Error?
    /// What put itself threw.
    var thrown: S3Error?
    var requests: [ScriptedHTTPServer.Request]
  }

  /// Puts one body of 1,000 bytes to a server with these answers.
  func put(_ answers: [Answer], timeoutSeconds: Int = 20, size: Int = 1000) throws -> Outcome {
    let server = try ScriptedHTTPServer(answers)
    defer { server.stop() }
    let client = try client(Self.settings(server.endpoint, timeoutSeconds: timeoutSeconds))
    let queue = ListQueue([putRequest(1, Array("a key".utf8), [UInt8](repeating: 0x61, count: size))])
    var thrown: S3Error?
    do {
      try client.put(queue)
    } catch { thrown = error }
    let result = try #require(queue.results[1])
    #expect(queue.repeats == 0)
    return Outcome(
      attempts: result.attempts, error: queue.errors.first, thrown: thrown, requests: server.requests)
  }

  @Test(arguments: [
    Answer.resetBeforeBody, .resetMidBody, .resetAfterBody,
    .response(status: 500), .response(status: 502, body: "<!DOCTYPE html><html>bad gateway</html>"),
    .response(status: 500, body: document("InternalError")), .response(status: 503),
    .response(status: 400, body: document("RequestTimeout")), .response(status: 408),
    .response(status: 400, body: document("BadDigest")),
    .response(status: 400, body: document("XAmzContentSHA256Mismatch")),
    .response(status: 200, body: document("InternalError")),
    .raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut sho"), .raw(""), .raw("HTTP/1.1 200 OK\r\nCont"),
  ]) func whatMayPassIsTriedAgain(_ fault: Answer) throws {
    let outcome = try put([fault, Self.ok])
    #expect(outcome.error == nil)
    #expect(outcome.thrown == nil)
    // libcurl may repeat a request of its own accord when a connection from the pool was dead; none is here.
    #expect(outcome.attempts == 2)
    #expect(outcome.requests.last?.body.count == 1000)
  }

  @Test func attemptsAreBounded() throws {
    let outcome = try put([.response(status: 500, body: Self.document("InternalError", "we broke"))])
    #expect(outcome.attempts == 4)
    #expect(outcome.error?.severity == .temporary)
    #expect(outcome.error?.description == "PUT s3://bucket/a key: InternalError: we broke")
    #expect(outcome.thrown == nil)
  }

  @Test func aBodyThatKeepsArrivingAlteredFailsItsFile() throws {
    let outcome = try put([.response(status: 400, body: Self.document("BadDigest"))])
    #expect(outcome.attempts == 3)
    #expect(outcome.error?.severity == .item)
    #expect(outcome.error?.code == "BadDigest")
  }

  @Test func aServerThatHangsTimesOut() throws {
    let outcome = try put([.hang, Self.ok], timeoutSeconds: 1)
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 2)
  }

  @Test func theServerSaysHowLongToWait() throws {
    let begin = monotonicSeconds()
    let slow = Answer.response(status: 503, headers: [("Retry-After", "2")], body: Self.document("SlowDown"))
    let outcome = try put([slow, Self.ok])
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 2)
    #expect(monotonicSeconds() - begin >= 2)
    #expect(outcome.requests.map(\.connection) == [0, 1])
  }

  @Test func theServerSaysUntilWhenToWait() throws {
    let begin = monotonicSeconds()
    let slow = Answer.response(
      status: 503,
      headers: [("Date", "Sun, 22 Nov 2015 09:00:00 GMT"), ("Retry-After", "Sun, 22 Nov 2015 09:00:01 GMT")])
    #expect(try put([slow, Self.ok]).error == nil)
    #expect(monotonicSeconds() - begin >= 1)
  }

  @Test(arguments: ["", "a/b", "evil.example.com/", "a@b", "a?b"]) func aBucketCannotBecomeAnotherHost(_ bucket: String)
    throws
  {
    var settings = try Self.settings(Endpoint(parsing: "https://s3.example.com"))
    settings.bucket = bucket
    settings.addressing = .virtualHost
    #expect(throws: S3Error.self) { try client(settings) }
  }

  @Test func everyAttemptIsSignedAgainWithTheServersClock() throws {
    let skewed = Answer.response(
      status: 403, headers: [("Date", "Sun, 22 Nov 2015 09:00:00 GMT")], body: Self.document("RequestTimeTooSkewed"))
    let outcome = try put([skewed, Self.ok])
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 2)
    let dates = outcome.requests.compactMap { $0.headers["x-amz-date"] }
    #expect(dates.last?.hasPrefix("20151122T0900") == true)
    #expect(Set(outcome.requests.compactMap { $0.headers["authorization"] }).count == 2)
  }

  @Test func theClockIsCorrectedOnce() throws {
    let skewed = Answer.response(
      status: 403, headers: [("Date", "Sun, 22 Nov 2015 09:00:00 GMT")], body: Self.document("RequestTimeTooSkewed"))
    let outcome = try put([skewed])
    #expect(outcome.attempts == 2)
    #expect(outcome.thrown?.severity == .fatal)
    #expect(outcome.thrown?.advice == "set this machine's clock")
  }

  @Test(arguments: [
    ("InvalidAccessKeyId", 403, Severity.fatal), ("SignatureDoesNotMatch", 403, .fatal), ("AccessDenied", 403, .fatal),
    ("ExpiredToken", 400, .fatal), ("InvalidToken", 400, .fatal), ("NoSuchBucket", 404, .configuration),
    ("InvalidBucketName", 400, .configuration),
  ]) func whatConcernsEveryKeyEndsThePhase(_ code: String, _ status: Int, _ severity: Severity) throws {
    let server = try ScriptedHTTPServer([.response(status: status, body: Self.document(code))])
    defer { server.stop() }
    let client = try client(Self.settings(server.endpoint))
    let queue = ListQueue((0..<500).map { putRequest($0, Array("\($0)".utf8), [1]) })
    let thrown = #expect(throws: S3Error.self) { try client.put(queue) }
    #expect(thrown?.code == code)
    #expect(thrown?.severity == severity)
    #expect(thrown?.advice != nil)
    #expect(queue.results.count == queue.handedOut)
    #expect(queue.repeats == 0)
    #expect(queue.handedOut < 20)
  }

  @Test(arguments: [
    ("KeyTooLongError", 400), ("EntityTooLarge", 400), ("InvalidArgument", 400), ("NotImplemented", 501),
    ("NoSuchUpload", 404),
  ]) func whatConcernsOneKeyFailsThatKey(_ code: String, _ status: Int) throws {
    let outcome = try put([.response(status: status, body: Self.document(code))])
    #expect(outcome.attempts == 1)
    #expect(outcome.error?.code == code)
    #expect(outcome.error?.severity == .item)
    #expect(outcome.thrown == nil)
  }

  @Test func aRedirectNamesWhereTheServerPoints() throws {
    let region = try put([
      .response(
        status: 301, headers: [("x-amz-bucket-region", "eu-west-1")],
        body: Self.document("PermanentRedirect", extra: "<Endpoint>bucket.s3.eu-west-1.example.com</Endpoint>"))
    ])
    #expect(region.thrown?.severity == .configuration)
    #expect(region.thrown?.advice == "the server wants S3_REGION=eu-west-1")
    let location = try put([.response(status: 307, headers: [("Location", "https://elsewhere.example.com/")])])
    #expect(location.attempts == 1)
    #expect(location.thrown?.reason.contains("https://elsewhere.example.com/") == true)
    let malformed = try put([
      .response(
        status: 400, body: Self.document("AuthorizationHeaderMalformed", extra: "<Region>eu-central-1</Region>"))
    ])
    #expect(malformed.thrown?.advice == "the server wants S3_REGION=eu-central-1")
  }

  @Test func aPageInsteadOfADocumentIsShownAsItIs() throws {
    let outcome = try put([.response(status: 404, body: "<!DOCTYPE html><title>Not\nFound</title>")])
    #expect(outcome.attempts == 1)
    #expect(outcome.thrown?.code == "http-404")
    #expect(outcome.thrown?.reason == "HTTP 404, not an answer of S3: <!DOCTYPE html><title>NotFound</title>")
    #expect(outcome.thrown?.advice == "is S3_ENDPOINT an S3 service?")
  }

  @Test func aServersWordsCannotForgeALine() throws {
    let outcome = try put([.response(status: 400, body: Self.document("Odd", "one\ntwo\u{202e}"))])
    #expect(outcome.error?.reason == "Odd: one\\x0atwo\\xe2\\x80\\xae")
  }

  @Test func httpAndHttpsTakenForEachOtherAreSaidPlainly() throws {
    let plain = try put([.response(status: 400, body: "Client sent an HTTP request to an HTTPS server.\n")])
    #expect(plain.thrown?.code == "https-expected")
    #expect(plain.thrown?.advice?.hasPrefix("use S3_ENDPOINT=https://127.0.0.1:") == true)
    let server = try ScriptedHTTPServer([.response(status: 400)])
    defer { server.stop() }
    let secure = try client(Self.settings(Endpoint(parsing: "https://127.0.0.1:\(server.port)")))
    let queue = ListQueue([putRequest(1, [0x61], [])])
    let thrown = #expect(throws: S3Error.self) { try secure.put(queue) }
    #expect(thrown?.severity == .configuration)
    #expect(thrown?.code == "not-tls")
    #expect(thrown?.advice?.contains("S3_ENDPOINT=http://127.0.0.1:") == true)
  }

  @Test func anAnswerWithoutEndIsCutOff() throws {
    let outcome = try put([.response(status: 400, body: String(repeating: "x", count: 2 << 20))])
    #expect(outcome.error?.code == "response-too-large")
    #expect(outcome.attempts == 1)
  }

  @Test func aHeaderThatWouldSplitTheRequestIsRefused() throws {
    let server = try ScriptedHTTPServer([Self.ok])
    defer { server.stop() }
    let client = try client(Self.settings(server.endpoint))
    let queue = ListQueue([
      putRequest(1, [0x61], [], headers: [("x-amz-meta-a", "b\r\nx-evil: 1")]), putRequest(2, [0x62], []),
    ])
    try client.put(queue)
    #expect(queue.errors.map(\.code) == ["invalid-request"])
    #expect(queue.successes == 1)
    #expect(server.requests.count == 1)
  }
}
