import Common
import TestSupport
import Testing

/// A partner's server that nobody has renewed for long.
@Suite struct OldAlgorithmTests {
  @Test func anOldServerIsToldOfAndServedWhenAllowed() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    let old = try TestSSHD(extra: "KexAlgorithms diffie-hellman-group14-sha1\nCiphers 3des-cbc,aes256-cbc")
    let server: [String: String?] = ["SFTP_PORT": "\(old.port)", "SFTP_KEY_FILE": old.keyFile]

    let refused = try rig.run("sync", changing: server)
    #expect(refused.exitCode == ExitCode.fatal.rawValue, "\(refused.stderr)")
    let lines = errorLines(refused.stderr)
    #expect(lines.count == 1)
    for word in ["diffie-hellman-group14-sha1", "3des-cbc, aes256-cbc", "SFTP_OLD_ALGORITHMS=1"] {
      #expect(lines.allSatisfy { $0.contains(word) }, "\(refused.stderr)")
    }
    // Nobody has been asked for a password: the next run may try at once.
    #expect(try !rig.run("status").stdout.contains("log-in"))

    let allowed = server.merging(["SFTP_OLD_ALGORITHMS": "1"]) { $1 }
    let served = try rig.run("sync", changing: allowed)
    #expect(served.exitCode == ExitCode.done.rawValue, "\(served.stderr)")
    #expect(served.stderr.contains("diffie-hellman-group14-sha1 aes256-cbc"), "\(served.stderr)")
    #expect(try rig.run("config", changing: allowed).stdout.contains("old SSH algorithms are allowed"))
    try rig.expectBucketEqualsSource()
  }
}
