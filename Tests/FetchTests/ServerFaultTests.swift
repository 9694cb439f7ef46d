internal import Common
internal import Foundation
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

/// What servers get wrong, each fault as a whole run of fetch meets it. Tests/FAULTS.md lists them all.
@Suite struct ServerFaultTests {
  private static let content = String((0..<100_000).map { Character(Unicode.Scalar(97 + UInt8($0 % 23))) })
  private let files = ["a": content, "d/b": "small", "d/e/empty": ""]

  private func bytes(_ path: String) -> [UInt8] { Array("/in/\(path)".utf8) }

  @Test(
    "a listing without sizes, times or types, or with flags 0, delivers everything",
    arguments: [ScriptedSFTPServer.Attribute.size, .mtime, .permissions, .all])
  func aListingWithoutAttributes(_ omitted: ScriptedSFTPServer.Attribute) throws {
    let rig = try FetchRig(files)
    rig.misbehave { $0.listingOmits = [omitted] }
    let report = try rig.fetch()
    #expect(report.exitCode == .done && report.counts.fetched == 3 && report.skipped.isEmpty)
    #expect(try rig.stagedTree() == files)
  }

  @Test(
    "FSTAT without size, time or any attribute is made up for by LSTAT",
    arguments: [ScriptedSFTPServer.Attribute.size, .mtime, .all])
  func anOpenFileWithoutAttributes(_ omitted: ScriptedSFTPServer.Attribute) throws {
    let rig = try FetchRig(files)
    rig.misbehave { $0.fstatOmits = [omitted] }
    #expect(try rig.fetch().exitCode == .done)
    #expect(try rig.stagedTree() == files)
  }

  @Test("a file of which nobody says the attributes is skipped and named, and is not absent")
  func attributesThatNobodySays() throws {
    let rig = try FetchRig(["a": "1", "b": "2"])
    try rig.fetch()
    rig.misbehave {
      $0.listingOmits = [.all]
      $0.lstatOmits = [.all]
    }
    for _ in 0..<3 { #expect(try rig.fetch().skipped.count == 2) }
    #expect(try !rig.operations().contains("gone"))
  }

  @Test("a longname that lies is not read")
  func longnames() throws {
    let rig = try FetchRig(files)
    rig.misbehave {
      $0.longname = "lrwxrwxrwx 1 root root 999999999 Jan 1 1970 ../../etc/passwd -> /etc/shadow"
      $0.listingOmits = [.all]
    }
    #expect(try rig.fetch().exitCode == .done)
    #expect(try rig.stagedTree() == files)
  }

  @Test(
    "modification times are unsigned: 0, 2038 and later arrive as they are",
    arguments: [0, 2_147_483_648, .max] as [UInt32])
  func timesOfThirtyTwoBits(_ mtime: UInt32) throws {
    let rig = try FetchRig(["other": "x"])
    rig.set("a", "1", mtime: mtime)
    #expect(try rig.fetch().counts.fetched == 2)
    #expect(try rig.state.paths[RemotePath("a")]?.fingerprint.mtime == mtime)
    #expect(try rig.fetch().unchanged == 2)
  }

  @Test("READs that are cut short deliver everything", arguments: [1, 30_000, 32_767])
  func shortReads(_ bytesPerRead: Int) throws {
    let files = bytesPerRead == 1 ? ["a": String(Self.content.prefix(900)), "b": "small"] : files
    let rig = try FetchRig(files)
    rig.misbehave { $0.bytesPerRead = bytesPerRead }
    #expect(try rig.fetch().exitCode == .done)
    #expect(try rig.stagedTree() == files)
  }

  @Test("a server that stops before the size stages nothing of that file", arguments: [0, 1, 32_768, 99_999])
  func stopsBeforeTheSize(_ end: Int) throws {
    let rig = try FetchRig(files)
    rig.misbehave { $0.endsAt = [bytes("a"): end] }
    let report = try rig.fetch()
    #expect(report.counts.fetched == 2 && report.counts.changed == 1)
    #expect(try rig.stagedTree() == ["d/b": "small", "d/e/empty": ""])
    #expect(try rig.leftovers().isEmpty)
    rig.misbehave { _ in }
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(try rig.stagedTree() == files)
  }

  @Test("a tree without bottom ends at 64 directories")
  func aTreeWithoutBottom() throws {
    let deep = (0..<300).map { "\($0)" }
    let bottom = deep.joined(separator: "/") + "/file"
    let rig = try FetchRig([bottom: "too deep", deep.prefix(63).joined(separator: "/") + "/file": "deep", "a": "1"])
    let report = try rig.fetch()
    #expect(report.counts.fetched == 2)
    #expect(report.skipped.count == 1 && report.skipped[0].contains("deep"), "\(report.skipped)")
  }

  @Test("a readdir error that the server hides deletes nothing, and what returns is mirrored on")
  func hiddenReaddirErrors() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<250).map { ("d/f\($0)", "\($0)") })
    let rig = try FetchRig(many)
    try rig.fetch()
    // The listing ends early, as if that were all.
    rig.misbehave { $0.listingBreaks[bytes("d")] = 1 }
    for _ in 0..<3 { #expect(try rig.fetch().exitCode == .done) }
    #expect(try rig.stagedTree().values.filter { !$0.isEmpty }.count == 250, "staged files stay")
    #expect(try !rig.operations().contains { ["dropped", "deleted"].contains($0) })
    rig.misbehave { _ in }
    rig.set("d/f7", "changed", mtime: 1_700_000_001)
    #expect(try rig.fetch().exitCode == .done)
    #expect(rig.staged("d/f7") == "changed")
    #expect(try rig.state.paths.allSatisfy { !$0.isGone })
  }

  @Test("a listing that lacks everything deletes nothing")
  func massDisappearance() throws {
    let rig = try FetchRig(files)
    try rig.fetch()
    for path in files.keys { rig.set(path, nil) }
    for _ in 0..<3 { #expect(try rig.fetch().exitCode == .done) }
    #expect(try rig.stagedTree().filter { $0.value != "" }.count == 2)
    for (path, content) in files { #expect(rig.staged(path) == content) }
    #expect(try !rig.operations().contains { ["dropped", "deleted"].contains($0) })
  }

  @Test("one unreadable directory among many keeps nothing else from being fetched (rclone #1101, #3594)")
  func oneUnreadableDirectory() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<300).map { ("d\($0 % 30)/f\($0)", "\($0)") })
    let rig = try FetchRig(many)
    rig.refuse("d7")
    let report = try rig.fetch()
    #expect(report.exitCode == .partial && report.unknown.count == 1)
    #expect(report.counts.fetched == 290 && report.counts.failed == 0)
    #expect(report.isSuccess)
  }

  @Test("forbidden and vanished files keep nothing else from being fetched (rclone #1101, #3594)")
  func forbiddenAndVanishedFiles() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<300).map { ("f\($0)", "\($0)") })
    let rig = try FetchRig(many)
    rig.misbehave { $0.refused = [bytes("f1"): 3, bytes("f2"): 2, bytes("f3"): 4] }
    let report = try rig.fetch()
    #expect(report.counts.fetched == 297 && report.counts.failed == 2 && report.counts.vanished == 1)
    #expect(report.exitCode == .partial)
    #expect(try rig.state.failures.values.map(\.code).sorted() == ["permission-denied", "sftp-status-4"])
  }

  @Test("read-once servers: each file is opened once, one after the other (pkg/sftp #424, IBM Sterling)")
  func readOnceServers() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<120).map { ("d\($0 % 5)/f\($0)", "\($0)" + Self.content) })
    let rig = try FetchRig(many)
    rig.misbehave {
      $0.isReadOnce = true
      $0.handles = 1
    }
    let report = try rig.fetch(inFlight: 1, connections: 1)
    #expect(report.exitCode == .done && report.counts.fetched == 120)
    #expect(try rig.stagedTree().filter { !$0.value.isEmpty } == many)
    #expect(many.keys.allSatisfy { rig.server.statistics.opens[bytes($0)] == 1 })
    #expect(rig.server.statistics.connections == 1)
    for _ in 0..<3 { #expect(try rig.fetch(inFlight: 1, connections: 1).exitCode == .done) }
    #expect(many.allSatisfy { rig.staged($0.key) == $0.value })
  }

  @Test("servers with one open file serve everything, without a setting (rclone #5077, PR #7887)")
  func oneOpenFile() throws {
    let many = Dictionary(uniqueKeysWithValues: (0..<120).map { ("d\($0 % 5)/f\($0)", "\($0)") })
    let rig = try FetchRig(many)
    rig.misbehave { $0.handles = 1 }
    let report = try rig.fetch(inFlight: 128, connections: 1)
    #expect(report.exitCode == .done && report.counts.fetched == 120)
    #expect(rig.server.statistics.mostOpenHandles == 1)
  }

  @Test(
    "a file that changes between listing and opening is not staged",
    arguments: [ScriptedSFTPServer.Change.grow, .shrink, .rewrite])
  func changedBeforeOpening(_ change: ScriptedSFTPServer.Change) throws {
    let rig = try FetchRig(files)
    rig.misbehave { $0.changesAtOpen = [bytes("a"): change] }
    let report = try rig.fetch()
    #expect(report.counts.fetched == 2 && report.counts.changed == 1 && report.exitCode == .done)
    #expect(rig.staged("a") == nil)
    #expect(try rig.fetch().counts.fetched == 1)
  }

  /// Every generation is one letter many times over, so that a mixture shows.
  @Test("a file rewritten in place during each of a hundred fetches is never staged in a mixture (lftp #697)")
  func rewrittenInPlace() throws {
    let rig = try FetchRig(["still": "x"])
    try rig.fetch()
    for round in 0..<100 {
      let letter = Character(Unicode.Scalar(97 + UInt8(round % 26)))
      rig.set("a", String(repeating: letter, count: 200_000), mtime: 1_700_000_000 + UInt32(round) * 10)
      rig.misbehave {
        $0.bytesPerRead = 20_000
        $0.readsBeforeChange = round % 10
        if round % 3 == 0 { $0.changesAtOpen = [bytes("a"): .rewrite] } else { $0.changes = [bytes("a"): .rewrite] }
      }
      let report = try rig.fetch()
      #expect(report.counts.fetched == 0 && report.counts.changed == 1, "round \(round)")
      #expect(rig.staged("a") == nil, "round \(round)")
    }
    #expect(try rig.leftovers().isEmpty)
    rig.set("a", String(repeating: "z", count: 200_000), mtime: 1_800_000_000)
    rig.misbehave { _ in }
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("a") == String(repeating: "z", count: 200_000))
  }

  @Test("old-dated files are fetched whenever they arrive (NiFi ListFTP)", arguments: [0, 1, 315_532_800] as [UInt32])
  func oldDatedFiles(_ mtime: UInt32) throws {
    let rig = try FetchRig(["new": "x"])
    try rig.fetch()
    rig.set("moved in", "old", mtime: mtime)
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("moved in") == "old")
  }

  @Test(
    "same-size edits are fetched, dated later or earlier (aws-cli #3273, rclone #32)",
    arguments: [1_700_000_001, 1_699_999_999, 0] as [UInt32])
  func sameSizeEdits(_ mtime: UInt32) throws {
    let rig = try FetchRig(["a": "before", "b": "x"])
    try rig.fetch()
    rig.set("a", "edited", mtime: mtime)
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("a") == "edited")
  }

  @Test("half-uploaded files wait until they have stopped changing (PipedreamHQ/roadmap #454)")
  func halfUploadedFiles() throws {
    let rig = try FetchRig(["first": "x"])
    try rig.fetch()
    for part in 1...5 {
      // Uploads that keep the partner's own time show growth by their size alone.
      rig.set("upload", String(repeating: "part", count: part), mtime: 1_600_000_000)
      rig.passTime(seconds: 40)
      #expect(try rig.fetch(settle: 45).counts.fetched == 0)
    }
    rig.passTime(seconds: 46)
    #expect(try rig.fetch(settle: 45).counts.fetched == 1)
    #expect(rig.staged("upload") == String(repeating: "part", count: 5))
  }
}
