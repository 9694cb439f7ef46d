/// Which paths are taken, by rules with rclone's meaning: the first rule that matches a path decides, and what no rule
/// matches is taken. A directory that the rules for directories leave out is not entered, and nothing in it is taken.
///
/// How rules for files make rules for directories, as rclone makes them:
///
/// | rule | for files | for directories |
/// |---|---|---|
/// | `+ a/*.csv` | takes | takes `a/`; every directory when there is no `/` or `**`, or one within braces |
/// | `+ a/` | – | takes |
/// | `+ a/**` | takes | takes, and those above it in the pattern |
/// | `- *.csv` | leaves out | – |
/// | `- *` | leaves out | leaves out every directory |
/// | `- a/`, `- a/**` | leaves out | leaves out |
package struct PathFilter: Sendable {
  /// Rules with what a path must match first.
  struct RuleSet: Sendable {
    let automaton: GlobAutomaton
    /// Whether each rule takes what it matches.
    let verdicts: [Bool]
  }

  let files: RuleSet
  let directories: RuleSet

  /// Takes everything.
  package static let everything = try! PathFilter()

  /// Bytes of all patterns, those made for directories included; what a path costs at worst grows with them.
  static let maximumBytes = 200_000

  /// Why rules are refused.
  package struct Fault: Error, Equatable {
    /// The pattern or rule line.
    package let pattern: [UInt8]
    package let reason: String
  }

  /// - Parameters:
  ///   - include: patterns of paths to take, in order; when there are any, what no rule matches is left out.
  ///   - exclude: patterns of paths to leave out; they come after those to take.
  ///   - rules: lines `+ pattern`, `- pattern`, or `!`, which forgets the rules before it. They come last.
  package init(include: [[UInt8]] = [], exclude: [[UInt8]] = [], rules: [[UInt8]] = []) throws(Fault) {
    var list = RuleList()
    for pattern in include { try list.add(pattern, takes: true) }
    for pattern in exclude { try list.add(pattern, takes: false) }
    for rule in rules { try list.add(rule: rule) }
    if !include.isEmpty { try list.add(Array("/**".utf8), takes: false) }
    files = RuleSet(list.files)
    directories = RuleSet(list.directories)
  }

  /// True when there is no rule.
  package var isEmpty: Bool { files.verdicts.isEmpty && directories.verdicts.isEmpty }

  /// Rules that judge files, the one included that INCLUDE implies.
  package var ruleCount: Int { files.verdicts.count }

  package func makeMatcher() -> PathMatcher { PathMatcher(self) }
}

/// Judges paths by a ``PathFilter``; for one thread, since it remembers what it has worked out.
package final class PathMatcher {
  private let filter: PathFilter
  private lazy var files = GlobMatcher(filter.files.automaton)
  private lazy var directories = GlobMatcher(filter.directories.automaton)

  init(_ filter: PathFilter) { self.filter = filter }

  /// Whether the rules for files take this one, the directories above it left aside.
  package func takes(file path: RemotePath) -> Bool {
    if filter.files.verdicts.isEmpty { return true }
    return files.firstMatch(path.bytes).map { filter.files.verdicts[$0] } ?? true
  }

  /// Whether the rules for directories take this one, those above it left aside.
  package func takes(directory path: RemotePath) -> Bool {
    if filter.directories.verdicts.isEmpty { return true }
    return directories.firstMatch(path.bytes, withSlash: true).map { filter.directories.verdicts[$0] } ?? true
  }
}

extension PathFilter.RuleSet {
  fileprivate init(_ rules: [RuleList.Rule]) {
    automaton = GlobAutomaton(rules.map(\.glob))
    verdicts = rules.map(\.takes)
  }
}

/// The rules in the making.
private struct RuleList {
  struct Rule {
    let glob: Glob
    let takes: Bool
  }

  var files: [Rule] = []
  var directories: [Rule] = []
  /// Directory rules made of patterns, each with its sign.
  private var derived: Set<[UInt8]> = []
  private var bytes = 0

  /// A line of a rule file.
  mutating func add(rule: [UInt8]) throws(PathFilter.Fault) {
    switch (rule.first, rule.dropFirst().first) {
    case (UInt8(ascii: "!"), nil): self = RuleList()
    case (UInt8(ascii: "+"), 0x20?): try add(Array(rule[2...]), takes: true)
    case (UInt8(ascii: "-"), 0x20?): try add(Array(rule[2...]), takes: false)
    default:
      throw PathFilter.Fault(pattern: rule, reason: "a rule is \"+ pattern\", \"- pattern\" or \"!\"")
    }
  }

  mutating func add(_ given: [UInt8], takes: Bool) throws(PathFilter.Fault) {
    do throws(Glob.Fault) {
      try addParsed(given, takes: takes)
    } catch {
      throw PathFilter.Fault(pattern: given, reason: error.reason)
    }
  }

  private mutating func addParsed(_ given: [UInt8], takes: Bool) throws(Glob.Fault) {
    let isDirectory = given.last == slash
    // To leave a directory out is to leave out all that is in it.
    let pattern = isDirectory && !takes ? given + doubleStar : given
    let rule = try makeRule(pattern, takes)
    let isBoth = pattern.firstRange(of: doubleStar) != nil
    if !isDirectory || isBoth {
      files.append(rule)
      if takes || pattern == [UInt8(ascii: "*")] {
        for directory in directoryPatterns(of: pattern) {
          // Those of many patterns are often the same; the first rule is the one that counts.
          guard derived.insert([takes ? UInt8(ascii: "+") : UInt8(ascii: "-")] + directory).inserted else { continue }
          directories.append(try makeRule(directory, takes))
        }
      }
    }
    if isDirectory || isBoth { directories.append(rule) }
  }

  private mutating func makeRule(_ pattern: [UInt8], _ takes: Bool) throws(Glob.Fault) -> Rule {
    bytes += pattern.count
    if bytes > PathFilter.maximumBytes { throw Glob.Fault(reason: "the patterns together are too large") }
    return Rule(glob: try Glob(pattern), takes: takes)
  }
}

private let doubleStar = Array("**".utf8)

/// Patterns, with a slash at the end, of the directories in which a pattern's files may be. Made of the text, as rclone
/// does, so that the same directories are entered.
private func directoryPatterns(of pattern: [UInt8]) -> [[UInt8]] {
  let everywhere = Array("/**".utf8)
  if canBeAnywhere(pattern) { return [everywhere] }
  var rest: [UInt8] = []
  for byte in pattern where byte != slash || rest.last != slash { rest.append(byte) }
  var found: [[UInt8]] = []
  while true {
    let atSlash = rest.lastIndex(of: slash) ?? -1
    let atStars = rest.indices.dropLast().last { rest[$0...($0 + 1)].elementsEqual(doubleStar) } ?? -1
    let cut = max(atSlash, atStars)
    if cut < 0 { break }
    rest.removeSubrange(cut...)
    let directory = rest + (atStars > atSlash ? doubleStar : []) + [slash]
    if found.last != directory { found.append(directory) }
  }
  // The mirrored folder itself is always entered.
  return found.isEmpty ? [everywhere] : found.filter { $0 != [slash] }
}

/// A slash or `**` within braces, or braces within braces: the pattern cannot be cut into directories.
private func canBeAnywhere(_ pattern: [UInt8]) -> Bool {
  var opened: Int?
  for (index, byte) in pattern.enumerated() {
    if byte == UInt8(ascii: "{") {
      if opened != nil { return true }
      opened = index
    } else if byte == UInt8(ascii: "}") {
      if index > 0, pattern[index - 1] == byte { return true }
      if let begin = opened, pattern[begin..<index].contains(slash) { return true }
      if let begin = opened, pattern[begin..<index].firstRange(of: doubleStar) != nil { return true }
      opened = nil
    }
  }
  return false
}
