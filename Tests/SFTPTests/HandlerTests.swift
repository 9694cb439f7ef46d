import Common
import TestSupport
import Testing

@testable import SFTP

/// What a handler may ask of a download beside taking its bytes.
@Suite struct HandlerTests {
  @Test("a handler that has nothing yet is asked again", arguments: [1, 3])
  func later(connections: Int) throws {
    let files: [(path: String, size: Int)] = (0..<4).map { ("/in/\($0)", 50_000) }
    let server = ScriptedSFTPServer(
      files: Dictionary(uniqueKeysWithValues: files.map { ($0.path, pattern($0.size)) }))
    let handler = RecordingHandler(files, laters: 3)
    let pool = try ConnectionPool(maximum: connections, stop: StopSignal(), logger: quietLogger) {
      (stop) throws(SFTPError) in
      do { return try server.client(stop: stop) } catch {
        throw .connectionLost("connect", "", reason: "\(error)")
      }
    }
    try pool.download(handler, filesInFlight: 2, usefulConnections: connections)
    for token in files.indices {
      #expect(handler.isComplete(token))
      #expect(handler.bytes[token] == pattern(50_000))
    }
    #expect(handler.finishedTwice.isEmpty)
  }

  @Test func aStopEndsTheWaitForALaterFile() throws {
    let stop = StopSignal()
    let server = ScriptedSFTPServer(files: ["/a": [1]])
    let handler = RecordingHandler([(path: "/a", size: 1)], laters: .max, onReceive: { stop.request() })
    let started = monotonicSeconds()
    let error = #expect(throws: SFTPError.self) {
      try server.client(stop: stop).download(handler, filesInFlight: 2)
    }
    #expect(error?.code == "stopped")
    #expect(monotonicSeconds() - started < 5)
  }

  @Test func aFileThatIsNoLongerWantedIsReadNoFurther() throws {
    let size = 48 << 20
    let server = ScriptedSFTPServer(files: ["/big": [UInt8](repeating: 7, count: size), "/small": pattern(1000)])
    let handler = RecordingHandler([(path: "/big", size: size), (path: "/small", size: 1000)], enough: 100_000)
    try server.client().download(handler, filesInFlight: 2)
    #expect(handler.changeReason(0) == "no more of it is wanted")
    #expect(handler.isComplete(1))
    #expect(server.statistics.bytesRead < 24 << 20, "no more than what was on its way")
    #expect(server.statistics.openHandles == 0)
  }

  @Test func aFileGoesOnWhereTheHandlerSays() throws {
    let content = pattern(300_000)
    let server = ScriptedSFTPServer(files: ["/a": content])
    let handler = RecordingHandler([
      DownloadRequest(
        token: 0, path: Array("/a".utf8), expected: Fingerprint(size: 300_000, mtime: 1_700_000_000), startAt: 123_456)
    ])
    try server.client().download(handler, filesInFlight: 2)
    #expect(handler.isComplete(0))
    #expect(handler.bytes[0] == Array(content[123_456...]))
    #expect(server.statistics.bytesRead == 300_000 - 123_456)
    #expect(server.statistics.firstReads[Array("/a".utf8)] == [123_456])
  }
}
