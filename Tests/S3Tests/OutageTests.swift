import Common
import Foundation
import S3
import Synchronization
import TestSupport
import Testing

/// Many files and a server in trouble: who is held up, how long, and what is reported.
@Suite struct OutageTests {
  typealias Answer = ScriptedHTTPServer.Answer

  @Test func aRefusedEndpointEndsThePhaseAfterSomeSeconds() throws {
    let port = try freePorts(1)[0]
    var settings = FaultTests.settings(try Endpoint(parsing: "http://127.0.0.1:\(port)"))
    settings.retry = RetryPolicy()
    let client = try client(settings)
    let queue = ListQueue((0..<1000).map { putRequest($0, Array("\($0)".utf8), [1]) })
    let begin = monotonicSeconds()
    let thrown = #expect(throws: S3Error.self) { try client.put(queue) }
    let seconds = monotonicSeconds() - begin
    #expect(seconds > 10 && seconds < 60)
    #expect(thrown?.severity == .temporary)
    #expect(thrown?.code == "connection-refused")
    #expect(thrown?.reason.contains("http://127.0.0.1:\(port) keeps failing") == true)
    #expect(queue.results.count == queue.handedOut && queue.repeats == 0)
    // What waits in the queue stays there.
    #expect(queue.handedOut < 50)
  }

  @Test func aFileThatNeverGoesHoldsUpNoOther() throws {
    let server = try ScriptedHTTPServer { $0.target.hasSuffix("/7") ? .response(status: 500) : FaultTests.ok }
    defer { server.stop() }
    var settings = FaultTests.settings(server.endpoint)
    settings.retry = RetryPolicy(maximumAttempts: 6, baseSeconds: 0.05, maximumSeconds: 1)
    let client = try client(settings)
    let queue = ListQueue((0..<300).map { putRequest($0, Array("\($0)".utf8), [1]) })
    try client.put(queue)
    #expect(queue.successes == 299)
    #expect(queue.results[7]?.attempts == 6)
    #expect(queue.errors.map(\.severity) == [.temporary])
    #expect(client.requestCount == 299 + 6)
  }

  @Test func whenAllThatWasTakenHasFailedTheRestIsStillTried() throws {
    let failing = ["/0", "/1", "/2", "/3"]
    let server = try ScriptedHTTPServer { request in
      failing.contains { request.target.hasSuffix($0) } ? .response(status: 500) : FaultTests.ok
    }
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    let queue = ListQueue((0..<100).map { putRequest($0, Array("\($0)".utf8), [1]) })
    try client.put(queue)
    #expect(queue.results.count == 100)
    #expect(queue.successes == 96)
  }

  @Test func neverMoreRequestsAtOnceThanConnections() throws {
    let running = Mutex((now: 0, most: 0))
    let server = try ScriptedHTTPServer { _ in
      running.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      usleep(5000)
      running.withLock { $0.now -= 1 }
      return FaultTests.ok
    }
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    let queue = ListQueue((0..<100).map { putRequest($0, Array("\($0)".utf8), [1]) })
    try client.put(queue)
    #expect(queue.successes == 100)
    #expect(running.withLock { $0.most } <= 4)
    // Connections are used again.
    #expect(Set(server.requests.map(\.connection)).count <= 4)
  }

  @Test func whenAskedToStopWhatHangsIsGivenUp() throws {
    let server = try ScriptedHTTPServer { $0.target.hasSuffix("/0") ? .hang : FaultTests.ok }
    defer { server.stop() }
    let stop = StopSignal()
    let client = try client(FaultTests.settings(server.endpoint, timeoutSeconds: 60), stop: stop)
    let queue = ListQueue((0..<10_000).map { putRequest($0, Array("\($0)".utf8), [1]) })
    queue.onFinished = { if $0.token == 20 { stop.request() } }
    let begin = monotonicSeconds()
    try client.put(queue)
    let seconds = monotonicSeconds() - begin
    #expect(seconds > 7 && seconds < 20)
    #expect(queue.errors.map(\.code) == ["abandoned"])
    #expect(queue.results.count == queue.handedOut && queue.handedOut < 10_000)
  }

  /// Filled by another thread, one request at a time.
  final class SlowQueue: PutQueue, Sendable {
    let waiting = Mutex<(requests: [PutRequest], closed: Bool, finished: Int)>(([], false, 0))

    func next() -> PutNext {
      waiting.withLock {
        if let request = $0.requests.popLast() { return .request(request) }
        return $0.closed ? .exhausted : .notYet
      }
    }

    func finished(_ result: PutResult) { waiting.withLock { $0.finished += 1 } }
  }

  @Test func aQueueFilledByAnotherThreadWakesTheClient() throws {
    let server = try ScriptedHTTPServer([FaultTests.ok])
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    let queue = SlowQueue()
    let wake = client.wake
    let begin = monotonicSeconds()
    Thread {
      for token in 0..<100 {
        queue.waiting.withLock { $0.requests.append(putRequest(token, Array("\(token)".utf8), [1])) }
        wake()
        usleep(2000)
      }
      queue.waiting.withLock { $0.closed = true }
      wake()
    }.start()
    try client.put(queue)
    #expect(queue.waiting.withLock { $0.finished } == 100)
    // Not one poll interval a request.
    #expect(monotonicSeconds() - begin < 10)
    wake()
  }

  @Test func aListThatDoesNotAdvanceIsAnError() throws {
    let page = """
      <ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>
      <Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>
      """
    let server = try ScriptedHTTPServer([.response(status: 200, body: page)])
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    let thrown = #expect(throws: S3Error.self) { try client.list(prefix: []) { _ in } }
    #expect(thrown?.code == "bad-listing")
    #expect(server.requests.count == 2)
  }

  @Test func aListIsDecodedByWhatTheServerSaysOfIt() throws {
    let plain = "<ListBucketResult><Contents><Key>a+b%41</Key><Size>1</Size></Contents></ListBucketResult>"
    let encoded = plain.replacingOccurrences(of: "</Contents>", with: "</Contents><EncodingType>url</EncodingType>")
    let server = try ScriptedHTTPServer([.response(status: 200, body: plain), .response(status: 200, body: encoded)])
    defer { server.stop() }
    let client = try client(FaultTests.settings(server.endpoint))
    var keys = [String]()
    for _ in 0..<2 { try client.list(prefix: []) { keys.append(String(decoding: $0.key, as: UTF8.self)) } }
    #expect(keys == ["a+b%41", "a bA"])
  }
}
