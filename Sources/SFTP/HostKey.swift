internal import Common

/// A server's public key as it travels (RFC 4253 §6.6).
struct HostKey: Equatable {
  /// The name the blob begins with: `ssh-ed25519`.
  let type: String
  let blob: [UInt8]

  /// Nil when the blob does not begin with a printable type name.
  init?(blob: [UInt8]) {
    let name: [UInt8]? = blob.withUnsafeBytes {
      var reader = WireReader($0)
      return try? reader.string()
    }
    guard let name, !name.isEmpty, name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
    type = String(decoding: name, as: UTF8.self)
    self.blob = blob
  }

  /// `SHA256:` and the digest in base64 without padding, as `ssh-keygen -l` prints it.
  var fingerprint: String {
    let text = base64(SHA256Digest.of(blob).bytes)
    return "SHA256:" + (text.firstIndex(of: "=").map { text[..<$0] } ?? text[...])
  }

  var base64Text: String { base64(blob) }

  /// The signature algorithms that prove possession of a key of this type (RFC 8332 for RSA).
  static func algorithms(forType type: String) -> [String] {
    type == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] : [type]
  }
}

/// Decides whether a server's key is accepted; pure but for the file of keys.
///
/// | policy | known of this host | the server's key | decision |
/// |---|---|---|---|
/// | pins | – | one of the pins | pinned |
/// | pins | – | any other | the server is asked for its keys of other types; fatal when it has shown all |
/// | files | keys, this one among them | | known |
/// | files | keys, this one not among them, whatever its type | | fatal: changed |
/// | files | revoked | | fatal |
/// | knownHosts | nothing | any | fatal: unknown |
/// | trustOnFirstUse | nothing | any | stored, first use |
struct HostKeyCheck {
  let policy: HostKeyPolicy
  let host: String
  let port: UInt16
  let address: String
  private let known: KnownHosts
  /// Keys that the server showed and that are not pinned.
  private var rejected: [HostKey] = []

  init(_ settings: SFTPSettings) throws(SFTPError) {
    policy = settings.hostKeyPolicy
    host = settings.host
    port = settings.port
    address = settings.address
    known =
      switch policy {
      case .pins: KnownHosts(parsing: [])
      case .knownHosts(let path): try KnownHosts.load(path, mayBeAbsent: false)
      case .trustOnFirstUse(let path, _): try KnownHosts.loadOurs(path)
      }
  }

  /// Host key algorithms in the order to offer them: those of the known keys first, so that a server with several keys
  /// shows one that can be compared. A pin does not tell its type: never one that was shown already.
  /// - Throws: when nothing that may be offered can prove a key of the known types.
  func algorithms(_ choice: AlgorithmChoice) throws(SFTPError) -> [String] {
    let offered = choice.offered(.hostKey)
    if case .pins = policy { return unseen(of: offered) }
    let types = known.keys(host: host, port: port).filter { !$0.isRevoked }.map(\.key.type)
    if types.isEmpty { return offered }
    let wanted = types.flatMap(HostKey.algorithms)
    let first = wanted.filter(offered.contains)
    if first.isEmpty {
      throw SFTPError(
        code: "host-key-not-offered", operation: "host key", subject: address,
        reason: "the known key is of type \(types.joined(separator: ", ")), for which no algorithm is offered",
        advice: choice.advice(.hostKey, theirs: wanted), severity: .fatal)
    }
    var seen = Set<String>()
    return (first + offered).filter { seen.insert($0).inserted }
  }

  /// The algorithms that may show a key other than those already rejected.
  private func unseen(of offered: [String]) -> [String] {
    let seen = Set(rejected.flatMap { HostKey.algorithms(forType: $0.type) })
    return offered.filter { !seen.contains($0) }
  }

  /// Why a handshake failed: a server that shows no further key has shown all it has.
  func failure(ofHandshake error: SFTPError, _ choice: AlgorithmChoice) -> SFTPError {
    guard case .pins(let pins) = policy, !rejected.isEmpty, error.code == "no-common-algorithm" else { return error }
    return notPinned(pins, choice)
  }

  /// Nil: the key is not pinned, and the next attempt may show another.
  mutating func verify(_ key: HostKey, _ choice: AlgorithmChoice) throws(SFTPError) -> HostKeyTrust? {
    let entries = known.keys(host: host, port: port)
    if entries.contains(where: { $0.isRevoked && $0.key == key }) {
      throw SFTPError(
        code: "host-key-revoked", operation: "host key", subject: address,
        reason: "\(key.type) \(key.fingerprint) is marked @revoked", advice: "ask the server's operator",
        severity: .fatal)
    }
    let trusted = entries.filter { !$0.isRevoked }.map(\.key)
    if trusted.contains(key) { return .known }
    switch policy {
    case .pins(let pins):
      if pins.contains(key.fingerprint) { return .pinned }
      let isAnother = !rejected.contains { $0.type == key.type }
      rejected.append(key)
      if isAnother, !unseen(of: choice.offered(.hostKey)).isEmpty { return nil }
      throw notPinned(pins, choice)
    case .knownHosts(let path):
      if trusted.isEmpty {
        throw SFTPError(
          code: "host-key-unknown", operation: "host key", subject: address,
          reason: "\(escaped(path)) has no key for it; the server shows \(key.type) \(key.fingerprint)",
          advice: "if the server's operator confirms it, add the line: \(line(for: key))", severity: .fatal)
      }
      throw changed(
        [key], expected: trusted.map { "\($0.type) \($0.fingerprint)" },
        advice: "ask the server's operator; if it is right, correct the line in \(escaped(path))")
    case .trustOnFirstUse(let path, let isKept):
      if trusted.isEmpty {
        if isKept { try KnownHosts.append(line(for: key), to: path) }
        return .firstUse
      }
      throw changed(
        [key], expected: trusted.map { "\($0.type) \($0.fingerprint)" },
        advice: "ask the server's operator; if it is right, remove the old line from \(escaped(path))")
    }
  }

  private func line(for key: HostKey) -> String {
    "\(KnownHosts.name(host: host, port: port)) \(key.type) \(key.base64Text)"
  }

  private func notPinned(_ pins: [String], _ choice: AlgorithmChoice) -> SFTPError {
    var advice = "ask the server's operator; if it is right, set SFTP_HOST_KEY to one of them"
    let rsa = HostKey.algorithms(forType: "ssh-rsa")
    if !choice.offered(.hostKey).contains(where: rsa.contains) {
      advice += "; an RSA key was not asked for: \(choice.advice(.hostKey, theirs: rsa))"
    }
    return changed(rejected, expected: pins, advice: advice)
  }

  private func changed(_ keys: [HostKey], expected: [String], advice: String) -> SFTPError {
    let shown = keys.map { "\($0.type) \($0.fingerprint)" }.joined(separator: " and ")
    return SFTPError(
      code: "host-key-mismatch", operation: "host key", subject: address,
      reason: "the server shows \(shown), but expected is \(expected.joined(separator: " or "))", advice: advice,
      severity: .fatal)
  }
}
