/// A pattern for paths with rclone's meaning (rclone.org/filtering), parsed.
///
/// | pattern | stands for |
/// |---|---|
/// | `*` `**` | any characters but `/`; any characters |
/// | `?` | one character but `/` |
/// | `[a-z]` `[^a]` | one character of these; one other, which may be `/` |
/// | `[[:alpha:]]` `\d` `\D` `\s` `\S` `\w` `\W` | one character of an ASCII class |
/// | `{a,b*}` | either; may be nested |
/// | `\` and a mark | that mark |
/// | `\xHH` | the byte HH, as names are shown in logs |
/// | a leading `/` | the path begins here; otherwise the pattern may begin behind any `/` |
///
/// The pattern and the paths are bytes, and both are read the same way: a valid UTF-8 sequence is one character, any
/// other byte is one character of its own. So a name as a log line shows it, its marks escaped, is a pattern for it.
package struct Glob: Sendable, Equatable {
  /// One step of a pattern.
  indirect enum Part: Sendable, Equatable {
    case one(CharacterSet)
    /// Any number of these.
    case many(CharacterSet)
    case alternatives([[Part]])
  }

  /// Why a text is not a pattern.
  package struct Fault: Error, Equatable {
    package let reason: String
  }

  /// In bytes; the longest path has 3,072.
  static let maximumLength = 4_096
  static let maximumNesting = 32

  let parts: [Part]
  /// Must match from the beginning of the path.
  let isAnchored: Bool

  package init(_ text: [UInt8]) throws(Fault) {
    if text.count > Self.maximumLength { throw Fault(reason: "it is longer than \(Self.maximumLength) bytes") }
    isAnchored = text.first == slash
    var parser = GlobParser(try GlobToken.all(in: isAnchored ? text[1...] : text[...]))
    parts = try parser.sequence()
  }
}
