import Common
import SFTP
import TestSupport
import Testing

/// Reading no faster than allowed, which no deadline may take for a slow server.
@Suite struct BandwidthTests {
  @Test func aSlowLimitTripsNoDeadline() throws {
    // A packet takes two time-outs to come, and the whole more than the window of Pace.
    let content = pattern(96_000)
    let server = ScriptedSFTPServer(files: ["/a": content])
    let handler = RecordingHandler([("/a", content.count)])
    let begin = monotonicSeconds()
    let limit = BandwidthLimit(bytesPerSecond: 16_000)
    try server.client(timeoutSeconds: 1, bandwidth: limit).download(handler, filesInFlight: 4)
    #expect(handler.isComplete(0) && handler.bytes[0] == content)
    #expect(monotonicSeconds() - begin > 5.5)
  }

  @Test func connectionsShareTheLimit() throws {
    let content = pattern(150_000)
    let paths = (0..<4).map { "/\($0)" }
    let server = ScriptedSFTPServer(files: Dictionary(uniqueKeysWithValues: paths.map { ($0, content) }))
    let handler = RecordingHandler(paths.map { ($0, content.count) })
    let limit = BandwidthLimit(bytesPerSecond: 300_000)
    let begin = monotonicSeconds()
    let pool = try ConnectionPool(maximum: 3, stop: StopSignal(), logger: quietLogger) { (stop) throws(SFTPError) in
      do { return try server.client(stop: stop, bandwidth: limit) } catch let error as SFTPError { throw error } catch {
        throw SFTPError(code: "test", operation: "connect", subject: "", reason: "\(error)", severity: .temporary)
      }
    }
    try pool.download(handler, filesInFlight: 1, usefulConnections: 3)
    for token in paths.indices { #expect(handler.bytes[token] == content) }
    // Two seconds but for the burst of half a second; each connection for itself would be three times as fast.
    #expect(monotonicSeconds() - begin > 1.4)
    pool.close()
  }

  @Test func aStopEndsTheWaiting() throws {
    let content = pattern(500_000)
    let server = ScriptedSFTPServer(files: ["/a": content])
    let stop = StopSignal(deadlineSeconds: monotonicSeconds() + 1)
    let handler = RecordingHandler([("/a", content.count)])
    let begin = monotonicSeconds()
    #expect(throws: SFTPError.self) {
      try server.client(stop: stop, bandwidth: BandwidthLimit(bytesPerSecond: 2_000))
        .download(handler, filesInFlight: 1)
    }
    #expect(handler.isAbandoned(0))
    #expect(monotonicSeconds() - begin < 10)
  }
}
