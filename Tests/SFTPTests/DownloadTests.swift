import Common
import SFTP
import TestSupport
import Testing

/// Downloading many files over one connection, against a scripted server.
@Suite struct DownloadTests {
  private let files: [String: [UInt8]] = [
    "/empty": [], "/one": [7], "/exact": pattern(32_768), "/odd": pattern(100_001, seed: 2),
    "/big": pattern(3_000_000, seed: 3),
  ]

  /// Downloads every file of a server; tokens count the paths in alphabetical order.
  private func download(
    _ faults: ScriptedSFTPServer.Faults = .init(), filesInFlight: Int = 8
  ) throws -> (handler: RecordingHandler, server: ScriptedSFTPServer) {
    let server = ScriptedSFTPServer(files: files, faults: faults)
    let handler = RecordingHandler(files.keys.sorted().map { ($0, files[$0]!.count) })
    try server.client().download(handler, filesInFlight: filesInFlight)
    #expect(handler.finishedTwice.isEmpty)
    #expect(handler.outcomes.count == files.count)
    #expect(server.statistics.openHandles == 0)
    return (handler, server)
  }

  private func expectComplete(_ handler: RecordingHandler, except: Set<Int> = []) {
    for (token, path) in files.keys.sorted().enumerated() where !except.contains(token) {
      #expect(handler.isComplete(token), "\(path): \(String(describing: handler.outcomes[token]))")
      #expect(handler.bytes[token, default: []] == files[path]!, "\(path)")
    }
  }

  private func token(_ path: String) -> Int { files.keys.sorted().firstIndex(of: path)! }

  @Test func everyByteArrivesInOrder() throws {
    let (handler, server) = try download()
    expectComplete(handler)
    #expect(server.statistics.opens.values.allSatisfy { $0 == 1 })
  }

  @Test func shortReadsAreAskedForAgain() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.bytesPerRead = 9_999
    expectComplete(try download(faults).handler)
  }

  @Test("files that were refused while others were open are opened later, however large they are together")
  func refusedFilesOfManyBytesHaveTheirTurn() throws {
    let size = 15 << 20
    let large = [UInt8](repeating: 9, count: size)
    var faults = ScriptedSFTPServer.Faults()
    faults.handles = 1
    let server = ScriptedSFTPServer(files: ["/a": [1], "/b": large, "/c": large, "/d": large], faults: faults)
    let handler = RecordingHandler([("/a", 1), ("/b", size), ("/c", size), ("/d", size)])
    try server.client().download(handler, filesInFlight: 8)
    #expect((0..<4).allSatisfy { handler.isComplete($0) })
  }

  @Test func answersMayComeInAnyOrder() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.answersInReverse = true
    faults.bytesPerRead = 20_000
    expectComplete(try download(faults).handler)
  }

  @Test(arguments: [32_768, 30_000])
  func filesWaitForTheirTurnWhenTheWindowIsFull(_ bytesPerRead: Int) throws {
    let content = pattern(1_000_000)
    var faults = ScriptedSFTPServer.Faults()
    faults.bytesPerRead = bytesPerRead
    faults.answersInReverse = bytesPerRead == 30_000
    let paths = (0..<40).map { "/\($0)" }
    let server = ScriptedSFTPServer(
      files: Dictionary(uniqueKeysWithValues: paths.map { ($0, content) }), faults: faults)
    let handler = RecordingHandler(paths.map { ($0, content.count) })
    try server.client().download(handler, filesInFlight: 40)
    for token in paths.indices {
      #expect(handler.isComplete(token))
      #expect(handler.bytes[token]?.count == content.count)
      #expect(handler.bytes[token] == content)
    }
  }

  @Test func oneFileInFlightMeansOneOpenHandle() throws {
    let (handler, server) = try download(filesInFlight: 1)
    expectComplete(handler)
    #expect(server.statistics.mostOpenHandles == 1)
  }

  @Test func aServerWithFewHandlesServesEverything() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.handles = 2
    let many = Dictionary(uniqueKeysWithValues: (0..<300).map { ("/\($0)", pattern(50, seed: UInt64($0))) })
    let server = ScriptedSFTPServer(files: many, faults: faults)
    let handler = RecordingHandler((0..<300).map { ("/\($0)", 50) })
    try server.client().download(handler, filesInFlight: 128)
    #expect((0..<300).allSatisfy { handler.isComplete($0) && handler.bytes[$0] == many["/\($0)"] })
    #expect(server.statistics.mostOpenHandles == 2)
  }

  @Test func aFileThatCannotBeOpenedIsNoReasonToSlowDown() throws {
    var faults = ScriptedSFTPServer.Faults()
    let many = Dictionary(uniqueKeysWithValues: (0..<300).map { ("/\($0)", pattern(50, seed: UInt64($0))) })
    faults.refused = [Array("/3".utf8): 4, Array("/250".utf8): 4]
    let server = ScriptedSFTPServer(files: many, faults: faults)
    let handler = RecordingHandler((0..<300).map { ("/\($0)", 50) })
    try server.client().download(handler, filesInFlight: 32)
    #expect((0..<300).filter { !handler.isComplete($0) } == [3, 250])
    #expect(handler.failure(3)?.status == 4)
    #expect(handler.failure(250)?.code == "sftp-status-4")
  }

  @Test(arguments: [
    (ScriptedSFTPServer.Change.grow, "size is 100004, was 100001"),
    (.shrink, "it ended before byte"), (.rewrite, "modification time is 1700000001, was 1700000000"),
  ])
  func aFileThatChangesWhileItIsReadIsSaidToHaveChanged(
    _ change: ScriptedSFTPServer.Change, _ reason: String
  ) throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.changes = [Array("/odd".utf8): change]
    let handler = try download(faults).handler
    #expect(handler.changeReason(token("/odd"))?.hasPrefix(reason) == true)
    expectComplete(handler, except: [token("/odd")])
  }

  @Test func aFileThatIsNotAsListedIsNotDelivered() throws {
    let server = ScriptedSFTPServer(files: files)
    let handler = RecordingHandler([("/big", 3_000_001), ("/one", 1)])
    try server.client().download(handler, filesInFlight: 2)
    #expect(handler.changeReason(0) == "size is 3000000, was 3000001")
    #expect(handler.isComplete(1))
  }

  @Test func refusalsConcernOneFileOnly() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.refused = [Array("/big".utf8): 3, Array("/one".utf8): 2]
    let handler = try download(faults).handler
    #expect(handler.failure(token("/big"))?.code == "permission-denied")
    #expect(handler.failure(token("/one"))?.code == "no-such-file")
    expectComplete(handler, except: [token("/big"), token("/one")])
  }

  @Test func whatFSTATOmitsIsAskedByPath() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.fstatOmits = [.mtime, .size]
    expectComplete(try download(faults).handler)
  }

  @Test func aFileWithoutAttributesFails() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.fstatOmits = [.mtime]
    faults.lstatOmits = [.mtime]
    let handler = try download(faults).handler
    #expect(handler.failure(token("/odd"))?.reason == "the server does not say the file's modification time")
    #expect(handler.failure(token("/empty")) != nil)
  }

  @Test func readsWithoutBytesEnd() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.emptyData = true
    let handler = try download(faults).handler
    #expect(handler.failure(token("/odd"))?.code == "bad-answer")
    #expect(handler.isComplete(token("/empty")))
  }

  /// Else every piece would be kept, at many times its size, until the first has come.
  @Test func whatComesEarlyIsBounded() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.withholdsFirstRead = true
    faults.bytesPerRead = 1000
    let server = ScriptedSFTPServer(files: ["/file": pattern(8_000_000)], faults: faults)
    let handler = RecordingHandler([("/file", 8_000_000)])
    let connection = try server.client(timeoutSeconds: 1)
    // The READ that is withheld is answered never, not even with an error.
    let error = #expect(throws: SFTPError.self) { try connection.download(handler, filesInFlight: 1) }
    #expect(error?.code == "timeout")
    #expect(handler.outcomes.count == 1)
    #expect(server.statistics.reads < 6000)
  }

  @Test func answersOfAByteAreNoTransfer() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.bytesPerRead = 1
    let server = ScriptedSFTPServer(files: ["/file": pattern(100_000), "/small": pattern(500)], faults: faults)
    let handler = RecordingHandler([("/file", 100_000), ("/small", 500)])
    try server.client().download(handler, filesInFlight: 1)
    #expect(handler.failure(0)?.code == "bad-answer")
    #expect(handler.failure(0)?.reason.contains("READs with") == true)
    #expect(handler.isComplete(1))
    #expect(server.statistics.reads < 5000)
  }

  @Test func aCutConnectionAbandonsWhatWasUnderWay() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 1_000_000
    let server = ScriptedSFTPServer(files: files, faults: faults)
    let handler = RecordingHandler(files.keys.sorted().map { ($0, files[$0]!.count) })
    let connection = try server.client()
    let error = #expect(throws: SFTPError.self) { try connection.download(handler, filesInFlight: 8) }
    #expect(error?.code == "connection-lost")
    #expect(error?.severity == .temporary)
    #expect(handler.isAbandoned(token("/big")))
    #expect(handler.outcomes.count == files.count)
    #expect(handler.finishedTwice.isEmpty)
    let again = #expect(throws: SFTPError.self) { try connection.realPath([]) }
    #expect(again == error)
  }

  @Test func silenceEndsWithATimeout() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.silentAfterBytes = 100_000
    let server = ScriptedSFTPServer(files: files, faults: faults)
    let handler = RecordingHandler([("/big", 3_000_000)])
    let connection = try server.client(timeoutSeconds: 1)
    let error = #expect(throws: SFTPError.self) { try connection.download(handler, filesInFlight: 8) }
    #expect(error?.code == "timeout")
    #expect(handler.isAbandoned(0))
  }

  @Test(
    arguments: [
      [0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 9, 77, 0, 0, 0, 1, 0, 0, 0, 0],
      [0, 0, 0, 9, 103, 0xff, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 9, 103, 0, 0, 0, 1, 0, 0, 0, 9],
    ] as [[UInt8]])
  func garbageEndsTheConnection(_ garbage: [UInt8]) throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.garbage = garbage
    let server = ScriptedSFTPServer(files: files, faults: faults)
    let handler = RecordingHandler([("/big", 3_000_000)])
    let connection = try server.client()
    let error = #expect(throws: SFTPError.self) { try connection.download(handler, filesInFlight: 8) }
    #expect(error?.code == "protocol-error")
    #expect(handler.isAbandoned(0))
  }

  @Test func aStopRequestAbandonsWhatWasUnderWay() throws {
    let stop = StopSignal()
    let server = ScriptedSFTPServer(files: files)
    let handler = RecordingHandler(
      files.keys.sorted().map { ($0, files[$0]!.count) }, onReceive: { stop.request() })
    let connection = try server.client(stop: stop)
    let error = #expect(throws: SFTPError.self) { try connection.download(handler, filesInFlight: 8) }
    #expect(error?.code == "stopped")
    #expect(handler.isAbandoned(token("/big")))
    #expect(handler.outcomes.count == files.count)
  }
}
