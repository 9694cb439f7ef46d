internal import Crypto
internal import FoundationEssentials

/// A SHA-256 digest (FIPS 180-4): 32 bytes, held without an allocation.
package struct SHA256Digest: Hashable, Sendable, CustomStringConvertible {
  private var words: (UInt64, UInt64, UInt64, UInt64)

  /// Takes exactly 32 bytes; nil for any other number.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    words = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
  }

  package init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 32 else { return nil }
    words = bytes.loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self)
  }

  /// Takes 64 hexadecimal digits; nil for anything else.
  package init?(hex text: some Sequence<UInt8>) {
    guard let raw = Common.bytes(fromHex: text) else { return nil }
    self.init(bytes: raw)
  }

  package init?(hex text: String) { self.init(hex: text.utf8) }

  package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }
  package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { withUnsafeBytes(of: words, body) }

  package var hex: String { Common.hex(bytes) }
  package var description: String { hex }

  package static func == (left: SHA256Digest, right: SHA256Digest) -> Bool { left.words == right.words }
  package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  /// The digest of a whole buffer.
  package static func of(_ bytes: some Sequence<UInt8>) -> SHA256Digest {
    var hasher = ContentHasher()
    hasher.update(Array(bytes))
    return hasher.sha256()
  }
}

/// An MD5 digest (RFC 1321), for Content-MD5 (RFC 1864) only: S3 asks for it, nothing here trusts it. 16 bytes, held
/// without an allocation.
package struct MD5Digest: Hashable, Sendable {
  private var words: (UInt64, UInt64)

  /// Takes exactly 16 bytes; nil for any other number.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    words = (0, 0)
    withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
  }

  package init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 16 else { return nil }
    words = bytes.loadUnaligned(as: (UInt64, UInt64).self)
  }

  package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

  package func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { withUnsafeBytes(of: words, body) }

  package static func == (left: MD5Digest, right: MD5Digest) -> Bool { left.words == right.words }
  package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  package var hex: String { Common.hex(bytes) }
  /// The form of the Content-MD5 header.
  package var base64: String { Common.base64(bytes) }
}

/// SHA-256, and MD5 when asked for, of bytes given piece by piece.
package struct ContentHasher: Sendable {
  private var sha = SHA256()
  private var md5: Insecure.MD5?

  package init(withMD5: Bool = false) {
    md5 = withMD5 ? Insecure.MD5() : nil
  }

  package mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    sha.update(bufferPointer: bytes)
    md5?.update(bufferPointer: bytes)
  }

  /// The digest of everything given so far.
  package func sha256() -> SHA256Digest {
    sha.finalize().withUnsafeBytes { SHA256Digest(bytes: $0)! }
  }

  /// The MD5 digest, when this hasher was made to compute it.
  package func md5Digest() -> MD5Digest? {
    md5.flatMap { hasher in hasher.finalize().withUnsafeBytes { MD5Digest(bytes: Array($0)) } }
  }
}

/// HMAC with SHA-256 (RFC 2104), as Signature Version 4 uses it.
package func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
  HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)).withUnsafeBytes { Array($0) }
}

/// HMAC with SHA-1, as OpenSSH hashes the names in a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
package func hmacSHA1(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
  HMAC<Insecure.SHA1>.authenticationCode(for: message, using: SymmetricKey(data: key)).withUnsafeBytes { Array($0) }
}

/// Base64 with padding (RFC 4648 §4).
package func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

/// The bytes behind base64 text; nil when it is not base64.
package func bytes(fromBase64 text: String) -> [UInt8]? { Data(base64Encoded: text).map { Array($0) } }
