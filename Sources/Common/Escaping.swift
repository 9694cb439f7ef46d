/// Shows bytes of unknown origin on one line of a log or terminal.
///
/// | byte | shown as |
/// |---|---|
/// | printable, valid UTF-8 | itself |
/// | backslash | `\\` |
/// | control and format characters, line and paragraph separators, invalid UTF-8 | `\xHH` for each byte |
///
/// So a hostile name can neither forge a log line, nor move the cursor, nor reverse the direction of the text.
package func escaped(_ bytes: some Sequence<UInt8>) -> String {
  let raw = Array(bytes)
  if raw.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != 0x5c }) { return String(decoding: raw, as: UTF8.self) }
  var shown = ""
  var decoder = UTF8()
  var iterator = raw.makeIterator()
  var offset = 0
  decoding: while true {
    switch decoder.decode(&iterator) {
    case .emptyInput: break decoding
    case .error:
      // The decoder consumes a maximal invalid prefix and does not say how long it was: take one byte and start again.
      shown += hexEscape(raw[offset])
      offset += 1
      decoder = UTF8()
      iterator = Array(raw[offset...]).makeIterator()
    case .scalarValue(let scalar):
      let width = UTF8.width(scalar)
      if scalar == "\\" {
        shown += "\\\\"
      } else if isPrintable(scalar) {
        shown.unicodeScalars.append(scalar)
      } else {
        shown += raw[offset..<(offset + width)].map(hexEscape).joined()
      }
      offset += width
    }
  }
  return shown
}

package func escaped(_ text: String) -> String { escaped(text.utf8) }

private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
  default: true
  }
}

private func hexEscape(_ byte: UInt8) -> String { "\\x" + hex([byte]) }

/// Lower-case hexadecimal.
package func hex(_ bytes: some Sequence<UInt8>) -> String {
  var out = [UInt8]()
  for byte in bytes {
    out.append(hexDigits[Int(byte >> 4)])
    out.append(hexDigits[Int(byte & 15)])
  }
  return String(decoding: out, as: UTF8.self)
}

/// The ASCII digits of lower-case hexadecimal, by value.
package let hexDigits: [UInt8] = Array("0123456789abcdef".utf8)

/// Bytes from lower- or upper-case hexadecimal; nil when the text is anything else.
package func bytes(fromHex text: some Sequence<UInt8>) -> [UInt8]? {
  var out = [UInt8]()
  var high: UInt8?
  for digit in text {
    let value: UInt8
    switch digit {
    case 0x30...0x39: value = digit - 0x30
    case 0x61...0x66: value = digit - 0x61 + 10
    case 0x41...0x46: value = digit - 0x41 + 10
    default: return nil
    }
    if let top = high {
      out.append(top << 4 | value)
      high = nil
    } else {
      high = value
    }
  }
  return high == nil ? out : nil
}
