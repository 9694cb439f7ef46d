/// Percent-encoding as Signature Version 4 wants it: unreserved characters (RFC 3986 §2.3) stay, every other byte
/// becomes `%XX` with upper-case digits, once (AWS, "Signature Version 4, Create a canonical request", UriEncode()).
package enum PercentEncoding {
  /// The path of an object: slashes stay, and nothing is normalised, so that `a//b` and `a/../b` name what they say.
  package static func path(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, slashStays: true) }

  /// A name or value of the query: a slash is encoded too.
  package static func query(_ bytes: some Sequence<UInt8>) -> String { encode(bytes, slashStays: false) }

  /// Bytes of a text of a response whose EncodingType is `url`: `%XX` is a byte and `+` is a space, as AWS writes it.
  /// Nil when a `%` is not followed by two digits.
  package static func decode(_ text: [UInt8]) -> [UInt8]? {
    guard text.contains(where: { $0 == percent || $0 == plus }) else { return text }
    var out = [UInt8]()
    out.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      switch text[index] {
      case percent:
        guard index + 2 < text.count, let high = digit(text[index + 1]), let low = digit(text[index + 2]) else {
          return nil
        }
        out.append(high << 4 | low)
        index += 3
      case plus:
        out.append(UInt8(ascii: " "))
        index += 1
      case let byte:
        out.append(byte)
        index += 1
      }
    }
    return out
  }

  private static func encode(_ bytes: some Sequence<UInt8>, slashStays: Bool) -> String {
    var out = [UInt8]()
    out.reserveCapacity(bytes.underestimatedCount)
    for byte in bytes {
      if unreserved[Int(byte)] || (slashStays && byte == UInt8(ascii: "/")) {
        out.append(byte)
      } else {
        out.append(percent)
        out.append(upperDigits[Int(byte >> 4)])
        out.append(upperDigits[Int(byte & 15)])
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}

private let percent = UInt8(ascii: "%")
private let plus = UInt8(ascii: "+")
private let upperDigits = Array("0123456789ABCDEF".utf8)
private let unreserved: [Bool] = (0..<256).map { code in
  switch UInt8(code) {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
  case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
  default: false
  }
}
