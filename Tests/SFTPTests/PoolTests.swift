import Common
import Synchronization
import TestSupport
import Testing

@testable import SFTP

/// Several connections that work together, against a scripted server.
@Suite struct PoolTests {
  /// 60 directories of ten files each, and three levels of them.
  private static let tree: [String: [UInt8]] = Dictionary(
    uniqueKeysWithValues: (0..<600).map { index in
      ("/in/\(index % 3)/d\(index % 60)/f\(index)", pattern(3_000 + index, seed: UInt64(index)))
    })

  /// - Parameter allowed: connections that the server lets in, in all.
  private func pool(
    _ server: ScriptedSFTPServer, maximum: Int = 3, allowed: Int = .max, timeoutSeconds: Int = 20,
    stop: StopSignal = StopSignal(), refusal: SFTPError? = nil
  ) throws -> ConnectionPool {
    let counter = Counter()
    let retry = RetryPolicy(maximumAttempts: 6, baseSeconds: 0.01, maximumSeconds: 0.1)
    return try ConnectionPool(maximum: maximum, stop: stop, logger: quietLogger, retry: retry) {
      (stop) throws(SFTPError) in
      if counter.next() > allowed {
        throw refusal ?? .connectionLost("handshake", "server", reason: "too many connections")
      }
      do {
        return try server.client(timeoutSeconds: timeoutSeconds, stop: stop)
      } catch let error as SFTPError {
        throw error
      } catch {
        throw .connectionLost("connect", "", reason: "\(error)")
      }
    }
  }

  private final class Counter: Sendable {
    private let value = Mutex(0)
    func next() -> Int {
      value.withLock {
        $0 += 1
        return $0
      }
    }
  }

  private func files() -> [(path: String, size: Int)] { Self.tree.keys.sorted().map { ($0, Self.tree[$0]!.count) } }

  private func expectAll(_ handler: RecordingHandler, except: Set<String> = []) {
    for (token, file) in files().enumerated() where !except.contains(file.path) {
      #expect(handler.isComplete(token), "\(file.path): \(String(describing: handler.outcomes[token]))")
      #expect(handler.bytes[token] == Self.tree[file.path], "\(file.path)")
    }
    #expect(handler.finishedTwice.isEmpty)
    #expect(handler.outcomes.count == Self.tree.count)
  }

  private func expectAll(_ visitor: RecordingVisitor) {
    #expect(visitor.files.count == Self.tree.count)
    #expect(visitor.listed.count == 1 + 3 + 60)
    #expect(Set(visitor.listed).count == visitor.listed.count)
    #expect(visitor.twice.isEmpty && visitor.late.isEmpty && visitor.unknown.isEmpty)
  }

  @Test func connectionsShareAWalkAndADownload() throws {
    let server = ScriptedSFTPServer(files: Self.tree)
    let pool = try pool(server)
    let visitor = RecordingVisitor()
    try pool.walk(Array("/in".utf8), visitor: visitor)
    expectAll(visitor)
    let handler = RecordingHandler(files())
    try pool.download(handler, filesInFlight: 8, usefulConnections: 3)
    expectAll(handler)
    #expect(server.statistics.connections == 3)
    #expect(server.statistics.openHandles == 0)
    #expect(Self.tree.keys.allSatisfy { server.statistics.opens[Array($0.utf8)] == 1 })
  }

  @Test func aSmallJobKeepsToOneConnection() throws {
    let server = ScriptedSFTPServer(files: ["/in/a": [1], "/in/d/b": [2]])
    let pool = try pool(server)
    try pool.walk(Array("/in".utf8), visitor: RecordingVisitor())
    try pool.download(RecordingHandler([("/in/a", 1), ("/in/d/b", 1)]), filesInFlight: 8, usefulConnections: 1)
    #expect(server.statistics.connections == 1)
  }

  @Test("a connection that dies is replaced, and what was in flight is asked for again", arguments: [1, 3])
  func cutConnections(maximum: Int) throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 200_000
    faults.namesPerPage = 3
    let server = ScriptedSFTPServer(files: Self.tree, faults: faults)
    let pool = try pool(server, maximum: maximum)
    let handler = RecordingHandler(files())
    try pool.download(handler, filesInFlight: 16, usefulConnections: maximum)
    expectAll(handler)
    #expect(handler.interruptions > 0)
    #expect(server.statistics.connections > maximum)
  }

  @Test func aWalkOverConnectionsThatDieTellsEverythingOnce() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 20_000
    faults.namesPerPage = 3
    let server = ScriptedSFTPServer(files: Self.tree, faults: faults)
    let visitor = RecordingVisitor()
    try pool(server, maximum: 2).walk(Array("/in".utf8), visitor: visitor)
    expectAll(visitor)
    #expect(server.statistics.connections > 2)
  }

  @Test("strict servers: one connection is enough (rclone #1381)")
  func oneConnectionIsAllThereIs() throws {
    let server = ScriptedSFTPServer(files: Self.tree)
    let pool = try pool(server, maximum: 4, allowed: 1)
    let visitor = RecordingVisitor()
    try pool.walk(Array("/in".utf8), visitor: visitor)
    expectAll(visitor)
    let handler = RecordingHandler(files())
    try pool.download(handler, filesInFlight: 8, usefulConnections: 4)
    expectAll(handler)
    #expect(server.statistics.connections == 1)
  }

  @Test(arguments: [1, 16])
  func aFileThatKillsConnectionsFailsAloneInTheEnd(filesInFlight: Int) throws {
    var faults = ScriptedSFTPServer.Faults()
    let deadly = "/in/0/d30/f150"
    #expect(Self.tree[deadly] != nil)
    faults.deadly = [Array(deadly.utf8)]
    let server = ScriptedSFTPServer(files: Self.tree, faults: faults)
    let handler = RecordingHandler(files())
    try pool(server, maximum: 1).download(handler, filesInFlight: filesInFlight, usefulConnections: 1)
    expectAll(handler, except: [deadly])
    let token = files().firstIndex { $0.path == deadly }!
    #expect(handler.failure(token)?.severity == .item)
  }

  @Test func aServerThatOnlyCutsIsGivenUp() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 60
    let server = ScriptedSFTPServer(files: Self.tree, faults: faults)
    let pool = try pool(server, maximum: 2)
    let handler = RecordingHandler(files())
    let error = #expect(throws: SFTPError.self) {
      try pool.download(handler, filesInFlight: 4, usefulConnections: 2)
    }
    #expect(error?.code == "connection-lost")
    #expect(handler.outcomes.values.allSatisfy { if case .complete = $0 { false } else { true } })
    #expect(handler.finishedTwice.isEmpty)
  }

  @Test("a file that can only begin anew, and whose end no connection reaches, is not read for ever")
  func aFileThatNeverGetsToItsEndFailsInTheEnd() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 18 << 20
    let bytes = [UInt8](repeating: 7, count: 20 << 20)
    let server = ScriptedSFTPServer(files: ["/in/a": bytes, "/in/b": [1]], faults: faults)
    let enough = SFTPError(code: "enough", operation: "connect", subject: "", reason: "", severity: .fatal)
    let handler = RecordingHandler([("/in/a", bytes.count), ("/in/b", 1)])
    try pool(server, maximum: 1, allowed: 12, refusal: enough).download(
      handler, filesInFlight: 4, usefulConnections: 1)
    #expect(handler.failure(0)?.severity == .item)
    #expect(handler.isComplete(1))
  }

  @Test func aChangedHostKeyOnALaterConnectionEndsTheWork() throws {
    let server = ScriptedSFTPServer(files: Self.tree)
    let mismatch = SFTPError(
      code: "host-key-mismatch", operation: "host key", subject: "server", reason: "another key", severity: .fatal)
    let pool = try pool(server, maximum: 2, allowed: 1, refusal: mismatch)
    let handler = RecordingHandler(files(), onReceive: { pause(milliseconds: 5) })
    let error = #expect(throws: SFTPError.self) {
      try pool.download(handler, filesInFlight: 4, usefulConnections: 2)
    }
    #expect(error == mismatch)
    #expect(handler.finishedTwice.isEmpty)
  }

  @Test func aStopEndsAllConnections() throws {
    let stop = StopSignal()
    let server = ScriptedSFTPServer(files: Self.tree)
    let pool = try pool(server, stop: stop)
    let handler = RecordingHandler(files(), onReceive: { stop.request() })
    let error = #expect(throws: SFTPError.self) {
      try pool.download(handler, filesInFlight: 8, usefulConnections: 3)
    }
    #expect(error?.code == "stopped")
    #expect(handler.finishedTwice.isEmpty)
  }

  @Test("endless hangs: a trickle of bytes is given up (rclone #9841)")
  func trickle() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.trickles = true
    faults.pauseMilliseconds = 100
    let server = ScriptedSFTPServer(files: ["/a": pattern(1000)])
    let connection = try server.client(timeoutSeconds: 1)
    server.setFaults(faults)
    let error = #expect(throws: SFTPError.self) {
      try connection.download(RecordingHandler([("/a", 1000)]), filesInFlight: 1)
    }
    #expect(error?.code == "timeout")
  }

  @Test("endless hangs: a server that answers and gets nowhere is given up (rclone #9357)")
  func crawl() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.pauseMilliseconds = 200
    faults.bytesPerRead = 100
    faults.namesPerPage = 1
    let server = ScriptedSFTPServer(files: ["/a": pattern(100_000)])
    let connection = try server.client(timeoutSeconds: 1)
    server.setFaults(faults)
    let error = #expect(throws: SFTPError.self) {
      try connection.download(RecordingHandler([("/a", 100_000)]), filesInFlight: 1)
    }
    #expect(error?.code == "stalled")
    let many = ScriptedSFTPServer(
      files: Dictionary(uniqueKeysWithValues: (0..<200).map { ("/in/\($0)", []) }))
    let lister = try many.client(timeoutSeconds: 1)
    faults.pauseMilliseconds = 600
    many.setFaults(faults)
    let listing = #expect(throws: SFTPError.self) {
      try lister.walk(Array("/in".utf8), visitor: RecordingVisitor())
    }
    #expect(listing?.code == "stalled")
  }

  @Test func largeFilesSpreadOverConnections() throws {
    let large = DownloadQueue.largeBytes
    let sizes: [UInt64] = [large, large + 1, 10, large, 20]
    let handler = RecordingHandler(
      sizes.enumerated().map {
        DownloadRequest(token: $0, path: [], expected: Fingerprint(size: $1, mtime: 1))
      })
    let queue = DownloadQueue(handler, filesInFlight: 8, stop: StopSignal())
    #expect(queue.take(large: true)?.token == 0)
    #expect(queue.take(large: false)?.token == 2, "who has a large one passes others over")
    #expect(queue.take(large: true)?.token == 1)
    #expect(queue.take(large: false)?.token == 4)
    #expect(queue.take(large: false) == nil)
    #expect(!queue.isOver)
    #expect(queue.take(large: true)?.token == 3)
    #expect(queue.take(large: true) == nil)
  }

  /// A server at so many seconds that sends so much a second at most: the window settles at twice what is under way,
  /// within a few round trips.
  @Test(arguments: [
    (0.0002, 300e6, ReadAhead.leastBytes...ReadAhead.leastBytes), (0.05, 20e6, ReadAhead.leastBytes...(3 << 20)),
    (0.05, 100e6, (9 << 20)...(11 << 20)), (0.2, 300e6, ReadAhead.mostBytes...ReadAhead.mostBytes),
  ])
  func theReadAheadFollowsTheWire(roundTripSeconds: Double, bytesPerSecond: Double, window: ClosedRange<UInt64>) {
    var readAhead = ReadAhead()
    var now = 0.0
    // Each round trip brings what was asked for, or what the wire carries; the rest of it queues.
    for _ in 0..<50 {
      let carried = min(Double(readAhead.windowBytes) / roundTripSeconds, bytesPerSecond)
      let delay = Double(readAhead.windowBytes) / carried
      for step in 1...100 {
        let at = now + roundTripSeconds * Double(step) / 100
        let sent = now == 0 ? at - roundTripSeconds : at - delay
        readAhead.answered(bytes: Int(carried * roundTripSeconds / 100), sent: sent, now: at)
      }
      now += roundTripSeconds
    }
    #expect(window.contains(readAhead.windowBytes), "\(readAhead.windowBytes)")
  }

  @Test func onlyWhatWasAloneIsBlamed() {
    var blame = Blame<Int>()
    #expect(blame.lost(hasGained: true, taken: [1]) == nil)
    #expect(blame.caution == 0)
    for _ in 0..<5 { #expect(blame.lost(hasGained: false, taken: [1, 2]) == nil) }
    #expect(blame.caution == 5)
    for _ in 0..<3 { #expect(blame.lost(hasGained: false, taken: [1]) == nil) }
    #expect(blame.lost(hasGained: false, taken: [2]) == nil)
    #expect(blame.lost(hasGained: false, taken: [1]) == 1)
  }

  struct Row: Sendable {
    var severity = Severity.temporary
    var operation = "read"
    var isStopped = false
    var wasUp = true
    var losses = 1
    var others = 1
    var expected: AfterLoss
  }

  @Test(arguments: [
    Row(isStopped: true, expected: .end), Row(severity: .fatal, operation: "host key", expected: .end),
    Row(wasUp: false, expected: .leaveToOthers), Row(severity: .fatal, wasUp: false, expected: .leaveToOthers),
    Row(severity: .fatal, others: 0, expected: .end), Row(severity: .configuration, others: 0, expected: .end),
    Row(losses: 2, expected: .leaveToOthers), Row(expected: .reconnect(afterSeconds: 0.5)),
    Row(losses: 2, others: 0, expected: .reconnect(afterSeconds: 1)),
    Row(wasUp: false, losses: 3, others: 0, expected: .reconnect(afterSeconds: 2)),
    Row(losses: 4, others: 0, expected: .end),
  ])
  func whatFollowsALoss(row: Row) {
    let error = SFTPError(code: "c", operation: row.operation, subject: "", reason: "", severity: row.severity)
    #expect(
      afterLoss(
        of: error, isStopped: row.isStopped, wasUp: row.wasUp, losses: row.losses, others: row.others,
        retry: RetryPolicy(maximumAttempts: 4, baseSeconds: 1, maximumSeconds: 10), random: 0.5) == row.expected)
  }
}
