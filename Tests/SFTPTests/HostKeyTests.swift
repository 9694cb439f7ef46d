import Common
import Foundation
import SFTP
import Testing

/// Host keys, against real OpenSSH servers.
@Suite struct HostKeyTests {
  private let keys: KeyRing
  private let file: String

  init() throws {
    keys = try KeyRing()
    try keys.makeKey("host")
    try keys.makeKey("user")
    try keys.write("authorized_keys", keys.read("user.pub"))
    file = keys.path + "/known"
  }

  private func connect(
    _ server: OpenSSHServer, _ policy: HostKeyPolicy, allowingOld: Bool = false
  ) throws -> ConnectionFacts {
    let connection = try SFTPConnection(
      SFTPSettings(
        host: "127.0.0.1", port: server.port, user: server.user, password: nil, privateKey: Secret(keys.read("user")),
        privateKeyPassphrase: nil, hostKeyPolicy: policy, timeoutSeconds: 30, allowsOldAlgorithms: allowingOld),
      stop: StopSignal(), logger: quietLogger)
    return try #require(connection.facts)
  }

  private func failure(_ server: OpenSSHServer, _ policy: HostKeyPolicy) throws -> SFTPError {
    try #require(throws: SFTPError.self) { _ = try connect(server, policy) }
  }

  /// A known_hosts line for a public key of the ring.
  private func line(_ server: OpenSSHServer, _ key: String) throws -> String {
    let fields = try keys.read(key + ".pub").split(separator: " ")
    return "[127.0.0.1]:\(server.port) \(fields[0]) \(fields[1])\n"
  }

  @Test func oneOfSeveralPinsIsEnough() throws {
    let server = try OpenSSHServer(keys)
    let fingerprint = try keys.fingerprint("host")
    let facts = try connect(server, .pins(["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", fingerprint]))
    #expect(facts.hostKeyTrust == .pinned)
    #expect(facts.hostKeyFingerprint == fingerprint)
    #expect(facts.hostKeyType == "ssh-ed25519")
    #expect(facts.serverIdentification.hasPrefix("SSH-2.0-OpenSSH"))
    #expect(facts.extensions.contains("posix-rename@openssh.com"))
  }

  @Test func aKeyThatIsNotPinnedIsFatalAndBothAreShown() throws {
    let server = try OpenSSHServer(keys)
    let pin = try keys.fingerprint("user")
    let error = try failure(server, .pins([pin]))
    #expect(error.code == "host-key-mismatch")
    #expect(error.severity == .fatal)
    #expect(error.reason.contains(pin))
    #expect(error.reason.contains(try keys.fingerprint("host")))
  }

  @Test(arguments: ["host", "ecdsa", "rsa"]) func aPinIsFoundWhateverOtherKeysTheServerHas(_ pinned: String) throws {
    try keys.makeKey("ecdsa", type: "ecdsa")
    try keys.makeKey("rsa", type: "rsa")
    // libssh2 1.10 knows RSA keys with SHA-1 only, which OpenSSH does not offer of itself.
    let server = try OpenSSHServer(
      keys, hostKeys: ["ecdsa", "host", "rsa"], extra: "HostKeyAlgorithms +ssh-rsa")
    let facts = try connect(server, .pins([keys.fingerprint(pinned)]), allowingOld: true)
    #expect(facts.hostKeyTrust == .pinned)
    #expect(facts.hostKeyFingerprint == (try keys.fingerprint(pinned)))
    #expect(facts.authenticationMethod == "publickey")
  }

  @Test func whenNoKeyIsPinnedAllAreShown() throws {
    try keys.makeKey("ecdsa", type: "ecdsa")
    let server = try OpenSSHServer(keys, hostKeys: ["ecdsa", "host"])
    let error = try failure(server, .pins([keys.fingerprint("user")]))
    #expect(error.code == "host-key-mismatch")
    #expect(error.severity == .fatal)
    for key in ["ecdsa", "host", "user"] { #expect(error.reason.contains(try keys.fingerprint(key))) }
  }

  @Test(arguments: ["damaged line", "[127.0.0.1]:2222 ssh-ed25519 !!!!", "@cert-authority * ssh-ed25519 AAAA"])
  func aDamagedLineIsNoReasonToTrustAnyKey(_ bad: String) throws {
    let server = try OpenSSHServer(keys)
    let content = "# a comment\n \n\(bad)\n"
    try keys.write("known", content)
    let error = try failure(server, .trustOnFirstUse(path: file))
    #expect(error.code == "known-hosts-damaged")
    #expect(error.severity == .fatal)
    #expect(error.reason.contains("line 3"))
    #expect(error.advice?.contains("remove the line") == true)
    #expect(try keys.read("known") == content)
  }

  @Test func aKnownKeyIsAcceptedThoughOtherLinesAreBad() throws {
    let server = try OpenSSHServer(keys)
    let bad = "damaged line\nhost ssh-ed25519 !!!!\n\n# comment\n"
    try keys.write("known", bad + line(server, "host"))
    #expect(try connect(server, .knownHosts(path: file)).hostKeyTrust == .known)
    try keys.write("known", line(server, "host"))
    try keys.run("/usr/bin/ssh-keygen", ["-q", "-H", "-f", file])
    #expect(try keys.read("known").hasPrefix("|1|"))
    try keys.write("known", bad + keys.read("known"))
    #expect(try connect(server, .knownHosts(path: file)).hostKeyTrust == .known)
  }

  @Test func aChangedKeyIsFatal() throws {
    let server = try OpenSSHServer(keys)
    try keys.write("known", line(server, "user"))
    for policy in [HostKeyPolicy.knownHosts(path: file), .trustOnFirstUse(path: file)] {
      let error = try failure(server, policy)
      #expect(error.code == "host-key-mismatch")
      #expect(error.reason.contains(try keys.fingerprint("user")))
      #expect(error.reason.contains(try keys.fingerprint("host")))
    }
    #expect(try keys.read("known") == line(server, "user"))
  }

  @Test func aKeyOfAnotherTypeIsNoNewKey() throws {
    try keys.makeKey("other", type: "ecdsa")
    let server = try OpenSSHServer(keys)
    try keys.write("known", line(server, "other"))
    for policy in [HostKeyPolicy.knownHosts(path: file), .trustOnFirstUse(path: file)] {
      #expect(try failure(server, policy).code == "host-key-mismatch")
    }
  }

  @Test func theTypeThatIsKnownIsTheOneAskedFor() throws {
    try keys.makeKey("other", type: "ecdsa")
    let server = try OpenSSHServer(keys, hostKeys: ["host", "other"])
    for key in ["other", "host"] {
      try keys.write("known", line(server, key))
      let facts = try connect(server, .knownHosts(path: file))
      #expect(facts.hostKeyFingerprint == (try keys.fingerprint(key)))
    }
  }

  @Test func anUnknownHostIsFatalAndTheLineIsShown() throws {
    let server = try OpenSSHServer(keys)
    try keys.write("known", "")
    let error = try failure(server, .knownHosts(path: file))
    #expect(error.code == "host-key-unknown")
    #expect(error.reason.contains(try keys.fingerprint("host")))
    let shown = try #require(error.advice?.split(separator: "line: ").last)
    try keys.write("known", String(shown))
    #expect(try connect(server, .knownHosts(path: file)).hostKeyTrust == .known)
  }

  @Test func aRevokedKeyIsFatal() throws {
    let server = try OpenSSHServer(keys)
    try keys.write("known", line(server, "host") + "@revoked " + line(server, "host"))
    #expect(try failure(server, .knownHosts(path: file)).code == "host-key-revoked")
  }

  @Test func aMissingFileIsAConfigurationError() throws {
    let server = try OpenSSHServer(keys)
    let error = try failure(server, .knownHosts(path: file))
    #expect(error.code == "known-hosts-enoent")
    #expect(error.severity == .configuration)
  }

  @Test func theFirstKeyIsStoredAndThenKnown() throws {
    let server = try OpenSSHServer(keys)
    try keys.write("known", "# kept, though without a line feed")
    #expect(try connect(server, .trustOnFirstUse(path: file)).hostKeyTrust == .firstUse)
    #expect(try keys.read("known") == "# kept, though without a line feed\n" + line(server, "host"))
    #expect(try connect(server, .trustOnFirstUse(path: file)).hostKeyTrust == .known)
  }

  @Test func theStoredFileIsPrivate() throws {
    let server = try OpenSSHServer(keys)
    _ = try connect(server, .trustOnFirstUse(path: file))
    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let names = try FileManager.default.contentsOfDirectory(atPath: keys.path)
    #expect(!names.contains { $0.hasSuffix(".tmp") })
  }
}
