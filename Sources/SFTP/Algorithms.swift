internal import CLibSSH2
internal import Common

/// What the two ends of an SSH connection agree on (RFC 4253 §7.1).
enum AlgorithmKind: String, CaseIterable {
  case keyExchange = "key exchange"
  case hostKey = "host key algorithm"
  case cipher
  case mac = "MAC"

  /// LIBSSH2_METHOD_…, for each direction that has a choice of its own.
  var methods: [Int32] {
    switch self {
    case .keyExchange: [LIBSSH2_METHOD_KEX]
    case .hostKey: [LIBSSH2_METHOD_HOSTKEY]
    case .cipher: [LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC]
    case .mac: [LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC]
    }
  }
}

/// The SSH algorithms that are offered, in order of preference; docs/ssh-algorithms.md has the reasons.
///
/// | algorithm | offered |
/// |---|---|
/// | sound | when this libssh2 has it |
/// | old | when this libssh2 has it and old ones are allowed; after all sound ones |
/// | any other | never |
struct AlgorithmChoice {
  let allowsOld: Bool
  /// What this libssh2 has.
  private let supported: [AlgorithmKind: [String]]

  init(allowsOld: Bool, supported: [AlgorithmKind: [String]]) {
    self.allowsOld = allowsOld
    self.supported = supported
  }

  /// What OpenSSH's own client offers by default, too. Of equals, what costs our processor least comes first.
  static func sound(_ kind: AlgorithmKind) -> [String] {
    switch kind {
    case .keyExchange:
      [
        "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512",
        "diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha256",
      ]
    case .hostKey:
      [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512",
        "rsa-sha2-256",
      ]
    case .cipher:
      ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr"]
        // Up to 1.11.1 a server can crash us with a short packet of it (GHSA-x4g5-mgfc-cxvv).
        + (libssh2IsAtLeast(0x010b02) ? ["chacha20-poly1305@openssh.com"] : [])
    case .mac:
      [
        "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
        "hmac-sha1-etm@openssh.com", "hmac-sha1",
      ]
    }
  }

  /// What OpenSSH no longer offers, and partners' servers of ten and more years ago have nothing better than.
  static func old(_ kind: AlgorithmKind) -> [String] {
    switch kind {
    case .keyExchange:
      ["diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"]
    case .hostKey: ["ssh-rsa", "ssh-dss"]
    case .cipher: ["aes128-cbc", "aes192-cbc", "aes256-cbc", "rijndael-cbc@lysator.liu.se", "3des-cbc"]
    case .mac: ["hmac-sha1-96", "hmac-md5", "hmac-md5-96"]
    }
  }

  /// What is offered, the preferred first.
  func offered(_ kind: AlgorithmKind) -> [String] {
    (Self.sound(kind) + (allowsOld ? Self.old(kind) : [])).filter(has(kind))
  }

  private func has(_ kind: AlgorithmKind) -> (String) -> Bool {
    let names = supported[kind, default: []]
    return { names.contains($0) }
  }

  /// What can be done about a server, or a known host key, that has `theirs` and nothing of what is offered.
  ///
  /// | of theirs | advice |
  /// |---|---|
  /// | something sound, which this libssh2 lacks | a newer libssh2 |
  /// | something old, which is not allowed | allow it |
  /// | both | either |
  /// | nothing of either | what the server's operator may enable |
  func advice(_ kind: AlgorithmKind, theirs: [String]) -> String {
    let newer = Self.sound(kind).filter { theirs.contains($0) }
    let older = allowsOld ? [] : Self.old(kind).filter { theirs.contains($0) }.filter(has(kind))
    var ways: [String] = []
    if !newer.isEmpty { ways.append("a libssh2 newer than \(libssh2Version()) has \(newer.joined(separator: ", "))") }
    if !older.isEmpty {
      ways.append(
        "SFTP_OLD_ALGORITHMS=1 allows \(older.joined(separator: ", ")), whose risk docs/ssh-algorithms.md tells")
    }
    if ways.isEmpty { return "the server's operator could enable one of \(offered(kind).joined(separator: ", "))" }
    return ways.joined(separator: "; ")
  }

  /// Nil when each kind has something in common, so that whatever went wrong was something else.
  func mismatch(with server: ServerOffer, hostKeyAlgorithms: [String], address: String) -> SFTPError? {
    let kinds = AlgorithmKind.allCases.filter { kind in
      let ours = kind == .hostKey ? hostKeyAlgorithms : offered(kind)
      return server.names(kind).contains { theirs in !ours.contains { theirs.contains($0) } }
    }
    // Ciphers that authenticate what they encrypt leave nothing for a MAC to do.
    let missing = kinds.filter { $0 != .mac || !server.names(.cipher).allSatisfy(isAuthenticated) }
    if missing.isEmpty { return nil }
    let reasons = missing.map { kind in
      "no \(kind.rawValue) in common: the server offers "
        + named(server.names(kind).first?.map { escaped($0) } ?? [], atMost: 16)
    }
    let ways = missing.map { advice($0, theirs: server.names($0).first ?? []) }
    var said = Set<String>()
    return SFTPError(
      code: "no-common-algorithm", operation: "handshake", subject: address, reason: reasons.joined(separator: "; "),
      advice: ways.filter { said.insert($0).inserted }.joined(separator: "; "), severity: .fatal)
  }

  /// Whether the first of our ciphers that they have is one of those.
  private func isAuthenticated(_ theirs: [String]) -> Bool {
    offered(.cipher).first { theirs.contains($0) }.map { $0.contains("gcm") || $0.contains("poly1305") } ?? false
  }
}
