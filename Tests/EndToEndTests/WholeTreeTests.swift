import Common
import TestSupport
import Testing

/// Whole trees, end to end: every byte arrives, and a second run does nothing.
@Suite struct WholeTreeTests {
  @Test func fixturesArriveByteForByteAndOnce() throws {
    let rig = try Rig()
    let made = try Child.run(["\(packagePath)/fixtures/make-traps.sh", rig.served])
    try #require(made.exitCode == 0, "\(made.stderr)")

    let first = try rig.run("sync")
    #expect(first.exitCode == ExitCode.partial.rawValue, "\(first.stderr)")
    #expect(
      first.stderr.contains(#"not-utf-8/caf\xe9.txt"#), "the name that cannot be a key is named:\n\(first.stderr)")
    // Five links of no use, a link to a directory and a pipe; and an upload under way, by its name.
    #expect(first.stderr.contains("7 skipped: kinds/") && first.stderr.contains("1 excluded"), "\(first.stderr)")
    try rig.expectBucketEqualsSource()
    try rig.expectStagingEqualsSource()

    try expectNothingHappens(rig, code: .partial)
  }

  @Test func metadataAndTypesAreSet() throws {
    let rig = try Rig()
    try rig.serve("page.html", "<p>", mtime: 1_600_000_000)
    try rig.serve("data.json", "{}", mtime: 1_600_000_001)
    try rig.sync()
    let objects = try rig.bucket.objects(under: rig.prefix)
    let page = try #require(objects[rig.key("page.html")])
    #expect(page.contentType?.hasPrefix("text/html") == true)
    #expect(page.metadata["mtime"]?.hasPrefix("1600000000") == true)
    #expect(page.metadata["sha256"] == SHA256Digest.of("<p>".utf8).hex)
    #expect(objects[rig.key("data.json")]?.contentType?.hasPrefix("application/json") == true)
  }

  @Test func manySmallFilesArriveByteForByteAndOnce() throws {
    let rig = try Rig()
    for number in 0..<Scale.smallFiles {
      let text = String(repeating: "file \(number)\n", count: 1 + number % 97)
      try rig.serve("directory-\(number % 100)/file-\(number).txt", text, mtime: 1_700_000_000 + number)
    }
    try rig.sync()
    try rig.expectBucketEqualsSource()
    try expectNothingHappens(rig, code: .done)
  }

  /// A run over a source that did not change: no byte in the journal, no request to S3.
  private func expectNothingHappens(_ rig: Rig, code: ExitCode) throws {
    let journal = try rig.journalFiles()
    let objects = try rig.bucket.heads(under: rig.prefix)
    let asked = rig.s3.counts
    let took = try ContinuousClock().measure { try rig.sync(code: code) }
    print("a sync with nothing to do took \(took)")
    #expect(try rig.journalFiles() == journal, "the journal was written to")
    #expect(rig.s3.counts == asked, "S3 was asked for something")
    #expect(try rig.bucket.heads(under: rig.prefix) == objects)
  }
}
