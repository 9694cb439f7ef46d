/// A character of a pattern, as far as it can be told without what stands around it.
enum GlobToken: Equatable {
  /// Without a backslash before it; where it means nothing it is the character.
  case mark(Mark)
  case character(UInt32)
  /// `\d` and the like.
  case named(UInt8)

  enum Mark: UInt8 {
    case exclamation = 0x21
    case star = 0x2a
    case comma = 0x2c
    case dash = 0x2d
    case colon = 0x3a
    case question = 0x3f
    case openBracket = 0x5b
    case closeBracket = 0x5d
    case caret = 0x5e
    case openBrace = 0x7b
    case closeBrace = 0x7d
  }

  private enum Origin { case plain, escaped, named }

  static func all(in text: ArraySlice<UInt8>) throws(Glob.Fault) -> [GlobToken] {
    // First the bytes, so that the bytes of one character may be escaped one by one; then the characters.
    var bytes: [UInt8] = []
    var origins: [Origin] = []
    var rest = text
    while let byte = rest.popFirst() {
      let (value, origin) = byte == UInt8(ascii: "\\") ? try escape(&rest) : (byte, .plain)
      bytes.append(value)
      origins.append(origin)
    }
    return bytes.withUnsafeBufferPointer { bytes in
      var tokens: [GlobToken] = []
      var index = 0
      while index < bytes.count {
        let (value, width) = PatternCharacter.decode(bytes, at: index)
        switch origins[index] {
        case .plain: tokens.append(Mark(rawValue: bytes[index]).map { .mark($0) } ?? .character(value))
        case .escaped: tokens.append(.character(value))
        case .named: tokens.append(.named(bytes[index]))
        }
        index += width
      }
      return tokens
    }
  }

  /// What stands behind a backslash. In rclone a letter or digit there belongs to a regular expression.
  private static func escape(_ rest: inout ArraySlice<UInt8>) throws(Glob.Fault) -> (UInt8, Origin) {
    guard let byte = rest.popFirst() else { throw Glob.Fault(reason: "a backslash at its end") }
    switch byte {
    case UInt8(ascii: "x"):
      guard rest.count >= 2, let value = Common.bytes(fromHex: rest.prefix(2))?.first else {
        throw Glob.Fault(reason: "\\x without two hexadecimal digits")
      }
      rest.removeFirst(2)
      return (value, .escaped)
    case _ where "dDsSwW".utf8.contains(byte): return (byte, .named)
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"), 0x80...:
      throw Glob.Fault(reason: "a backslash before a letter or digit other than xHH, d, D, s, S, w and W")
    default: return (byte, .escaped)
    }
  }
}

/// Makes the parts of a pattern of its characters.
struct GlobParser {
  private let tokens: [GlobToken]
  private var position = 0

  init(_ tokens: [GlobToken]) { self.tokens = tokens }

  private var next: GlobToken? { position < tokens.count ? tokens[position] : nil }

  private mutating func take(_ mark: GlobToken.Mark) -> Bool {
    guard next == .mark(mark) else { return false }
    position += 1
    return true
  }

  /// Up to the end, or to a comma or brace that ends an alternative.
  mutating func sequence(depth: Int = 0) throws(Glob.Fault) -> [Glob.Part] {
    var parts: [Glob.Part] = []
    while let token = next {
      if depth > 0, token == .mark(.comma) || token == .mark(.closeBrace) { break }
      position += 1
      switch token {
      case .mark(.star):
        var count = 1
        while take(.star) { count += 1 }
        if count > 2 { throw Glob.Fault(reason: "more than two stars in a row") }
        parts.append(.many(count == 2 ? .all : .allButSlash))
      case .mark(.question): parts.append(.one(.allButSlash))
      case .mark(.openBracket): parts.append(.one(try characterClass()))
      case .mark(.closeBracket): throw Glob.Fault(reason: "a ] without its [")
      case .mark(.openBrace): parts.append(try alternatives(depth: depth + 1))
      case .mark(.closeBrace): throw Glob.Fault(reason: "a } without its {")
      case .mark(let mark): parts.append(.one(CharacterSet(UInt32(mark.rawValue))))
      case .character(let value): parts.append(.one(CharacterSet(value)))
      case .named(let name): parts.append(.one(Self.shorthand(name)))
      }
    }
    return parts
  }

  private mutating func alternatives(depth: Int) throws(Glob.Fault) -> Glob.Part {
    if next == .mark(.openBrace) { throw Glob.Fault(reason: "regular expressions in {{ }} are not supported") }
    if depth > Glob.maximumNesting { throw Glob.Fault(reason: "braces nested too deep") }
    var all: [[Glob.Part]] = []
    repeat { all.append(try sequence(depth: depth)) } while take(.comma)
    guard take(.closeBrace) else { throw Glob.Fault(reason: "a { without its }") }
    return .alternatives(all)
  }

  /// What stands behind a `[`, its `]` included.
  private mutating func characterClass() throws(Glob.Fault) -> CharacterSet {
    if next == .mark(.exclamation) {
      throw Glob.Fault(reason: "[! is not what it is in a shell; write [^ for all but these, [\\! for the mark itself")
    }
    let isInverted = take(.caret)
    if next == .mark(.closeBracket) { throw Glob.Fault(reason: "an empty class; write [\\] for the bracket itself") }
    var ranges: [ClosedRange<UInt32>] = []
    while !take(.closeBracket) {
      guard let token = next else { throw Glob.Fault(reason: "a [ without its ]") }
      position += 1
      switch token {
      case .mark(.openBracket): ranges += try asciiClass().ranges
      case .character(PatternCharacter.slash): throw Glob.Fault(reason: "a / in a class")
      case .named(let name): ranges += Self.shorthand(name).ranges
      case .mark(let mark): ranges.append(try range(from: UInt32(mark.rawValue)))
      case .character(let low): ranges.append(try range(from: low))
      }
    }
    return isInverted ? CharacterSet(ranges).inverted : CharacterSet(ranges)
  }

  private mutating func range(from low: UInt32) throws(Glob.Fault) -> ClosedRange<UInt32> {
    guard next == .mark(.dash), position + 1 < tokens.count, tokens[position + 1] != .mark(.closeBracket) else {
      return low...low
    }
    let high: UInt32? =
      switch tokens[position + 1] {
      case .character(let value): value
      case .mark(let mark): UInt32(mark.rawValue)
      case .named: nil
      }
    guard let high, high >= low else { throw Glob.Fault(reason: "a class with a range that ends before it begins") }
    position += 2
    return low...high
  }

  /// What stands behind the inner bracket of `[[:alpha:]]` and `[[:^alpha:]]`.
  private mutating func asciiClass() throws(Glob.Fault) -> CharacterSet {
    let unknown = Glob.Fault(reason: "a [ in a class that begins none like [:alpha:]; write \\[ for the bracket itself")
    guard take(.colon) else { throw unknown }
    let isInverted = take(.caret)
    var name = ""
    while case .character(let value)? = next, let scalar = Unicode.Scalar(value) {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    guard take(.colon), take(.closeBracket), name.count > 1, let set = CharacterSet.named(name) else { throw unknown }
    return isInverted ? set.inverted : set
  }

  private static func shorthand(_ name: UInt8) -> CharacterSet {
    // The tokens hold no other letters.
    let set = CharacterSet.named(String(decoding: [name | 0x20], as: UTF8.self))!
    return name & 0x20 == 0 ? set.inverted : set
  }
}
