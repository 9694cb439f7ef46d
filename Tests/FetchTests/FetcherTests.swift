internal import Common
internal import Foundation
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

@Suite struct FetcherTests {
  @Test func stagesEveryFileOnceAndRecordsIt() throws {
    let rig = try FetchRig(["a.txt": "one", "d/b.txt": "two", "d/e/empty": ""])
    let report = try rig.fetch()
    #expect(report.exitCode == .done)
    #expect(report.counts.fetched == 3 && report.counts.fetchedBytes == 6)
    #expect(try rig.stagedTree() == ["a.txt": "one", "d/b.txt": "two", "d/e/empty": ""])
    #expect(try rig.leftovers().isEmpty)
    let path = try RemotePath("a.txt")
    #expect(try rig.state.paths[path]?.sha256 == .of(Array("one".utf8)))
    let attributes = try FileManager.default.attributesOfItem(atPath: rig.directory.path + "/files/a.txt")
    #expect((attributes[.modificationDate] as? Date)?.timeIntervalSince1970 == 1_700_000_000)

    let before = try rig.operations()
    let again = try rig.fetch()
    #expect(again.unchanged == 3 && again.counts == TransferCounts())
    #expect(try rig.operations() == before)
    let opens = rig.server.statistics.opens
    for path in ["a.txt", "d/b.txt", "d/e/empty"] { #expect(opens[Array(("/in/" + path).utf8)] == 1) }
  }

  @Test(
    arguments: [
      ("longer content", 1_700_000_000), ("x", 1_700_000_000), ("new", 1_600_000_000), ("new", 1_800_000_000),
    ] as [(String, UInt32)])
  func aChangedFileIsFetchedAndTheOldGenerationSuperseded(content: String, mtime: UInt32) throws {
    let rig = try FetchRig(["a": "old", "b": "same"])
    try rig.fetch()
    rig.set("a", content, mtime: mtime)
    let report = try rig.fetch()
    #expect(report.counts.fetched == 1 && report.unchanged == 1)
    #expect(rig.staged("a") == content)
    #expect(try rig.operations().suffix(3) == ["run", "fetched", "superseded"])
  }

  @Test(
    "a file that changes while it is read is never staged in a mixture",
    arguments: [ScriptedSFTPServer.Change.grow, .shrink, .rewrite])
  func changesUnderTheReader(change: ScriptedSFTPServer.Change) throws {
    let rig = try FetchRig(["a": String(repeating: "a", count: 100_000), "b": "still"])
    var faults = ScriptedSFTPServer.Faults()
    faults.changes[Array("/in/a".utf8)] = change
    rig.server.setFaults(faults)
    let report = try rig.fetch()
    #expect(report.counts.changed == 1 && report.counts.fetched == 1)
    #expect(report.exitCode == .done)
    #expect(try rig.stagedTree() == ["b": "still"])
    #expect(try rig.leftovers().isEmpty)
    rig.server.setFaults(.init())
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("a") != nil)
  }

  @Test func shortReadsAndAnswersOutOfOrderGiveWholeFiles() throws {
    let content = String((0..<200_000).map { Character(Unicode.Scalar(UInt8(ascii: "a") + UInt8($0 % 23))) })
    let rig = try FetchRig(["a": content, "b": content + "b", "c": "small"])
    var faults = ScriptedSFTPServer.Faults()
    faults.bytesPerRead = 1_000
    faults.answersInReverse = true
    faults.listingOmits = [.size, .mtime, .permissions]
    rig.server.setFaults(faults)
    #expect(try rig.fetch().counts.fetched == 3)
    #expect(try rig.stagedTree() == ["a": content, "b": content + "b", "c": "small"])
  }

  @Test func aRefusedFileIsRecordedOnceAndHoldsUpNothing() throws {
    let rig = try FetchRig(["a": "1", "locked": "2", "c": "3"])
    rig.refuse("locked")
    // The listing must show it, so only OPEN is refused: its attributes are in the listing.
    for _ in 0..<2 {
      let report = try rig.fetch()
      #expect(report.counts.failed == 1)
      #expect(report.exitCode == .partial)
    }
    #expect(try rig.operations().filter { $0 == "failed" }.count == 1)
    #expect(try rig.stagedTree() == ["a": "1", "c": "3"])
    rig.server.setFaults(.init())
    #expect(try rig.fetch().exitCode == .done)
    #expect(try rig.state.failures.isEmpty)
  }

  @Test func aRefusedFileStaysSettledAndIsForgottenWhenItGoes() throws {
    let rig = try FetchRig(["first": "x"])
    try rig.fetch()
    rig.set("locked", "2")
    rig.refuse("locked")
    try rig.fetch(settle: 45)
    rig.passTime(seconds: 60)
    for _ in 0..<3 { #expect(try rig.fetch(settle: 45).counts.failed == 1, "every run says so, not every other") }
    rig.set("locked", nil)
    for _ in 0..<2 { try rig.fetch(settle: 45) }
    #expect(try rig.state.failures.isEmpty)
    let before = try rig.operations()
    #expect(try rig.fetch(settle: 45).exitCode == .done)
    #expect(try rig.operations() == before)
  }

  @Test func aDirectoryThatCannotBeListedLosesNothing() throws {
    let rig = try FetchRig(["open/a": "1", "locked/b": "2"])
    try rig.fetch()
    rig.refuse("locked")
    rig.set("open/new", "3")
    for _ in 0..<3 {
      let report = try rig.fetch()
      #expect(report.exitCode == .partial)
      #expect(report.unknown.count == 1 && report.unknown[0].contains("locked"))
    }
    #expect(try rig.stagedTree() == ["open/a": "1", "locked/b": "2", "open/new": "3"])
    #expect(try !rig.operations().contains("gone"))
  }

  @Test func aListingThatBreaksOffIsNoProofOfAbsence() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<250).map { ("d/f\($0)", "\($0)") })
    let rig = try FetchRig(many)
    try rig.fetch()
    var faults = ScriptedSFTPServer.Faults()
    faults.listingBreaks[Array("/in/d".utf8)] = 4
    rig.server.setFaults(faults)
    for _ in 0..<3 { #expect(try rig.fetch().exitCode == .partial) }
    #expect(try !rig.operations().contains("gone"))
    #expect(try rig.state.paths.count == 250)
  }

  @Test func aFileIsGoneWhenTwoCleanListingsLackIt() throws {
    let rig = try FetchRig(["a": "1", "b": "2"])
    try rig.fetch()
    rig.set("a", nil)
    try rig.fetch()
    #expect(try !rig.operations().contains("gone"))
    #expect(try rig.fetch().gone == 1)
    #expect(rig.staged("a") == "1", "staged files stay")
    #expect(try rig.fetch().gone == 0)
    // It comes back unchanged: a new generation.
    rig.set("a", "1")
    #expect(try rig.fetch().counts.fetched == 1)
  }

  @Test func anAbsenceInBetweenIsForgotten() throws {
    let rig = try FetchRig(["a": "1", "b": "2"])
    try rig.fetch()
    for _ in 0..<2 {
      rig.set("a", nil)
      try rig.fetch()
      rig.set("a", "1")
      try rig.fetch()
    }
    #expect(try !rig.operations().contains("gone"))
  }

  @Test func aFileIsFetchedOnlyWhenItHasSettled() throws {
    let rig = try FetchRig(["first": "x"])
    try rig.fetch()  // The volume is not new any more.
    rig.set("a", "grow")
    #expect(try rig.fetch(settle: 45).waiting == 1)
    rig.passTime(seconds: 30)
    rig.set("a", "growing")
    #expect(try rig.fetch(settle: 45).waiting == 1)
    rig.passTime(seconds: 30)
    #expect(try rig.fetch(settle: 45).counts.fetched == 0)
    rig.passTime(seconds: 30)
    #expect(try rig.fetch(settle: 45).counts.fetched == 1)
    #expect(rig.staged("a") == "growing")
  }

  @Test func theFirstRunWaitsAndFetchesWhatHasSettledMeanwhile() throws {
    let rig = try FetchRig(["a": "1"], tick: 20_000)
    let report = try rig.fetch(settle: 45)
    #expect(report.counts.fetched == 1 && report.waiting == 0)
  }

  @Test func aComprehensiveRunTrustsNoEarlierObservation() throws {
    let rig = try FetchRig(["a": "1", "b": "2"], tick: 20_000)
    try rig.fetch()
    rig.set("a", nil)
    rig.set("c", "3")
    let report = try rig.fetch(.comprehensive, settle: 45)
    #expect(report.counts.fetched == 1)
    #expect(report.gone == 1, "two listings of its own")
  }

  @Test func aLostConnectionLosesNothingThatArrived() throws {
    let files = Dictionary(uniqueKeysWithValues: (0..<40).map { ("f\($0)", String(repeating: "\($0)", count: 20_000)) })
    let rig = try FetchRig(files)
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 500_000
    rig.server.setFaults(faults)
    rig.connectionsAllowed = 1
    let report = try rig.fetch(inFlight: 4)
    #expect(report.exitCode == .fatal, "that of what kept the connection from being replaced")
    #expect(report.counts.fetched > 0 && report.counts.fetched < 40)
    for (path, content) in try rig.stagedTree() { #expect(files[path] == content) }
    #expect(try rig.leftovers().isEmpty)
    rig.server.setFaults(.init())
    #expect(try rig.fetch().exitCode == .done)
    #expect(try rig.stagedTree() == files)
    #expect(try rig.operations().filter { $0 == "fetched" }.count == 40, "nothing is fetched twice")
  }

  @Test func aLostConnectionIsReplacedInTheSameRun() throws {
    let files = Dictionary(uniqueKeysWithValues: (0..<40).map { ("f\($0)", String(repeating: "\($0)", count: 20_000)) })
    let rig = try FetchRig(files)
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 800_000
    rig.server.setFaults(faults)
    let report = try rig.fetch(inFlight: 4)
    #expect(report.exitCode == .done)
    #expect(report.counts.fetched == 40 && report.counts.failed == 0)
    #expect(try rig.stagedTree() == files)
    #expect(try rig.leftovers().isEmpty)
    #expect(rig.server.statistics.connections > 1)
    #expect(try rig.operations().filter { $0 == "fetched" }.count == 40)
  }

  @Test func hostileNamesStageNothingOutside() throws {
    let rig = try FetchRig(["good": "1"])
    var faults = ScriptedSFTPServer.Faults()
    faults.extraNames[Array("/in".utf8)] = [
      Array("../escape".utf8), Array("/etc/passwd".utf8), Array("a\u{0}b".utf8), Array("..".utf8), [],
      [UInt8](repeating: 0x61, count: 300),
    ]
    rig.server.setFaults(faults)
    let report = try rig.fetch()
    #expect(try rig.stagedTree() == ["good": "1"])
    #expect(report.skipped.count == 5, "\(report.skipped)")  // `..` is every directory's own.
    #expect(try FileManager.default.contentsOfDirectory(atPath: rig.directory.path).contains("escape") == false)
  }

  @Test func aFileWhereADirectoryWasWaitsForPublish() throws {
    let rig = try FetchRig(["a/x": "1"])
    try rig.fetch()
    rig.set("a/x", nil)
    rig.server.set("/in/a", ScriptedSFTPServer.Entry(.file(Array("file now".utf8))))
    let waiting = try rig.fetch()
    #expect(waiting.blocked == 1 && waiting.exitCode == .done)
    #expect(rig.staged("a/x") == "1")
    try rig.publishAll()
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(try rig.stagedTree() == ["a": "file now"])
    #expect(try rig.operations().suffix(4).contains("dropped"))
  }

  @Test func somethingForeignInFilesIsNotOverwritten() throws {
    let rig = try FetchRig(["a": "1", "b": "2"])
    let foreign = rig.directory.path + "/files/a"
    try FileManager.default.createDirectory(atPath: foreign, withIntermediateDirectories: true)
    try Data("mine".utf8).write(to: URL(filePath: foreign + "/note"))
    let report = try rig.fetch()
    #expect(report.exitCode == .partial && report.counts.failed == 1)
    #expect(rig.staged("b") == "2")
    #expect(try rig.state.failures.values.map(\.code) == ["place-taken"])
    try FileManager.default.removeItem(atPath: foreign)
    #expect(try rig.fetch().exitCode == .done)
    #expect(rig.staged("a") == "1")
  }

  @Test func aRunThatIsStoppedWhileItWaitsHasNotWaitedForNothing() throws {
    let rig = try FetchRig(["a": "1"])
    let stopper = Worker { [stop = rig.stop] in
      pause(milliseconds: 500)
      stop.request()
    }
    let report = try rig.fetch(settle: 45)
    stopper.join()
    #expect(report.failure?.code == "stopped")
    rig.passTime(seconds: 60)
    // A file that still has to settle must not unsettle the other.
    rig.set("b", "2")
    #expect(try FetchRig.again(rig, tick: 20_000).fetch(settle: 45).counts.fetched == 2)
  }

  @Test func aStopLeavesWhatIsDurable() throws {
    let rig = try FetchRig(["a": "1"])
    rig.stop.request()
    let report = try rig.fetch()
    #expect(report.exitCode == .temporary)
    #expect(report.failure?.code == "stopped")
  }

  @Test func aMissingFolderIsAConfigurationErrorAndBindsNothing() throws {
    let rig = try FetchRig(["a": "1"])
    rig.refuse("", 2)
    var faults = ScriptedSFTPServer.Faults()
    faults.refused[Array("/in".utf8)] = 2
    rig.server.setFaults(faults)
    let report = try rig.fetch()
    #expect(report.exitCode == .configuration)
    #expect(report.failure?.advice?.contains("SFTP_FOLDER_NAME") == true)
    #expect(try rig.state.binding == nil)
  }

  @Test func aRunWhoseTimeIsOverKeepsWhatItHasAndSaysWhy() throws {
    let rig = try FetchRig(["a": "1"])
    rig.stop = StopSignal(deadlineSeconds: monotonicSeconds() - 1)
    let report = try rig.fetch()
    #expect(report.failure?.code == "max-duration" && report.exitCode == .temporary)
    #expect(report.failure?.description.contains("MAX_DURATION") == true)
    #expect(!report.isSuccess)
    // Somebody's wish comes first.
    rig.stop.request()
    #expect(try rig.fetch().failure?.code == "stopped")
    rig.stop = StopSignal()
    #expect(try rig.fetch().counts.fetched == 1)
  }
}
