import Common
import TestSupport
import Testing

/// What happens at the source is mirrored once, and nothing else is touched.
@Suite struct ChangeTests {
  struct Change: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let text: String
    let mtime: Int
  }

  static let changes = [
    Change(testDescription: "larger", text: "twelve bytes", mtime: 1_700_000_100),
    Change(testDescription: "smaller", text: "1", mtime: 1_700_000_100),
    Change(testDescription: "empty", text: "", mtime: 1_700_000_100),
    Change(testDescription: "larger, same mtime", text: "twelve bytes", mtime: 1_700_000_000),
    Change(testDescription: "same size, newer mtime", text: "87654321", mtime: 1_700_000_100),
    Change(testDescription: "same size, older mtime", text: "87654321", mtime: 1_600_000_000),
    Change(testDescription: "same bytes, newer mtime", text: "12345678", mtime: 1_700_000_100),
  ]

  @Test(arguments: changes) func aChangedFileIsFetchedAndPublishedOnce(_ change: Change) throws {
    let rig = try Rig()
    try rig.serve("changing.txt", "12345678")
    for number in 1...5 { try rig.serve("other/\(number).txt", "other \(number)") }
    try rig.sync()
    let before = try rig.journal().count
    let heads = try rig.bucket.heads(under: rig.prefix)

    try rig.serve("changing.txt", change.text, mtime: change.mtime)
    try rig.sync()
    let added = try rig.journal().dropFirst(before)
    #expect(added.filter { $0.op == "fetched" }.map(\.path) == ["changing.txt"])
    #expect(added.filter { $0.op == "published" }.map(\.path) == ["changing.txt"])
    #expect(Set(added.map(\.op)).subtracting(["run", "fetched", "published", "end"]) == [])
    try rig.expectBucketEqualsSource()
    try rig.expectStagingEqualsSource()
    let touched = try rig.bucket.heads(under: rig.prefix).filter { heads[$0.key] != $0.value }.map { escaped($0.key) }
    #expect(touched.allSatisfy { $0 == "\(rig.prefix)/changing.txt" }, "touched: \(touched)")

    let journal = try rig.journalFiles()
    try rig.sync()
    #expect(try rig.journalFiles() == journal)
  }

  @Test func aShiftOfAllTimesByAnHourSendsNothingAndIsProvenByFullSync() throws {
    let rig = try Rig()
    func serve(mtime: Int, edited: Bool = false) throws {
      for number in 1...20 {
        try rig.serve(
          "d\(number % 3)/\(number).txt", edited && number == 7 ? "hidden" : "same \(number % 10)", mtime: mtime)
      }
    }
    func unproven() throws -> Int? {
      let status = try rig.run("status", "--json").stdout
      return status.firstMatch(of: /"unproven" ?: ?(\d+)/).flatMap { Int($0.1) }
    }
    try serve(mtime: 1_700_000_000)
    try rig.sync()
    let heads = try rig.bucket.heads(under: rig.prefix)
    let before = try rig.journal().count

    try serve(mtime: 1_700_003_600, edited: true)
    try rig.sync()
    #expect(Set(try rig.journal().dropFirst(before).map(\.op)) == ["run", "touched", "end"])
    #expect(try rig.bucket.heads(under: rig.prefix) == heads, "nothing was sent")
    #expect(try unproven() == 20)

    #expect(try rig.run("full-sync").exitCode == ExitCode.done.rawValue)
    let added = try rig.journal().dropFirst(before)
    #expect(added.filter { $0.op == "fetched" }.map(\.path) == ["d1/7.txt"])
    #expect(added.filter { $0.op == "published" }.map(\.path) == ["d1/7.txt"])
    #expect(added.filter { $0.op == "proven" }.count == 19)
    #expect(try unproven() == 0)
    try rig.expectBucketEqualsSource()
    try rig.expectStagingEqualsSource()
  }

  @Test func aRenamedFileArrivesUnderItsNewNameAndTheOldOneStays() throws {
    let rig = try Rig()
    try rig.serve("old name.txt", "content")
    try rig.serve("other.txt", "other")
    try rig.sync()
    let source = try rig.sourceDigest(Array("old name.txt".utf8))

    try move(rig.served + "/old name.txt", to: rig.served + "/new name.txt")
    try rig.sync()
    let objects = try rig.bucket.objects(under: rig.prefix)
    #expect(objects[rig.key("old name.txt")]?.sha256 == source)
    #expect(objects[rig.key("new name.txt")]?.sha256 == source)

    // Absence is believed at the second clean listing in a row, recorded once, and deletes nothing.
    try rig.sync()
    try rig.sync()
    #expect(try rig.journal().filter { $0.op == "gone" }.map(\.path) == ["old name.txt"])
    #expect(exists(rig.staging + "/files/old name.txt"))
    #expect(try rig.bucket.heads(under: rig.prefix).count == 3)
    let journal = try rig.journalFiles()
    try rig.sync()
    #expect(try rig.journalFiles() == journal)
  }

  @Test func aFileThatComesBackIsFetchedAgain() throws {
    let rig = try Rig()
    try rig.serve("comes and goes.txt", "content")
    try rig.serve("other.txt", "other")
    try rig.sync()
    removeTree(rig.served + "/comes and goes.txt")
    for _ in 1...3 { try rig.sync() }
    try rig.serve("comes and goes.txt", "content")
    try rig.sync()
    let ops = try rig.journal().filter { $0.path == "comes and goes.txt" }.map(\.op)
    #expect(ops == ["fetched", "published", "gone", "fetched", "published"])
    try rig.expectBucketEqualsSource()
  }

  @Test func eachPhaseWorksOnItsOwn() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    let fetched = try rig.run("fetch", changing: ["S3_SECRET_ACCESS_KEY": nil])
    #expect(fetched.exitCode == 0, "\(fetched.stderr)")
    #expect(try rig.bucket.heads(under: rig.prefix).isEmpty)
    try rig.sshd.stop()
    let published = try rig.run("publish")
    #expect(published.exitCode == 0, "publish never talks to the SFTP server: \(published.stderr)")
    try rig.expectBucketEqualsSource()
  }

  @Test func statusAndLsTellPendingFromPublished() throws {
    let rig = try Rig()
    try rig.serve("folder/a.txt", "a")
    try rig.serve("b.txt", "bb")
    try rig.run("fetch")
    for arguments in [["status"], ["status", "--json"], ["ls"], ["ls", "--json"], ["ls", "folder"]] {
      // Reading needs no credentials.
      let outcome = try Binary.run(arguments, environment: ["STAGING_DIR": rig.staging])
      #expect(outcome.exitCode == 0, "\(arguments): \(outcome.stderr)")
      #expect(!outcome.stdout.isEmpty, "\(arguments) prints its result on standard output")
    }
    let listed = try rig.run("ls").stdout
    #expect(listed.contains("folder/a.txt") && listed.contains("b.txt"))
    let narrowed = try rig.run("ls", "folder").stdout
    #expect(narrowed.contains("a.txt") && !narrowed.contains("b.txt"))
  }
}
