import Common
import SFTP
import Synchronization
import TestSupport
import Testing

/// Listing a tree, against a scripted server.
@Suite struct WalkTests {
  private func walk(_ server: ScriptedSFTPServer, _ root: String = "/") throws -> RecordingVisitor {
    let visitor = RecordingVisitor()
    try server.client().walk(Array(root.utf8), visitor: visitor)
    return visitor
  }

  private let small: [String: [UInt8]] = ["/in/a": [1], "/in/d/b": [1, 2], "/in/d/e/c": []]

  @Test func everyFileIsFoundOnce() throws {
    let visitor = try walk(ScriptedSFTPServer(files: small), "/in")
    #expect(
      visitor.files == [
        "a": Fingerprint(size: 1, mtime: 1_700_000_000), "d/b": Fingerprint(size: 2, mtime: 1_700_000_000),
        "d/e/c": Fingerprint(size: 0, mtime: 1_700_000_000),
      ])
    #expect(visitor.listed.sorted() == ["", "d", "d/e"])
    #expect(visitor.unknown.isEmpty && visitor.skipped.isEmpty && visitor.late.isEmpty)
  }

  @Test func manyPagesAndManyDirectoriesAreComplete() throws {
    var files: [String: [UInt8]] = [:]
    for directory in 0..<150 {
      for file in 0..<(directory == 7 ? 1000 : 5) { files["/\(directory)/\(file)"] = [] }
    }
    var faults = ScriptedSFTPServer.Faults()
    faults.namesPerPage = 3
    faults.answersInReverse = true
    let server = ScriptedSFTPServer(files: files, faults: faults)
    let visitor = try walk(server)
    #expect(visitor.files.count == files.count)
    #expect(visitor.listed.count == 151)
    #expect(server.statistics.mostOpenHandles <= 64)
    #expect(server.statistics.openHandles == 0)
  }

  @Test(arguments: [ScriptedSFTPServer.Attribute.size, .mtime, .permissions])
  func whatAListingOmitsIsAskedFor(_ attribute: ScriptedSFTPServer.Attribute) throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.listingOmits = [attribute]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults))
    #expect(visitor.files.count == 3)
    #expect(visitor.files["in/d/b"] == Fingerprint(size: 2, mtime: 1_700_000_000))
    #expect(visitor.listed.count == 4)
    #expect(visitor.late.isEmpty)
  }

  @Test func whatNobodySaysIsSkipped() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.listingOmits = [.mtime]
    faults.lstatOmits = [.mtime]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.files.isEmpty)
    #expect(visitor.skipped["d/b"] == .noAttributes("the server does not say its modification time"))
    #expect(visitor.listed.count == 3)
  }

  @Test func anEntryThatVanishedBeforeLSTATIsNotThere() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.listingOmits = [.size]
    faults.refused = [Array("/in/a".utf8): 2, Array("/in/d/b".utf8): 3]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.files.keys.sorted() == ["d/e/c"])
    #expect(visitor.skipped == ["d/b": .noAttributes("permission denied (server: status 3)")])
    #expect(visitor.listed.count == 3)
  }

  @Test func namesThatLeadElsewhereAreSkipped() throws {
    var faults = ScriptedSFTPServer.Faults()
    let names: [[UInt8]] = [
      Array("../etc/passwd".utf8), Array("x/y".utf8), [], [0x61, 0, 0x62], [UInt8](repeating: 0x61, count: 256), [0xff],
    ]
    faults.extraNames = [Array("/in".utf8): names]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.skipped["../etc/passwd"] == .badName(.slash))
    #expect(visitor.skipped["x/y"] == .badName(.slash))
    #expect(visitor.skipped[""] == .badName(.empty))
    #expect(visitor.skipped[#"a\x00b"#] == .badName(.nul))
    #expect(visitor.skipped.values.contains(.badName(.nameTooLong)))
    #expect(visitor.files[#"\xff"#] == Fingerprint(size: 0, mtime: 1_700_000_000))
    #expect(visitor.files.count == 4)
  }

  @Test func linksAndPipesAreSkippedAndNotFollowed() throws {
    let server = ScriptedSFTPServer(files: small)
    server.set("/in/link", .init(.symlink))
    server.set("/in/pipe", .init(.pipe))
    let visitor = try walk(server, "/in")
    #expect(visitor.skipped == ["link": .symlink, "pipe": .special])
    #expect(visitor.files.count == 3)
  }

  @Test func aDirectoryThatCannotBeListedIsUnknown() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.refused = [Array("/in/d/e".utf8): 3]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.unknown["d/e"]?.code == "permission-denied")
    #expect(visitor.unknown["d/e"]?.description.hasPrefix("list /in/d/e: permission denied") == true)
    #expect(visitor.listed.sorted() == ["", "d"])
  }

  @Test func aListingThatBreaksOffIsUnknown() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.namesPerPage = 3
    faults.listingBreaks = [Array("/in".utf8): 4]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.unknown[""]?.status == 4)
    #expect(!visitor.listed.contains(""))
  }

  @Test func aRootThatIsNotThereIsUnknown() throws {
    let visitor = try walk(ScriptedSFTPServer(files: small), "/out")
    #expect(visitor.unknown[""]?.code == "no-such-file")
    #expect(visitor.listed.isEmpty)
  }

  @Test func aListingThatNeverEndsIsUnknown() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.emptyPages = [Array("/in/d".utf8)]
    let visitor = try walk(ScriptedSFTPServer(files: small, faults: faults), "/in")
    #expect(visitor.unknown["d"]?.code == "bad-answer")
    #expect(visitor.listed == [""])
  }

  @Test func aServerWithFewHandlesIsListedCompletely() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.handles = 2
    var files: [String: [UInt8]] = [:]
    for directory in 0..<100 { files["/\(directory)/x"] = [] }
    let visitor = try walk(ScriptedSFTPServer(files: files, faults: faults))
    #expect(visitor.files.count == 100)
    #expect(visitor.unknown.isEmpty)
  }

  @Test func directoriesNotWantedAreNotOpened() throws {
    let server = ScriptedSFTPServer(files: small)
    let visitor = RecordingVisitor()
    visitor.avoided = ["d"]
    try server.client().walk(Array("/in".utf8), visitor: visitor)
    #expect(visitor.listed == [""])
    #expect(server.statistics.opens[Array("/in/d".utf8)] == nil)
  }

  @Test func pathsAreResolvedAndExamined() throws {
    let connection = try ScriptedSFTPServer(files: small).client()
    #expect(try connection.realPath([]) == [slash])
    #expect(try connection.attributes(Array("/in".utf8)).kind == .directory)
    let error = #expect(throws: SFTPError.self) { try connection.attributes(Array("/no".utf8)) }
    #expect(error?.code == "no-such-file")
    #expect(connection.facts == nil)
    connection.close()
    connection.close()
    #expect(throws: SFTPError.self) { try connection.realPath([]) }
  }
}
