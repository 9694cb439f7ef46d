internal import Crypto
internal import FoundationEssentials

/// Tells a later run whether host, port, user and credentials are still the same, and next to nothing else about them.
///
/// A digest of a password on a disk is a means to guess it. So this one is salted, slow, and above all short: whoever
/// reads it can rule guesses out, but learns 12 bits at most, which never confirm one. One change in 4,096 goes
/// unnoticed; that costs a wait.
package struct CredentialMark: Sendable, Equatable {
  /// 16 random bytes.
  package let salt: [UInt8]
  /// Three hexadecimal digits.
  package let digits: String

  /// Some hundredths of a second in a release build.
  private static let rounds = 50_000

  package init(salt: [UInt8], digits: String) {
    self.salt = salt
    self.digits = digits
  }

  /// - Parameter salt: nil makes a new one.
  package init(of source: SFTPSource, salt: [UInt8]? = nil) {
    var generator = SystemRandomNumberGenerator()
    let salt = salt ?? (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    self.init(salt: salt, digits: Self.digits(of: source, salt: salt))
  }

  /// True for the source that this is a mark of, and for one in 4,096 of all others.
  package func matches(_ source: SFTPSource) -> Bool { Self.digits(of: source, salt: salt) == digits }

  private static func digits(of source: SFTPSource, salt: [UInt8]) -> String {
    let parts = [
      source.host, "\(source.port)", source.user, source.password?.reveal(), source.key?.reveal(),
      source.keyPassphrase?.reveal(),
    ]
    // Each with its length, so that no two sources give the same text.
    let text = parts.map { part in part.map { "\($0.utf8.count):\($0)" } ?? "-" }.joined(separator: ",")
    return String(hex(pbkdf2SHA256(password: Array(text.utf8), salt: salt, rounds: rounds)).prefix(3))
  }
}

/// The first 32 bytes of PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2).
package func pbkdf2SHA256(password: [UInt8], salt: [UInt8], rounds: Int) -> [UInt8] {
  let keyed = HMAC<SHA256>(key: SymmetricKey(data: password))
  var first = keyed
  first.update(data: salt + [0, 0, 0, 1])
  var last = Array(first.finalize())
  var sum = last
  for _ in 1..<rounds {
    var next = keyed
    next.update(data: last)
    last = Array(next.finalize())
    for index in sum.indices { sum[index] ^= last[index] }
  }
  return sum
}
