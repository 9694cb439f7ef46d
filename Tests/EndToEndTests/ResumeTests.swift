import Common
import Glibc
import TestSupport
import Testing

/// A large file over a real sshd, interrupted in the middle: the next run reads only the rest. The bytes are counted
/// between the program and the server.
@Suite struct ResumeTests {
  private static let mebibyte = 1 << 20
  private static let size = 300 * mebibyte
  /// What SSH adds to the bytes of a file, and a log-in and a listing: far less than this.
  private static func withOverhead(_ bytes: Int) -> Int { bytes + bytes / 50 + mebibyte }

  /// A rig with one large file, behind a proxy that stops passing anything on after so many bytes.
  private func interrupted(after bytes: Int) throws -> (rig: Rig, proxy: CountingProxy, child: Child) {
    let rig = try Rig()
    let made = try Child.run(["dd", "if=/dev/urandom", "of=\(rig.served)/big.bin", "bs=1M", "count=300"])
    #expect(made.exitCode == 0, "\(made.stderr)")
    try setModified(Array("\(rig.served)/big.bin".utf8), 1_700_000_000)
    let proxy = try CountingProxy(to: rig.sshd.port, stallAfter: bytes)
    let child = try Binary.start(["fetch"], environment: rig.environment(changing: ["SFTP_PORT": "\(proxy.port)"]))
    try wait("it never got that far", child) { proxy.isStalled }
    return (rig, proxy, child)
  }

  private func wait(_ complaint: Comment, _ child: Child, until isDone: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try !isDone() {
      try #require(child.isRunning && ContinuousClock.now < deadline, "\(complaint): \(child.stderr)")
      usleep(20_000)
    }
  }

  /// The offset of the one sidecar; nil while there is none.
  private func keptBytes(_ rig: Rig) throws -> Int? {
    let state = rig.staging + "/state"
    guard exists(state) else { return nil }
    let names = try files(under: state).filter {
      $0.starts(with: "partial-".utf8) && $0.suffix(5) == Array(".json".utf8)
    }
    guard let name = names.first else { return nil }
    // It is replaced by renaming, so it is whole at any moment.
    let text = String(decoding: try readFile(Array("\(state)/".utf8) + name), as: UTF8.self)
    let found = try #require(text.firstMatch(of: /"offset":(\d+)/))
    return Int(found.1)
  }

  private func expectNextRunReadsTheRest(_ rig: Rig, _ proxy: CountingProxy, kept: Int) throws {
    proxy.resume()
    let before = proxy.counts.bytesToClient
    let outcome = try rig.run("sync", changing: ["SFTP_PORT": "\(proxy.port)"])
    #expect(outcome.exitCode == 0, "\(outcome.stderr)")
    #expect(outcome.stderr.contains("received by earlier runs"), "\(outcome.stderr)")
    let read = proxy.counts.bytesToClient - before
    print("\(kept >> 20) MiB of 300 were kept, the next run read \(read >> 20) MiB over the wire")
    #expect(read < Self.withOverhead(Self.size - kept + Self.mebibyte))
    #expect(read > Self.size - kept)
    try rig.expectStagingEqualsSource()
    try rig.expectBucketEqualsSource()
    #expect(try files(under: rig.staging + "/tmp").isEmpty)
    #expect(try keptBytes(rig) == nil)
  }

  @Test func killedInTheMiddleOfALargeFileTheNextRunReadsOnlyTheRest() throws {
    let (rig, proxy, child) = try interrupted(after: 200 * Self.mebibyte)
    try wait("it kept nothing", child) { try keptBytes(rig) ?? 0 >= 128 * Self.mebibyte }
    #expect(try child.killAndWait().exitCode == 137)
    let kept = try #require(try keptBytes(rig))
    try expectNextRunReadsTheRest(rig, proxy, kept: kept)
  }

  @Test func terminatedInTheMiddleOfALargeFileItKeepsAllThatCame() throws {
    let (rig, proxy, child) = try interrupted(after: 100 * Self.mebibyte)
    usleep(500_000)
    let started = ContinuousClock.now
    child.signal(SIGTERM)
    #expect(try child.wait(timeout: .seconds(15)).exitCode == ExitCode.temporary.rawValue)
    #expect(ContinuousClock.now - started < .seconds(10))
    let kept = try #require(try keptBytes(rig))
    #expect(kept > 95 * Self.mebibyte, "all but what was on its way")
    try expectNextRunReadsTheRest(rig, proxy, kept: kept)
  }

  @Test func switchedOffItReadsTheWholeFileAgain() throws {
    let (rig, proxy, child) = try interrupted(after: 200 * Self.mebibyte)
    try wait("it kept nothing", child) { try keptBytes(rig) ?? 0 > 0 }
    #expect(try child.killAndWait().exitCode == 137)
    proxy.resume()
    let before = proxy.counts.bytesToClient
    try rig.sync(changing: ["SFTP_PORT": "\(proxy.port)", "SFTP_RESUME": "0"])
    #expect(proxy.counts.bytesToClient - before > Self.size)
    try rig.expectStagingEqualsSource()
  }
}
