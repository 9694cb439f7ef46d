internal import Common
internal import Foundation
internal import Logging
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

/// Large files that are interrupted, against a scripted server that counts what is read of them.
@Suite struct ResumeTests {
  private static let size = 40 << 20
  /// Every eight bytes differ from all others, so that a part in the wrong place shows.
  private static let content: [UInt8] = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    for number in 0..<UInt64(size / 8) {
      UnsafeMutableRawBufferPointer(buffer).storeBytes(
        of: number.byteSwapped, toByteOffset: Int(number) * 8, as: UInt64.self)
    }
    count = size
  }
  private static let overlap = Int(Resumption.overlapBytes)
  private static let path = Array("/in/big".utf8)

  private func rig(_ more: [String: String] = [:]) throws -> FetchRig {
    let rig = try FetchRig(more)
    rig.server.set("/in", ScriptedSFTPServer.Entry(.directory))
    set(rig)
    return rig
  }

  private func set(_ rig: FetchRig, _ bytes: [UInt8] = Self.content, mtime: UInt32 = 1_700_000_000) {
    rig.server.set("/in/big", ScriptedSFTPServer.Entry(.file(bytes), mtime: mtime))
  }

  private func cut(_ rig: FetchRig, after bytes: Int) {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = bytes
    rig.server.setFaults(faults)
  }

  /// A run that loses its only connection after so many bytes.
  private func interrupt(_ rig: FetchRig, after bytes: Int, changing changes: [String: String] = [:]) throws {
    cut(rig, after: bytes)
    rig.connectionsAllowed = 1
    let report = try rig.fetch(changing: changes)
    #expect(report.counts.fetched == 0 && report.failure != nil)
    rig.server.setFaults(.init())
    rig.connectionsAllowed = .max
  }

  /// A run that must succeed.
  /// - Returns: what it read of files, bytes.
  @discardableResult
  private func complete(
    _ rig: FetchRig, settle: Int = 0, changing changes: [String: String] = [:],
    _ location: SourceLocation = #_sourceLocation
  ) throws -> (bytes: Int, report: FetchReport) {
    let before = rig.server.statistics.bytesRead
    let report = try rig.fetch(settle: settle, changing: changes)
    #expect(report.exitCode == .done, "\(report)", sourceLocation: location)
    return (rig.server.statistics.bytesRead - before, report)
  }

  private func staged(_ rig: FetchRig) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(filePath: rig.directory.path + "/files/big")))
  }

  private func expectStaged(_ rig: FetchRig, _ bytes: [UInt8] = Self.content) throws {
    #expect(try staged(rig) == bytes)
    #expect(try rig.state.paths[RemotePath("big")]?.sha256 == .of(bytes))
    #expect(try rig.leftovers().isEmpty)
    #expect(try sidecars(rig).isEmpty)
  }

  private func sidecars(_ rig: FetchRig) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: rig.directory.path + "/state").filter {
      $0.hasPrefix("partial-")
    }
  }

  /// The one sidecar, as an object.
  private func sidecar(_ rig: FetchRig) throws -> (path: String, json: FlatJSON) {
    let name = try #require(try sidecars(rig).first)
    let path = rig.directory.path + "/state/" + name
    return (path, try #require(FlatJSON(readFile(path))))
  }

  // MARK: Within a run

  @Test func aLostConnectionGoesOnWhereItWasInTheSameRun() throws {
    let rig = try rig(["small": "1"])
    cut(rig, after: 18 << 20)
    let read = try complete(rig).bytes
    try expectStaged(rig)
    let starts = try #require(rig.server.statistics.firstReads[Self.path])
    #expect(starts.count >= 3 && starts[0] == 0)
    #expect(zip(starts, starts.dropFirst()).allSatisfy { $0 < $1 }, "each goes on further: \(starts)")
    // What was read and lost with the connection is at most what was on its way.
    #expect(read < Self.size + (starts.count - 1) * (Self.overlap + (17 << 20)))
    #expect(starts[1] > (18 << 20) - (17 << 20) - Self.overlap)
  }

  @Test func withoutResumingALostConnectionBeginsAnew() throws {
    let rig = try rig()
    cut(rig, after: 30 << 20)
    rig.connectionsAllowed = 2
    try rig.fetch(changing: ["SFTP_RESUME": "0"])
    #expect(rig.server.statistics.firstReads[Self.path] == [0, 0])
    #expect(try rig.leftovers().isEmpty && sidecars(rig).isEmpty)
  }

  // MARK: Across runs

  @Test func theNextRunReadsOnlyTheRest() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let (_, json) = try sidecar(rig)
    let offset = Int(try #require(json.number("offset")))
    #expect(offset > 8 << 20 && offset <= 30 << 20)
    #expect(try rig.leftovers().count == 1)
    let (read, report) = try complete(rig)
    #expect(report.counts.fetched == 1 && Int(report.counts.resumedBytes) == offset - Self.overlap)
    #expect(read == Self.size - offset + Self.overlap)
    #expect(rig.server.statistics.firstReads[Self.path]?.last == offset - Self.overlap)
    try expectStaged(rig)
  }

  @Test func aRunThatIsStoppedLeavesItsPart() throws {
    let rig = try rig()
    var faults = ScriptedSFTPServer.Faults()
    faults.silentAfterBytes = 30 << 20
    rig.server.setFaults(faults)
    let stopper = Worker { [rig = Held(rig)] in
      let deadline = monotonicSeconds() + 30
      while rig.value.server.statistics.bytesRead < 30 << 20, monotonicSeconds() < deadline { pause(milliseconds: 20) }
      pause(milliseconds: 300)
      rig.value.stop.request()
    }
    #expect(try rig.fetch().failure?.code == "stopped")
    stopper.join()
    rig.server.setFaults(.init())
    let again = FetchRig.again(rig, tick: 0)
    let read = try complete(again).bytes
    #expect(read < 20 << 20)
    try expectStaged(rig)
  }

  @Test func switchedOffNothingIsKeptAndWhatWasKeptIsRemoved() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20, changing: ["SFTP_RESUME": "0"])
    #expect(try rig.leftovers().isEmpty && sidecars(rig).isEmpty)
    try interrupt(rig, after: 30 << 20)
    #expect(try !sidecars(rig).isEmpty)
    let read = try complete(rig, changing: ["SFTP_RESUME": "0"]).bytes
    #expect(read == Self.size)
    try expectStaged(rig)
  }

  // MARK: Another file than before

  @Test(
    "other bytes under the same size and time are found by the overlap, and the file begins anew in the same run",
    arguments: [0, overlap / 2, overlap - 1])
  func otherBytes(placeInOverlap place: Int) throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let offset = Int(try #require(sidecar(rig).json.number("offset")))
    var other = Self.content
    for index in 0...(offset - Self.overlap + place) { other[index] = ~other[index] }
    set(rig, other)
    let report = try rig.fetch()
    #expect(report.exitCode == .done && report.counts.fetched == 1 && report.counts.changed == 0)
    #expect(rig.server.statistics.firstReads[Self.path]?.suffix(2) == [offset - Self.overlap, 0])
    try expectStaged(rig, other)
  }

  @Test(arguments: [(size, 1_700_000_001), (size + 1, 1_700_000_000), (size - 1, 1_699_999_999)] as [(Int, UInt32)])
  func anotherFingerprintIsNeverGoneOnWith(size: Int, mtime: UInt32) throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let other = Array(Self.content.prefix(size)) + (size > Self.size ? [7] : [])
    set(rig, other, mtime: mtime)
    let read = try complete(rig).bytes
    #expect(read == other.count)
    try expectStaged(rig, other)
  }

  @Test func aFileThatChangesWhileItsRestIsReadIsNotStagedAndItsPartIsRemoved() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    var faults = ScriptedSFTPServer.Faults()
    faults.changes[Self.path] = .rewrite
    rig.server.setFaults(faults)
    let report = try rig.fetch()
    #expect(report.counts.fetched == 0 && report.counts.changed == 1)
    #expect(try rig.leftovers().isEmpty && sidecars(rig).isEmpty && rig.stagedTree().isEmpty)
    rig.server.setFaults(.init())
    #expect(try rig.fetch().counts.fetched == 1)
    try expectStaged(rig, Self.content.map { ~$0 })
  }

  @Test func aPartOfAFileThatIsGoneIsRemovedAndOneOutOfSightIsKept() throws {
    let rig = try FetchRig(["d/other": "1"])
    try rig.fetch()
    rig.server.set("/in/d/big", ScriptedSFTPServer.Entry(.file(Self.content)))
    try interrupt(rig, after: 30 << 20)
    rig.refuse("d")
    #expect(try rig.fetch().exitCode == .partial)
    #expect(try sidecars(rig).count == 1)
    rig.server.setFaults(.init())
    rig.server.set("/in/d/big", nil)
    #expect(try rig.fetch().exitCode == .done)
    #expect(try sidecars(rig).isEmpty && rig.leftovers().isEmpty)
  }

  @Test func aPartWaitsWhileItsFileHasToSettleAnew() throws {
    let rig = try FetchRig(["first": "x"])
    try rig.fetch()
    set(rig)
    try interrupt(rig, after: 30 << 20)
    #expect(try complete(rig, settle: 45).report.waiting == 1)
    #expect(try sidecars(rig).count == 1)
    rig.passTime(seconds: 60)
    #expect(try complete(rig, settle: 45).bytes < 20 << 20)
    #expect(try staged(rig) == Self.content)
  }

  @Test("other bytes found in the same run, with nothing else left to read: the file begins anew in that run")
  func otherBytesAfterALostConnection() throws {
    let rig = try rig()
    cut(rig, after: 18 << 20)
    let other = Self.content.map { ~$0 }
    let server = rig.server
    rig.onConnect = { number in
      if number == 2 { server.set("/in/big", ScriptedSFTPServer.Entry(.file(other))) }
    }
    let report = try rig.fetch()
    #expect(report.exitCode == .done && report.counts.fetched == 1)
    #expect(rig.server.statistics.firstReads[Self.path]?.filter { $0 == 0 }.count == 2)
    try expectStaged(rig, other)
  }

  // MARK: What is on disk

  @Test func aFullDiskTakesNothingAwayThatIsRecorded() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    rig.fileSystem = FullFileSystem(fullFor: Array("big".utf8))
    #expect(try rig.fetch().exitCode == .guarded)
    rig.fileSystem = LinuxFileSystem()
    #expect(try complete(rig).bytes == 0)
    try expectStaged(rig)
  }

  @Test func onceTheVolumeHasFailedNoMoreIsWanted() throws {
    var items = ListedFileSelection()
    items.append(FetchPlan.Item(path: try RemotePath("a"), fingerprint: Fingerprint(size: 100, mtime: 1)))
    let outcome = TransferOutcome()
    let transfer = Transfer(
      Transfer.Work(items: items, remoteRoot: Array("/in".utf8)), stop: StopSignal(), outcome: outcome,
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    #expect(transfer.received(token: 0, bytes: [1]))
    outcome.end(.broken(SystemFailure(errno: 28, operation: "write", subject: ""), doing: "write"))
    #expect(!transfer.received(token: 0, bytes: [2]))
  }

  @Test func aPartWithOtherBytesOnDiskBeginsAnew() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let part = rig.directory.path + "/tmp/" + (try #require(rig.leftovers().first))
    let file = try #require(FileHandle(forUpdatingAtPath: part))
    try file.seek(toOffset: 1_000_000)
    try file.write(contentsOf: [0xff])
    try file.close()
    let read = try complete(rig).bytes
    #expect(read == Self.size)
    try expectStaged(rig)
  }

  @Test func aPartShorterThanItsSidecarSaysBeginsAnew() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let part = rig.directory.path + "/tmp/" + (try #require(rig.leftovers().first))
    let file = try #require(FileHandle(forUpdatingAtPath: part))
    try file.truncate(atOffset: 5_000_000)
    try file.close()
    let read = try complete(rig).bytes
    #expect(read == Self.size)
    try expectStaged(rig)
  }

  @Test func bytesBeyondWhatTheSidecarSaysAreNotTrusted() throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let part = rig.directory.path + "/tmp/" + (try #require(rig.leftovers().first))
    let file = try #require(FileHandle(forUpdatingAtPath: part))
    try file.seekToEnd()
    try file.write(contentsOf: [UInt8](repeating: 0xee, count: Self.size))
    try file.close()
    let read = try complete(rig).bytes
    #expect(read < 20 << 20)
    try expectStaged(rig)
  }

  @Test("a sidecar that is cut off or says anything else is not believed", arguments: 0..<6)
  func sidecarDamage(kind: Int) throws {
    let rig = try rig()
    try interrupt(rig, after: 30 << 20)
    let (path, json) = try sidecar(rig)
    let text = String(decoding: try readFile(path), as: UTF8.self)
    let offset = try #require(json.number("offset"))
    let damaged =
      switch kind {
      case 0: ""
      case 1: String(text.dropLast(2))
      case 2: text.replacing("\"offset\":\(offset)", with: "\"offset\":\(offset - 1)")
      case 3: text.replacing("\"offset\":\(offset)", with: "\"offset\":\(Self.size + 1)")
      case 4: text.replacing("\"path\":\"big\"", with: "\"path\":\"../big\"")
      default: text.replacing("sftp://u@h:22/", with: "sftp://u@other:22/")
      }
    #expect(damaged != text)
    try writeFile(path, damaged)
    let read = try complete(rig).bytes
    #expect(read == Self.size)
    try expectStaged(rig)
  }
}

/// Takes something that a test alone uses to another thread.
private struct Held<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
