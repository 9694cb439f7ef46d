import Common
import TestSupport
import Testing

/// MAX_DURATION: a run ends in good order when its time is over, publish has its share, and the next run continues.
@Suite struct DurationTests {
  @Test func fetchLeavesPublishItsShareAndTheNextRunGoesOn() throws {
    let rig = try Rig()
    try rig.serve("first", "small")
    try rig.sync()
    // A quarter of a minute's work at this rate; fetch may use six seconds.
    for number in 0..<40 { try rig.serve(bytes: "f\(number)", count: 100_000) }
    let outcome = try rig.run("sync", changing: ["MAX_DURATION": "12s", "BWLIMIT": "256k"])
    #expect(outcome.exitCode == 5)
    #expect(outcome.stderr.contains("MAX_DURATION"))
    let fetched = try rig.journal().count { $0.op == "fetched" }
    let published = try rig.journal().count { $0.op == "published" }
    #expect((2..<41).contains(fetched), "\(outcome.stderr)")
    #expect(published > 1, "\(outcome.stderr)")
    try rig.expectNoPartialFile()
    try rig.sync()
    try rig.expectBucketEqualsSource()
    #expect(try rig.journal().count { $0.op == "fetched" } == 41)
  }
}

extension Rig {
  fileprivate func serve(bytes path: String, count: Int) throws {
    try serve(path, bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7 + path.utf8.count) })
  }
}
