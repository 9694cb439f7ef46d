import CLibSSH2
import Common
import Testing

@testable import SFTP

/// Which algorithms are offered, and what is said when the server has none of them.
@Suite struct AlgorithmTests {
  /// Everything that any libssh2 has.
  private static let everything = Dictionary(
    uniqueKeysWithValues: AlgorithmKind.allCases.map { ($0, AlgorithmChoice.sound($0) + AlgorithmChoice.old($0)) })

  /// What libssh2 can do and is never offered: certificates, which host keys here are not; what OpenSSL 3 no longer
  /// does; what no server is known to need.
  private static let leftOut: Set<String> = [
    "ext-info-c", "kex-strict-c-v00@openssh.com", "arcfour", "arcfour128", "blowfish-cbc", "cast128-cbc",
    "hmac-ripemd160", "hmac-ripemd160@openssh.com", "chacha20-poly1305@openssh.com",
  ]

  /// A newer libssh2 may bring more: then decide about it.
  @Test(arguments: AlgorithmKind.allCases) func whateverThisLibSSH2HasIsDecidedOn(_ kind: AlgorithmKind) throws {
    let session = try #require(libssh2_session_init_ex(nil, nil, nil, nil))
    defer { libssh2_session_free(session) }
    var list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
    let count = libssh2_session_supported_algs(session, kind.methods[0], &list)
    #expect(count > 3)
    let decided = Set(AlgorithmChoice.sound(kind) + AlgorithmChoice.old(kind)).union(Self.leftOut)
    for name in (0..<Int(count)).map({ String(cString: list![$0]!) }) where !name.hasSuffix("-cert-v01@openssh.com") {
      #expect(decided.contains(name), "\(name)")
    }
  }

  @Test(arguments: AlgorithmKind.allCases) func oldOnesComeLastAndOnlyWhenAllowed(_ kind: AlgorithmKind) {
    let sound = AlgorithmChoice.sound(kind)
    #expect(AlgorithmChoice(allowsOld: false, supported: Self.everything).offered(kind) == sound)
    let both = AlgorithmChoice(allowsOld: true, supported: Self.everything).offered(kind)
    #expect(both == sound + AlgorithmChoice.old(kind))
    #expect(Set(both).count == both.count)
    let little = AlgorithmChoice(allowsOld: true, supported: [kind: [both.last!, "unheard-of", both.first!]])
    #expect(little.offered(kind) == [both.first!, both.last!])
  }

  @Test func adviceIsWhatWouldHelp() {
    let little: [AlgorithmKind: [String]] = [.hostKey: ["ssh-ed25519", "ssh-rsa"]]
    let choice = AlgorithmChoice(allowsOld: false, supported: little)
    let allowing = AlgorithmChoice(allowsOld: true, supported: little)
    let both = ["ssh-rsa", "rsa-sha2-256"]
    #expect(choice.advice(.hostKey, theirs: ["ssh-rsa"]).hasPrefix("SFTP_OLD_ALGORITHMS=1 allows ssh-rsa,"))
    #expect(
      choice.advice(.hostKey, theirs: ["rsa-sha2-256"])
        == "a libssh2 newer than \(libssh2Version()) has rsa-sha2-256")
    #expect(choice.advice(.hostKey, theirs: both).contains("; SFTP_OLD_ALGORITHMS=1 allows ssh-rsa,"))
    #expect(!allowing.advice(.hostKey, theirs: both).contains("SFTP_OLD"))
    // What this libssh2 lacks cannot be allowed.
    let none = "the server's operator could enable one of ssh-ed25519"
    #expect(choice.advice(.hostKey, theirs: ["ssh-dss", "x"]) == none)
  }

  @Test(
    arguments: [
      // Key exchange, host key, cipher, MAC: what the server has; and what is missed.
      ("curve25519-sha256", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256", []),
      ("x,diffie-hellman-group1-sha1", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256", ["key exchange"]),
      ("curve25519-sha256", "ssh-dss", "3des-cbc", "hmac-md5", ["host key algorithm", "cipher", "MAC"]),
      ("curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com", "none-of-ours", []),
      ("curve25519-sha256", "ssh-ed25519", "aes128-ctr,aes128-gcm@openssh.com", "none-of-ours", []),
      ("curve25519-sha256", "ssh-ed25519", "aes128-ctr", "none-of-ours", ["MAC"]),
      ("", "", "", "", ["key exchange", "host key algorithm", "cipher", "MAC"]),
    ] as [(String, String, String, String, [String])])
  func whatIsMissedIsNamed(kex: String, key: String, cipher: String, mac: String, missed: [String]) throws {
    var greeting = ServerGreeting()
    KeyExchangeOffer(kex: kex, key: key, cipher: cipher, mac: mac).greeting.withUnsafeBytes { greeting.take($0) }
    let choice = AlgorithmChoice(allowsOld: false, supported: Self.everything)
    let error = choice.mismatch(
      with: try #require(greeting.offer), hostKeyAlgorithms: choice.offered(.hostKey), address: "h:22")
    #expect(error?.severity == (missed.isEmpty ? nil : .fatal))
    for kind in AlgorithmKind.allCases.map(\.rawValue) {
      #expect(error?.reason.contains("no \(kind) in common") ?? false == missed.contains(kind), "\(kind)")
    }
  }

  @Test func aServerThatPretendsToBeAClientIsCutOff() throws {
    for name in ["ext-info-c", "kex-strict-c-v00@openssh.com"] {
      let offer = KeyExchangeOffer(kex: "\(name),curve25519-sha256", key: "ssh-ed25519", cipher: "aes128-ctr")
      let server = try GreetingServer(offer.greeting)
      let error = try #require(throws: SFTPError.self) { try connect(server.port) }
      #expect(error.code == "protocol-error")
      #expect(error.reason.contains("only clients"))
    }
  }

  @Test func whatTheServerOffersIsTold() throws {
    let offer = KeyExchangeOffer(kex: "curve25519-sha256", key: "ssh-\u{1b}[2J", cipher: "3des-cbc,x", mac: "hmac-md5")
    let server = try GreetingServer(Array("hello\r\n".utf8) + offer.greeting)
    let error = try #require(throws: SFTPError.self) { try connect(server.port) }
    #expect(error.code == "no-common-algorithm")
    #expect(error.severity == .fatal)
    #expect(error.reason.contains("no cipher in common: the server offers 3des-cbc, x;"), "\(error.reason)")
    #expect(error.reason.contains("the server offers ssh-\\x1b[2J"), "\(error.reason)")
    #expect(error.advice?.contains("SFTP_OLD_ALGORITHMS=1 allows 3des-cbc,") == true, "\(error)")
  }

  private func connect(_ port: UInt16) throws {
    _ = try SFTPConnection(
      SFTPSettings(
        host: "127.0.0.1", port: port, user: "u", password: Secret("p"), privateKey: nil, privateKeyPassphrase: nil,
        hostKeyPolicy: .pins(["SHA256:x"]), timeoutSeconds: 10),
      stop: StopSignal(), logger: quietLogger)
  }
}
