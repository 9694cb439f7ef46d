import Common
import TestSupport
import Testing

/// What a staging volume is bound to, and what it is not.
@Suite struct BindingTests {
  @Test func anotherBucketGetsEverythingAndTheFirstIsLeftAlone() throws {
    let rig = try Rig()
    for number in 1...20 { try rig.serve("\(number).txt", "file \(number)") }
    try rig.sync()
    let first = try rig.bucket.heads(under: rig.prefix)
    let fetchedBefore = try rig.journal().filter { $0.op == "fetched" }.count

    let other = try Rig.bucket(named: "end-to-end-other")
    try rig.sync(changing: ["S3_BUCKET_NAME": other.name])
    let objects = try other.objects(under: rig.prefix)
    #expect(objects.count == 20)
    for path in try rig.publishable() {
      let digest = try rig.sourceDigest(path)
      #expect(objects[rig.key(path)]?.sha256 == digest)
    }
    #expect(try rig.bucket.heads(under: rig.prefix) == first, "the first bucket was touched")
    #expect(try rig.journal().filter { $0.op == "fetched" }.count == fetchedBefore, "nothing is fetched for it")

    // Back to the first: it has everything already.
    let journal = try rig.journalFiles()
    try rig.sync()
    #expect(try rig.journalFiles() == journal)
    #expect(try rig.bucket.heads(under: rig.prefix) == first)
  }

  @Test func anotherFolderOfTheBucketGetsEverything() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    try rig.sync()
    try rig.sync(changing: ["S3_FOLDER_NAME": "/\(rig.prefix)-moved/"])
    #expect(try rig.bucket.heads(under: rig.prefix + "-moved/").count == 1)
    #expect(try rig.bucket.heads(under: rig.prefix + "/").count == 1)
  }

  @Test func anotherSourceOnTheSameVolumeIsRefused() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    try rig.sync()
    let volume = try treeDigest(of: rig.staging + "/journal")
    let elsewhere = rig.home.path + "/elsewhere"
    try writeFile(elsewhere + "/b.txt", "b")
    let outcome = try rig.run("sync", changing: ["SFTP_FOLDER_NAME": elsewhere])
    #expect(outcome.exitCode == ExitCode.configuration.rawValue)
    #expect(outcome.stderr.contains(elsewhere) && outcome.stderr.contains(rig.served), "\(outcome.stderr)")
    #expect(try treeDigest(of: rig.staging + "/journal") == volume)
    #expect(!exists(rig.staging + "/files/b.txt"))
    try rig.sync()
  }
}
