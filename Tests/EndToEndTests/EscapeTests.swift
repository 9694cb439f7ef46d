import Common
import TestSupport
import Testing

/// Nothing outside files/ is ever written or read, whatever someone plants in the staging volume.
@Suite struct EscapeTests {
  @Test func aLinkPlantedInPlaceOfADirectoryIsNotFollowed() throws {
    let rig = try Rig()
    try rig.serve("folder/a.txt", "a")
    try rig.sync()
    let outside = rig.home.path + "/outside"
    try writeFile(outside + "/a.txt", "not ours")
    let untouched = try treeDigest(of: outside)
    removeTree(rig.staging + "/files/folder")
    try makeSymlink(at: rig.staging + "/files/folder", to: outside)

    try rig.serve("folder/a.txt", "changed", mtime: 1_700_000_001)
    try rig.serve("folder/new.txt", "new")
    let outcome = try rig.run("sync")
    #expect(outcome.exitCode != 0, "a link where a directory belongs must be told:\n\(outcome.stderr)")
    #expect(try treeDigest(of: outside) == untouched, "something outside files/ was written")
    let objects = try rig.bucket.objects(under: rig.prefix)
    #expect(!objects.values.contains { $0.sha256 == SHA256Digest.of("not ours".utf8) }, "something outside was read")

    removeTree(rig.staging + "/files/folder")
    try rig.sync()
    try rig.expectBucketEqualsSource()
  }

  @Test func aLinkPlantedInPlaceOfAFileIsNotRead() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "12345678")
    try rig.run("fetch")
    try writeFile(rig.home.path + "/secret", "87654321", mtime: 1_700_000_000)
    removeTree(rig.staging + "/files/a.txt")
    try makeSymlink(at: rig.staging + "/files/a.txt", to: rig.home.path + "/secret")
    let outcome = try rig.run("publish")
    #expect(outcome.exitCode != 0, "\(outcome.stderr)")
    #expect(try rig.bucket.heads(under: rig.prefix).isEmpty)
  }

  @Test func aStagedFileThatWasAlteredIsNotPublished() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "12345678")
    try rig.run("fetch")
    try writeFile(rig.staging + "/files/a.txt", "87654321", mtime: 1_700_000_000)
    let outcome = try rig.run("publish")
    #expect(outcome.exitCode != 0, "\(outcome.stderr)")
    #expect(outcome.stderr.contains("a.txt"))
    #expect(try rig.bucket.heads(under: rig.prefix).isEmpty)
  }
}
