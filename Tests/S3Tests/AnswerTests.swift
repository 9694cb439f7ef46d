import Common
import Foundation
import S3
import TestSupport
import Testing

@testable import HTTP

/// What counts as the bucket's word that an object is stored, and how long it may take to say so.
@Suite struct AnswerTests {
  typealias Answer = ScriptedHTTPServer.Answer

  private func put(_ answers: [Answer], timeoutSeconds: Int = 20, size: Int = 1000) throws -> FaultTests.Outcome {
    try FaultTests().put(answers, timeoutSeconds: timeoutSeconds, size: size)
  }

  @Test(arguments: [
    Answer.response(status: 200, headers: [("Content-Type", "text/html")], body: "<html>login</html>"),
    .response(status: 200, headers: [("ETag", "\"e\"")], body: "<html>login</html>"),
    .response(status: 200, headers: [("ETag", "\"e\"")], body: "<Error><Code>InternalError</Code><Messag"),
    .response(status: 200, headers: [("ETag", "\"e\"")], body: "welcome"),
    .response(status: 200, headers: [("Server", "a proxy")]), .response(status: 200, headers: [("ETag", "\"\"")]),
    .response(status: 202, headers: [("ETag", "\"e\"")]), .response(status: 204, headers: [("ETag", "\"e\"")]),
  ]) func aSuccessThatIsNotTheBucketsIsNone(_ answer: Answer) throws {
    let once = try put([answer, FaultTests.ok])
    #expect(once.error == nil && once.thrown == nil)
    #expect(once.attempts == 2)
    let always = try put([answer])
    #expect(always.error?.code == "bad-answer")
    #expect(always.error?.severity == .temporary)
    #expect(always.error?.advice != nil)
    #expect(always.attempts == 4)
  }

  @Test func anErrorInASuccessKeepsItsName() throws {
    let outcome = try put([.response(status: 200, body: FaultTests.document("InternalError"))])
    #expect(outcome.error?.code == "InternalError")
  }

  @Test func aDocumentOfThePutItselfIsASuccess() throws {
    let body = "<PutObjectResult><ETag>e</ETag></PutObjectResult>"
    #expect(try put([.response(status: 200, headers: [("ETag", "\"e\"")], body: body)]).attempts == 1)
  }

  /// libcurl itself is content with this answer.
  @Test func anAnswerBeforeTheBodyWasSentIsNoSuccess() throws {
    let early = Answer.early("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    let once = try put([early, FaultTests.ok], size: 64 << 20)
    #expect(once.error == nil)
    #expect(once.attempts == 2)
    #expect(once.requests.last?.body.count == 64 << 20)
    let always = try put([early], size: 64 << 20)
    #expect(always.error?.code == "connection-lost")
    #expect(always.error?.severity == .temporary)
  }

  @Test func anInterimAnswerAloneIsNone() throws {
    let outcome = try put([.raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), FaultTests.ok])
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 2)
  }

  @Test func trailersDoNotSpoilAnAnswer() throws {
    let answer = Answer.raw(
      "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n0\r\nX-T: 1\r\n\r\n")
    let outcome = try put([answer])
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 1)
  }

  @Test(arguments: [
    "HTTP/1.1 200 OK\r\nX-A: ", "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 100000\r\n\r\n",
  ]) func anAnswerThatOnlyDripsTimesOut(_ begin: String) throws {
    let start = monotonicSeconds()
    let outcome = try put([.drip(begin), FaultTests.ok], timeoutSeconds: 1)
    #expect(outcome.error == nil)
    #expect(outcome.attempts == 2)
    #expect(monotonicSeconds() - start > 3.5)
    #expect(monotonicSeconds() - start < 15)
  }

  @Test(arguments: [
    "Sun, 06 Nov -2147483648 08:49:37 GMT", "Sun, 06 Nov 2147483647 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:2147483647 GMT", "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov 10000 08:49:37 GMT",
  ]) func aDateThatIsNoneIsPassedOver(_ date: String) throws {
    let now = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(try put([.response(status: 503, headers: [now, ("Retry-After", date)]), FaultTests.ok]).error == nil)
    let skewed = Answer.response(
      status: 403, headers: [("Date", date)], body: FaultTests.document("RequestTimeTooSkewed"))
    #expect(try put([skewed, FaultTests.ok]).thrown?.code == "RequestTimeTooSkewed")
  }

  @Test func aKeyThatIsDeniedAfterASuccessFailsAlone() throws {
    for denied in [2, 50, 99] {
      let server = try ScriptedHTTPServer { request in
        request.target.hasSuffix("/\(denied)")
          ? .response(status: 403, body: FaultTests.document("AccessDenied")) : FaultTests.ok
      }
      defer { server.stop() }
      let client = try client(FaultTests.settings(server.endpoint))
      let queue = ListQueue((0..<100).map { putRequest($0, Array("\($0)".utf8), [1]) })
      try client.put(queue)
      #expect(queue.successes == 99)
      #expect(queue.errors.map(\.code) == ["AccessDenied"])
      #expect(queue.errors.map(\.severity) == [.item])
      #expect(queue.repeats == 0)
    }
  }

  /// The answers of those in flight tell whether the first refusal was about its key alone.
  @Test func aKeyThatIsDeniedBeforeTheFirstSuccessFailsAloneToo() throws {
    let server = try ScriptedHTTPServer { request in
      if request.target.hasSuffix("/0") { return .response(status: 403, body: FaultTests.document("AccessDenied")) }
      usleep(200_000)
      return FaultTests.ok
    }
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    let queue = ListQueue((0..<12).map { putRequest($0, Array("\($0)".utf8), [1]) })
    try client.put(queue)
    #expect(queue.successes == 11)
    #expect(queue.errors.map(\.severity) == [.item])
  }

  /// What is asked of libcurl: it cannot be asked what it was told.
  @Test func aBundleTakesThePlaceOfTheSystemsAuthorities() throws {
    var settings = HTTPSettings(userAgent: "test", scheme: .https)
    #expect(trustOptions(settings).isEmpty)
    settings.caBundlePath = "/bundle.pem"
    #expect(trustOptions(settings).map(\.value) == ["/bundle.pem", nil])
  }
}
