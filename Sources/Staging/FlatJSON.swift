package import Common

/// Writes one JSON object whose values are strings and whole numbers (RFC 8259), on one line.
package struct FlatJSONWriter {
  package private(set) var bytes: [UInt8] = [UInt8(ascii: "{")]

  package init() { bytes.reserveCapacity(512) }

  package mutating func field(_ name: StaticString, _ value: UInt64) {
    begin(name)
    appendDecimal(value)
  }

  package mutating func field(_ name: StaticString, _ value: String) {
    begin(name)
    quote(value.utf8)
  }

  package mutating func field(_ name: StaticString, _ value: String?) {
    if let value { field(name, value) }
  }

  package mutating func field(_ name: StaticString, _ value: UInt64?) {
    if let value { field(name, value) }
  }

  /// A path: a string when its bytes are UTF-8, else base64 under `name_b64`.
  package mutating func path(_ path: RemotePath) {
    if path.text != nil {
      begin("path")
      quote(path.bytes)
    } else {
      field("path_b64", base64(path.bytes))
    }
  }

  /// Closes the object. No line feed.
  package consuming func finished() -> [UInt8] {
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }

  private mutating func begin(_ name: StaticString) {
    if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
    bytes.append(UInt8(ascii: "\""))
    name.withUTF8Buffer { bytes.append(contentsOf: $0) }
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
  }

  private mutating func appendDecimal(_ value: UInt64) {
    bytes.append(contentsOf: String(value).utf8)
  }

  /// Control characters and DEL are escaped, so that a journal can be shown on a terminal.
  private mutating func quote(_ text: some Sequence<UInt8>) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<0x20, 0x7f:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(hexDigits[Int(byte >> 4)])
        bytes.append(hexDigits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}

/// One JSON object of strings and whole numbers, read from a line. Strict: whatever is not exactly that is nil.
package struct FlatJSON {
  package enum Value: Equatable {
    case string([UInt8])
    case number(UInt64)
  }

  private var fields: [(name: [UInt8], value: Value)] = []

  /// - Parameter line: the object alone, without a line feed. Any order of fields, any white space; no field twice.
  package init?(_ line: UnsafeRawBufferPointer) {
    var scanner = Scanner(line)
    fields.reserveCapacity(16)
    scanner.skipSpace()
    guard scanner.take(UInt8(ascii: "{")) else { return nil }
    scanner.skipSpace()
    if !scanner.take(UInt8(ascii: "}")) {
      repeat {
        scanner.skipSpace()
        guard let name = scanner.string() else { return nil }
        scanner.skipSpace()
        guard scanner.take(UInt8(ascii: ":")) else { return nil }
        scanner.skipSpace()
        let value: Value
        if scanner.peek == UInt8(ascii: "\"") {
          guard let text = scanner.string() else { return nil }
          value = .string(text)
        } else {
          guard let number = scanner.number() else { return nil }
          value = .number(number)
        }
        if fields.contains(where: { $0.name == name }) { return nil }
        fields.append((name, value))
        scanner.skipSpace()
      } while scanner.take(UInt8(ascii: ","))
      guard scanner.take(UInt8(ascii: "}")) else { return nil }
    }
    scanner.skipSpace()
    guard scanner.peek == nil else { return nil }
  }

  package init?(_ line: [UInt8]) {
    guard let parsed = line.withUnsafeBytes({ FlatJSON($0) }) else { return nil }
    self = parsed
  }

  package var fieldNames: [String] { fields.map { String(decoding: $0.name, as: UTF8.self) } }

  package func value(_ name: StaticString) -> Value? {
    name.withUTF8Buffer { wanted in
      fields.first { $0.name.elementsEqual(wanted) }?.value
    }
  }

  package func bytes(_ name: StaticString) -> [UInt8]? {
    if case .string(let text) = value(name) { text } else { nil }
  }

  package func text(_ name: StaticString) -> String? {
    bytes(name).map { String(decoding: $0, as: UTF8.self) }
  }

  package func number(_ name: StaticString) -> UInt64? {
    if case .number(let number) = value(name) { number } else { nil }
  }

  /// The path field in either of its forms.
  package func path() -> RemotePath? {
    if let plain = bytes("path") { return try? RemotePath(plain) }
    return text("path_b64").flatMap(Common.bytes(fromBase64:)).flatMap { try? RemotePath($0) }
  }
}

private struct Scanner {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    position += 1
    return true
  }

  mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a { position += 1 }
  }

  /// A whole number from 0 to 2⁶⁴−1 without leading zeros.
  mutating func number() -> UInt64? {
    let start = position
    var value: UInt64 = 0
    while let byte = peek, (0x30...0x39).contains(byte) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
      if overflow || carry { return nil }
      value = sum
      position += 1
    }
    let digits = position - start
    return digits == 0 || (digits > 1 && bytes[start] == 0x30) ? nil : value
  }

  /// A string: valid UTF-8, no raw control characters, every escape resolved.
  mutating func string() -> [UInt8]? {
    guard take(UInt8(ascii: "\"")) else { return nil }
    let start = position
    while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
    var text = Array(bytes[start..<position])
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return isValidUTF8(text) ? text : nil
      case UInt8(ascii: "\\"):
        guard let scalar = escape() else { return nil }
        text.append(contentsOf: UTF8.encode(scalar)!)
      case 0..<0x20: return nil
      default: text.append(byte)
      }
    }
    return nil
  }

  private func isValidUTF8(_ text: [UInt8]) -> Bool {
    text.allSatisfy { $0 < 0x80 } || String(validating: text, as: UTF8.self) != nil
  }

  private mutating func escape() -> Unicode.Scalar? {
    guard let kind = peek else { return nil }
    position += 1
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(kind)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      guard let first = hexUnit() else { return nil }
      if let scalar = Unicode.Scalar(first) { return scalar }
      guard UTF16.isLeadSurrogate(first), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")), let second = hexUnit(),
        UTF16.isTrailSurrogate(second)
      else { return nil }
      return Unicode.Scalar(0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00))
    default: return nil
    }
  }

  private mutating func hexUnit() -> UInt16? {
    guard position + 4 <= bytes.count, let raw = Common.bytes(fromHex: bytes[position..<(position + 4)]) else {
      return nil
    }
    position += 4
    return UInt16(raw[0]) << 8 | UInt16(raw[1])
  }
}
