import CLibSSH2
import Common
import Foundation
import Testing

@testable import SFTP

/// One algorithm at a time, against a real OpenSSH server that has no other of its kind.
@Suite struct AlgorithmMatrixTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let kind: AlgorithmKind
    let name: String
    var testDescription: String { name }

    /// The line of sshd_config that leaves only this one.
    var configuration: String {
      switch kind {
      case .keyExchange: "KexAlgorithms \(name)"
      case .hostKey: "HostKeyAlgorithms \(name)"
      case .cipher: "Ciphers \(name)"
      // With a cipher that needs one.
      case .mac: "MACs \(name)\nCiphers aes128-ctr"
      }
    }
  }

  /// What both this libssh2 and this OpenSSH can do.
  private static func cases(_ list: (AlgorithmKind) -> [String]) -> [Case] {
    guard let keys = try? KeyRing(), let session = libssh2_session_init_ex(nil, nil, nil, nil) else { return [] }
    defer { libssh2_session_free(session) }
    return AlgorithmKind.allCases.flatMap { kind -> [Case] in
      let query =
        switch kind {
        case .keyExchange: "kex"
        case .hostKey: "HostKeyAlgorithms"
        case .cipher: "cipher"
        case .mac: "mac"
        }
      let server = (try? keys.run("/usr/bin/ssh", ["-Q", query]))?.split(separator: "\n").map(String.init) ?? []
      var ours: UnsafeMutablePointer<UnsafePointer<CChar>?>?
      let count = libssh2_session_supported_algs(session, kind.methods[0], &ours)
      let client = (0..<Int(max(0, count))).map { String(cString: ours![$0]!) }
      return list(kind).filter { server.contains($0) && client.contains($0) }.map { Case(kind: kind, name: $0) }
    }
  }

  private let keys: KeyRing

  init() throws {
    keys = try KeyRing()
    try keys.makeKey("user")
    try keys.write("authorized_keys", keys.read("user.pub"))
  }

  /// A server with nothing but the algorithm, and a host key that suits it.
  private func server(_ row: Case, _ more: String = "") throws -> OpenSSHServer {
    let (type, format): (String, [String]) =
      switch (row.kind, row.name) {
      case (.hostKey, "ecdsa-sha2-nistp384"): ("ecdsa", ["-b", "384"])
      case (.hostKey, "ecdsa-sha2-nistp521"): ("ecdsa", ["-b", "521"])
      case (.hostKey, let name) where name.hasPrefix("ecdsa"): ("ecdsa", [])
      case (.hostKey, let name) where name.contains("rsa"): ("rsa", [])
      case (.hostKey, "ssh-dss"): ("dsa", [])
      default: ("ed25519", [])
      }
    try keys.makeKey("host", type: type, format: format)
    return try OpenSSHServer(keys, extra: row.configuration + "\n" + more)
  }

  private func connect(_ server: OpenSSHServer, allowingOld: Bool) throws -> SFTPConnection {
    try SFTPConnection(
      SFTPSettings(
        host: "127.0.0.1", port: server.port, user: server.user, password: nil, privateKey: Secret(keys.read("user")),
        privateKeyPassphrase: nil, hostKeyPolicy: .pins([try keys.fingerprint("host")]), timeoutSeconds: 60,
        allowsOldAlgorithms: allowingOld),
      stop: StopSignal(), logger: quietLogger)
  }

  /// The algorithm is the one in use, and carries a few hundred packets, keys exchanged anew on the way.
  private func expectUse(_ row: Case, _ connection: SFTPConnection) throws {
    let facts = try #require(connection.facts)
    switch row.kind {
    case .keyExchange: #expect(facts.keyExchange == row.name)
    case .hostKey: #expect(facts.hostKeyFingerprint == (try keys.fingerprint("host")))
    case .cipher: #expect(facts.cipher == row.name)
    case .mac: #expect(facts.mac == row.name)
    }
    let content = pattern(3_000_000)
    let path = Array((keys.path + "/content").utf8)
    try Data(content).write(to: URL(filePath: keys.path + "/content"))
    let expected = try #require(try connection.attributes(path).fingerprint)
    let handler = RecordingHandler([DownloadRequest(token: 0, path: path, expected: expected)])
    try connection.download(handler, filesInFlight: 1)
    #expect(handler.isComplete(0), "\(String(describing: handler.failure(0)))")
    #expect(handler.bytes[0] == content)
    connection.close()
  }

  @Test(arguments: cases(AlgorithmChoice.sound)) func aSoundOneIsOnByDefault(_ row: Case) throws {
    let connection = try connect(try server(row, "RekeyLimit 1M"), allowingOld: false)
    #expect(connection.facts?.oldAlgorithms == [])
    try expectUse(row, connection)
  }

  @Test(arguments: cases(AlgorithmChoice.old)) func anOldOneIsRefusedUnlessAllowed(_ row: Case) throws {
    let server = try server(row, "RekeyLimit 1M")
    let error = try #require(throws: SFTPError.self) { try connect(server, allowingOld: false) }
    #expect(error.code == "no-common-algorithm")
    #expect(error.severity == .fatal)
    #expect(
      error.reason.contains("no \(row.kind.rawValue) in common: the server offers \(row.name)"), "\(error.reason)")
    let advice = try #require(error.advice)
    #expect(advice.hasPrefix("SFTP_OLD_ALGORITHMS=1 allows \(row.name), "), "\(advice)")
    #expect(advice.hasSuffix("docs/ssh-algorithms.md tells"))

    let connection = try connect(server, allowingOld: true)
    #expect(connection.facts?.oldAlgorithms == [row.name])
    try expectUse(row, connection)
  }

  @Test func theMatrixIsNotEmpty() {
    #expect(Self.cases(AlgorithmChoice.sound).count >= 18)
    #expect(Self.cases(AlgorithmChoice.old).count >= 11)
  }

  @Test func aServerOfLongAgoWhereNothingIsSound() throws {
    let row = Case(kind: .hostKey, name: "ssh-rsa")
    let server = try server(row, "KexAlgorithms diffie-hellman-group1-sha1\nCiphers 3des-cbc\nMACs hmac-md5")
    let error = try #require(throws: SFTPError.self) { try connect(server, allowingOld: false) }
    for name in ["diffie-hellman-group1-sha1", "ssh-rsa", "3des-cbc", "hmac-md5"] {
      #expect(error.reason.contains(name) && error.advice?.contains(name) == true, "\(error)")
    }
    let connection = try connect(server, allowingOld: true)
    #expect(connection.facts?.oldAlgorithms == ["diffie-hellman-group1-sha1", "ssh-rsa", "3des-cbc", "hmac-md5"])
    connection.close()
  }

  @Test func soundOnesAreTakenThoughOldOnesAreAllowed() throws {
    try keys.makeKey("host")
    let server = try OpenSSHServer(keys, extra: "KexAlgorithms diffie-hellman-group14-sha1,curve25519-sha256")
    #expect(try connect(server, allowingOld: true).facts?.oldAlgorithms == [])
  }

  /// libssh2 1.10 has no rsa-sha2; the known RSA key of a server must not look like a changed one for that.
  @Test func aKnownKeyThatCannotBeAskedForIsTold() throws {
    try keys.makeKey("dsa", type: "dsa")
    try keys.makeKey("host")
    let server = try OpenSSHServer(keys)
    let fields = try keys.read("dsa.pub").split(separator: " ")
    try keys.write("known", "[127.0.0.1]:\(server.port) \(fields[0]) \(fields[1])\n")
    let error = try #require(throws: SFTPError.self) {
      try SFTPConnection(
        SFTPSettings(
          host: "127.0.0.1", port: server.port, user: server.user, password: nil, privateKey: Secret(keys.read("user")),
          privateKeyPassphrase: nil, hostKeyPolicy: .knownHosts(path: keys.path + "/known"), timeoutSeconds: 60),
        stop: StopSignal(), logger: quietLogger)
    }
    #expect(error.code == "host-key-not-offered")
    #expect(error.reason.contains("ssh-dss"))
    #expect(error.severity == .fatal)
    // 1.11 has no such keys at all.
    let isThere = Self.cases(AlgorithmChoice.old).contains { $0.name == "ssh-dss" }
    #expect(error.advice?.contains("SFTP_OLD_ALGORITHMS=1 allows ssh-dss") == isThere)
  }
}
