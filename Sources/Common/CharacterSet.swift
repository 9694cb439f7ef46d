/// Characters as patterns know them: a Unicode scalar, or one byte that is no part of valid UTF-8.
enum PatternCharacter {
  /// Bytes that are no part of valid UTF-8 are numbered from here, behind the last scalar.
  static let firstLoneByte: UInt32 = 0x11_0000
  static let last: UInt32 = firstLoneByte + 0xff
  static let slash = UInt32(UInt8(ascii: "/"))

  /// The character that begins at `index`, and its length in bytes (The Unicode Standard, table 3-7).
  @inline(__always)
  static func decode(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (value: UInt32, width: Int) {
    let first = bytes[index]
    if first < 0x80 { return (UInt32(first), 1) }
    return decodeMultibyte(bytes, at: index, first)
  }

  private static func decodeMultibyte(
    _ bytes: UnsafeBufferPointer<UInt8>, at index: Int, _ first: UInt8
  ) -> (value: UInt32, width: Int) {
    let lone = (value: firstLoneByte + UInt32(first), width: 1)
    let (width, second): (Int, ClosedRange<UInt8>)
    switch first {
    case 0xc2...0xdf: (width, second) = (2, 0x80...0xbf)
    case 0xe0: (width, second) = (3, 0xa0...0xbf)
    case 0xed: (width, second) = (3, 0x80...0x9f)
    case 0xe1...0xef: (width, second) = (3, 0x80...0xbf)
    case 0xf0: (width, second) = (4, 0x90...0xbf)
    case 0xf1...0xf3: (width, second) = (4, 0x80...0xbf)
    case 0xf4: (width, second) = (4, 0x80...0x8f)
    default: return lone
    }
    guard index + width <= bytes.count, second.contains(bytes[index + 1]) else { return lone }
    var value = UInt32(first) & (0x7f >> UInt32(width))
    for offset in 1..<width {
      let next = bytes[index + offset]
      if next & 0xc0 != 0x80 { return lone }
      value = value << 6 | UInt32(next & 0x3f)
    }
    return (value, width)
  }
}

/// A set of pattern characters: ranges in order, which neither touch nor overlap.
struct CharacterSet: Sendable, Equatable, Hashable {
  private(set) var ranges: [ClosedRange<UInt32>]

  static let all = CharacterSet([0...PatternCharacter.last])
  static let allButSlash = CharacterSet([PatternCharacter.slash...PatternCharacter.slash]).inverted

  init(_ ranges: some Sequence<ClosedRange<UInt32>>) {
    self.ranges = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound + 1 {
        self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  init(_ character: UInt32) { ranges = [character...character] }

  var inverted: CharacterSet {
    var left: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { left.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= PatternCharacter.last { left.append(next...PatternCharacter.last) }
    return CharacterSet(left)
  }

  func contains(_ character: UInt32) -> Bool {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < character { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].lowerBound <= character
  }

  /// The ASCII classes of regular expressions by name: of `[[:name:]]`, and `d`, `s`, `w` for the backslash forms.
  static func named(_ name: String) -> CharacterSet? {
    let members: [ClosedRange<Character>]
    switch name {
    case "alnum": members = ["0"..."9", "A"..."Z", "a"..."z"]
    case "alpha": members = ["A"..."Z", "a"..."z"]
    case "ascii": members = ["\0"..."\u{7f}"]
    case "blank": members = ["\t"..."\t", " "..." "]
    case "cntrl": members = ["\0"..."\u{1f}", "\u{7f}"..."\u{7f}"]
    case "digit", "d": members = ["0"..."9"]
    case "graph": members = ["!"..."~"]
    case "lower": members = ["a"..."z"]
    case "print": members = [" "..."~"]
    case "punct": members = ["!"..."/", ":"..."@", "["..."`", "{"..."~"]
    case "s": members = ["\t"..."\n", "\u{c}"..."\r", " "..." "]
    case "space": members = ["\t"..."\r", " "..." "]
    case "upper": members = ["A"..."Z"]
    case "word", "w": members = ["0"..."9", "A"..."Z", "_"..."_", "a"..."z"]
    case "xdigit": members = ["0"..."9", "A"..."F", "a"..."f"]
    default: return nil
    }
    return CharacterSet(
      members.map { $0.lowerBound.unicodeScalars.first!.value...$0.upperBound.unicodeScalars.first!.value })
  }
}
