import Common
import Glibc
import TestSupport
import Testing

/// The default settle rule, at its default of 45 seconds.
@Suite struct SettleTests {
  @Test func onAnEmptyVolumeFetchWaitsAndAGrowingFileIsLeftForLater() throws {
    let rig = try Rig()
    try rig.serve("at rest.txt", "complete")
    try rig.serve("growing.txt", "1\n")
    let environment = rig.environment(changing: ["SETTLE_SECONDS": nil])
    let started = ContinuousClock.now
    let child = try Binary.start(["sync"], environment: environment)
    var lines = 1
    while child.isRunning, ContinuousClock.now - started < .seconds(100) {
      usleep(500_000)
      lines += 1
      try writeFile(
        rig.served + "/growing.txt", String(repeating: "\(lines)\n", count: lines), mtime: 1_700_000_000 + lines)
    }
    let outcome = try child.wait(timeout: .seconds(20))
    #expect(outcome.exitCode == 0, "\(outcome.stderr)")
    #expect(ContinuousClock.now - started > .seconds(44), "it did not wait")
    #expect(outcome.stderr.contains("1 waiting to settle"), "\(outcome.stderr)")
    #expect(exists(rig.staging + "/files/at rest.txt"))
    #expect(!exists(rig.staging + "/files/growing.txt"))
    #expect(Array(try rig.bucket.heads(under: rig.prefix).keys) == [rig.key("at rest.txt")])
    #expect(try rig.journal().contains { $0.path == "growing.txt" } == false)
  }
}
