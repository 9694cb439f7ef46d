import Common
import Synchronization
import TestSupport
import Testing

@testable import SFTP

/// Connections that are up and have no share of the work at hand, when the one that works is lost.
@Suite struct IdleConnectionTests {
  private static let names = (0..<9).map { "/in/f\($0)" }
  private static let files = Dictionary(
    uniqueKeysWithValues: names.map { ($0, pattern(100, seed: UInt64($0.utf8.last!))) } + [
      ("/in/first", pattern(100_000))
    ])

  /// Three connections, the most the server allows; the owner's alone has brought over 100,000 bytes.
  private func pool(_ server: ScriptedSFTPServer, stop: StopSignal = StopSignal()) throws -> ConnectionPool {
    let retry = RetryPolicy(maximumAttempts: 4, baseSeconds: 0.01, maximumSeconds: 0.1)
    let pool = try ConnectionPool(maximum: 3, stop: stop, logger: quietLogger, retry: retry) {
      (stop) throws(SFTPError) in
      guard server.statistics.connections < 3, let client = try? server.client(timeoutSeconds: 20, stop: stop) else {
        throw .connectionLost("connect", "server", reason: "no more")
      }
      return client
    }
    try pool.download(RecordingHandler([("/in/first", 100_000)]), filesInFlight: 1, usefulConnections: 1)
    let handler = RecordingHandler(Self.names.map { ($0, 100) }, onReceive: { pause(milliseconds: 50) })
    try pool.download(handler, filesInFlight: 1, usefulConnections: 3)
    #expect(server.statistics.connections == 3)
    return pool
  }

  /// Work for one connection, on a thread of its own.
  /// - Returns: nil when it is not done within `seconds`: the thread is then left to itself.
  private func downloadAlone(
    over pool: ConnectionPool, _ handler: RecordingHandler, seconds: Double
  ) -> Result<Void, any Error>? {
    let job = Job(pool)
    _ = Worker {
      let result = Result { try job.pool.download(handler, filesInFlight: 4, usefulConnections: 1) }
      job.result.withLock { $0 = result }
    }
    let end = monotonicSeconds() + seconds
    while monotonicSeconds() < end {
      if let result = job.result.withLock({ $0 }) { return result }
      pause(milliseconds: 20)
    }
    return nil
  }

  // @unchecked: one thread at a time uses the pool.
  private final class Job: @unchecked Sendable {
    let pool: ConnectionPool
    let result = Mutex<Result<Void, any Error>?>(nil)
    init(_ pool: ConnectionPool) { self.pool = pool }
  }

  @Test func theyDoTheRestWhenTheOwnersCannotBeReplaced() throws {
    let server = ScriptedSFTPServer(files: Self.files)
    let pool = try pool(server)
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 100_000
    server.setFaults(faults)
    let handler = RecordingHandler(Self.names.map { ($0, 100) })
    try #require(downloadAlone(over: pool, handler, seconds: 20), "hangs").get()
    #expect((0..<9).allSatisfy { handler.bytes[$0] == Self.files[Self.names[$0]] })
  }

  @Test func anOutageEndsTheWorkAllTheSame() throws {
    let server = ScriptedSFTPServer(files: Self.files)
    let pool = try pool(server)
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 10
    server.setFaults(faults)
    let result = try #require(
      downloadAlone(over: pool, RecordingHandler(Self.names.map { ($0, 100) }), seconds: 20), "hangs")
    let error = #expect(throws: SFTPError.self) { try result.get() }
    #expect(error?.code == "connection-lost")
  }

  @Test func aStopIsHeededWhileOthersDoTheRest() throws {
    let stop = StopSignal()
    let server = ScriptedSFTPServer(files: Self.files)
    let pool = try pool(server, stop: stop)
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 100_000
    server.setFaults(faults)
    let handler = RecordingHandler(Self.names.map { ($0, 100) }, onReceive: { stop.request() })
    let result = try #require(downloadAlone(over: pool, handler, seconds: 10), "hangs")
    let error = #expect(throws: SFTPError.self) { try result.get() }
    #expect(error?.code == "stopped")
  }
}
