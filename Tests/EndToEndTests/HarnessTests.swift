import Common
import TestSupport
import Testing

/// The harness itself: when one of these fails, look here before looking at the mirror.
@Suite struct HarnessTests {
  @Test func sshdServesFilesByKey() throws {
    let sshd = try TestSSHD()
    let home = try TemporaryDirectory()
    try writeFile(home.path + "/served/one file.txt", "1")
    let listing = try Child.run(
      [
        "sftp", "-q", "-b", "-", "-P", "\(sshd.port)", "-i", sshd.keyFile, "-o", "StrictHostKeyChecking=no", "-o",
        "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "\(sshd.user)@\(sshd.host)",
      ], stdin: "ls -1 \(home.path)/served\n")
    #expect(listing.exitCode == 0, "\(listing.stderr)\n\(sshd.log)")
    #expect(listing.stdout.contains("one file.txt"))
    let before = try sshd.hostKeyFingerprint()
    try sshd.changeHostKey()
    #expect(try sshd.hostKeyFingerprint() != before)
  }

  @Test func bucketIsReadByAnotherClient() throws {
    let bucket = try Rig.bucket(named: "end-to-end")
    #expect(try bucket.objects(under: "nothing is here") == [:])
    #expect(try bucket.heads(under: "nothing is here") == [:])
  }

  @Test func trapsAreTheSameEveryTime() throws {
    let home = try TemporaryDirectory()
    for name in ["first", "second"] {
      let made = try Child.run(["\(packagePath)/fixtures/make-traps.sh", "\(home.path)/\(name)"])
      #expect(made.exitCode == 0, "\(made.stderr)")
    }
    #expect(try treeDigest(of: home.path + "/first") == treeDigest(of: home.path + "/second"))
    let paths = try files(under: home.path + "/first")
    #expect(paths.contains { String(validating: $0, as: UTF8.self) == nil })
    #expect(paths.contains { $0.count == 255 })
    #expect(Set(paths).count == paths.count)
  }

  @Test func childrenAreTimedKilledAndFed() throws {
    #expect(try Child.run(["cat"], stdin: "fed").stdout == "fed")
    #expect(try Child.run(["env"], environment: ["A": "1"]).stdout.contains("A=1"))
    #expect(try Child.run(["sh", "-c", "exit 7"]).exitCode == 7)
    let sleeper = try Child(["sleep", "60"])
    #expect(try sleeper.killAndWait().exitCode == 137)
    #expect(throws: HarnessError.self) { try Child.run(["sleep", "60"], timeout: .milliseconds(50)) }
  }

  @Test func theProxyCountsAndStalls() throws {
    let sshd = try TestSSHD()
    let proxy = try CountingProxy(to: sshd.port)
    let scan = try Child.run(["ssh-keyscan", "-t", "ed25519", "-p", "\(proxy.port)", "127.0.0.1"])
    #expect(scan.stdout.contains("ssh-ed25519"))
    #expect(proxy.counts.connections == 1)
    #expect(proxy.counts.bytesToClient > 100)
    let stalled = try CountingProxy(to: sshd.port, stallAfter: 1)
    let nothing = try Child.run(["ssh-keyscan", "-T", "1", "-t", "ed25519", "-p", "\(stalled.port)", "127.0.0.1"])
    #expect(!nothing.stdout.contains("ssh-ed25519"))
  }
}
