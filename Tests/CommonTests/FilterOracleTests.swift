internal import Foundation
internal import TestSupport
internal import Testing

@testable internal import Common

/// What our filter takes of a tree, against what rclone takes of it under the same rules.
@Suite struct FilterOracleTests {
  struct Case: Codable {
    var tree = 0
    var include: [String] = []
    var exclude: [String] = []
    var rules: [String] = []
    /// Asked of `rclone lsf` with flags and a file of rules.
    var command = false
  }

  private struct Request: Codable {
    var trees: [[String]]
    var cases: [Case]
  }

  static let tree = [
    "a.csv", "b.CSV", "c.txt", "c.txt.gz", "é.csv", "日本.txt", " spaced name.txt", "#hash", "-dash", "[x].txt",
    "{x}.txt",
    "x*y", "x?y", "xay", "x\\y", "data", "data.d/data", "dir/a.csv", "dir/file", "dir/sub/a.csv", "dir/sub/deep/z.txt",
    "dir2/a.csv", "other/dir/a.csv", "other/dir/sub/b.csv", "other/x/y/z/end.csv", "logs/2026/01/a.log",
    "logs/2026/02/b.log", "logs/2025/12/c.log", "logs/latest", "a/b/c/d", "a/b/x", "a/x", "ab/a/b/c.txt", "1/2/3",
    "12/34.5", "_/_w",
  ]

  static let table: [Case] =
    [
      "*.csv", "/*.csv", "*.txt", "**.txt", "*", "**", "/**", "/*", "?.csv", "??.txt", "dir/", "dir/**", "/dir/**",
      "/dir/", "dir/*", "/dir/*", "dir/*.csv", "/other/**/*.csv", "**/dir/**", "dir/**/*.txt", "logs/*/*/*.log",
      "/logs/202[56]/**", "/logs/2026/0?/*", "[a-c].*", "[^a]*", "[^a-z]*", "x[*?]y", "x\\*y", "x\\?y", "x\\\\y",
      "\\[x\\].txt", "\\{x\\}.txt", "{a,b}.*", "*.{csv,txt}", "{dir,other}/**", "/{dir,logs/2025}/**", "*{.csv,}",
      "{a,{b,c}}*", "a/b/**", "/a/*/x", "**/x", "a**", "*/", "**/", "é.csv", "[é日]*", "?.*", "\\d*", "[\\d_]*",
      "\\w/**",
      "[[:digit:]]*", "[[:^alpha:]]*", "\\D", "[a\\-c]*", "\\x61*", "//dir/*", "dir//a.csv", "/", "data*", "data*/**",
      "#hash", "[-x]*", "[+--]*", "* *", "*\\.txt", "{,a/}x", "(a|b)*", "a.+",
    ].flatMap { [Case(include: [$0]), Case(exclude: [$0])] } + [
      Case(include: ["*.csv"], exclude: ["dir/**"]), Case(include: ["/dir/**", "*.txt"]),
      Case(include: ["*.csv"], rules: ["!"]), Case(exclude: ["*.csv"], rules: ["!", "- *.txt"]),
      Case(rules: ["+ *.csv", "- *"]), Case(rules: ["- *.csv", "+ dir/**", "- *"]),
      Case(rules: ["+ /dir/sub/**", "- /dir/**"]), Case(rules: ["- /dir/sub/**", "+ /dir/**", "- **"]),
      Case(rules: ["+ */", "- *.csv", "+ *"]), Case(rules: ["- dir/", "+ dir/a.csv"]),
      Case(rules: ["+ a.csv", "- /**"]), Case(rules: ["+ /logs/*/", "+ *.log", "- *"]), Case(rules: ["- **[^a]"]),
      Case(rules: ["# everything of one kind", "", " + *.csv  ", "; and no more", "- *"], command: true),
      Case(include: ["*.{csv,txt}", "/logs/**"], command: true), Case(exclude: ["dir/", "[^a-z]*"], command: true),
      Case(include: ["/a/**"], exclude: ["*x"], rules: ["+ /dir2/*"], command: true),
      // Refused by both.
      Case(include: ["a{b"]), Case(include: ["a}b"]), Case(include: ["a[b"]), Case(include: ["a]b"]),
      Case(include: ["a***"]), Case(include: ["[]"]), Case(include: ["[b-a]"]), Case(rules: ["*.csv"]),
      Case(rules: ["+"]), Case(include: ["{a,b"]), Case(exclude: ["[[:none:]]"]), Case(exclude: ["\\é"]),
    ]

  @Test func everyRuleOfTheTableTakesWhatRcloneTakes() throws {
    try compare([Self.tree], Self.table)
  }

  @Test func randomRulesTakeWhatRcloneTakes() throws {
    let seed = variable("SFTP_TO_S3_SEED").flatMap(UInt64.init) ?? 20_261_122
    var random = SeededGenerator(seed: seed)
    let trees = (0..<8).map { _ in randomTree(&random) }
    let cases = (0..<Scale.of(600, long: 20_000)).map { _ in randomCase(trees.count, &random) }
    let refused = try compare(trees, cases)
    // Most must be rules, or nothing is compared.
    #expect(refused < cases.count / 4)
  }

  /// - Returns: how many of the cases both refuse.
  @discardableResult
  private func compare(_ trees: [[String]], _ cases: [Case]) throws -> Int {
    let request = String(decoding: try JSONEncoder().encode(Request(trees: trees, cases: cases)), as: UTF8.self)
    let output = try python("Tests/CommonTests/oracle/rclone_filter.py", stdin: request)
    let oracle = try JSONDecoder().decode([[String]?].self, from: Data(output.utf8))
    #expect(oracle.count == cases.count)
    for (given, expected) in zip(cases, oracle) {
      let ours = try taken(of: trees[given.tree], given).map { Set($0.map { Array($0.utf8) }) }
      let theirs = expected.map { Set($0.map { Array($0.utf8) }) }
      if ours != theirs {
        func shown(_ paths: Set<[UInt8]>?) -> String { paths.map { "\($0.map { escaped($0) }.sorted())" } ?? "refused" }
        Issue.record("\(given): ours \(shown(ours)), rclone's \(shown(theirs))")
      }
    }
    return oracle.count { $0 == nil }
  }

  /// What a walk that asks the filter comes by.
  private func taken(of tree: [String], _ given: Case) throws -> [String]? {
    // As Selection reads lines; the rest is for PathFilter to judge.
    let rules = given.rules.map { $0.trimmingCharacters(in: .whitespaces) }.filter {
      !$0.isEmpty && !$0.hasPrefix("#") && !$0.hasPrefix(";")
    }
    let bytes: ([String]) -> [[UInt8]] = { $0.map { Array($0.utf8) } }
    guard
      let filter = try? PathFilter(include: bytes(given.include), exclude: bytes(given.exclude), rules: bytes(rules))
    else { return nil }
    let matcher = filter.makeMatcher()
    return try tree.filter { text in
      let path = try RemotePath(text)
      return matcher.takes(file: path) && path.ancestors.allSatisfy { matcher.takes(directory: $0) }
    }
  }

  private func randomTree(_ random: inout SeededGenerator) -> [String] {
    var files: Set<String> = []
    var directories: Set<String> = []
    for _ in 0..<60 {
      let names = (0..<Int.random(in: 1...4, using: &random)).map { _ in randomName(&random) }
      let above = (1..<max(1, names.count)).map { names[..<$0].joined(separator: "/") }
      let path = names.joined(separator: "/")
      if directories.contains(path) || above.contains(where: { files.contains($0) }) { continue }
      files.insert(path)
      directories.formUnion(above)
    }
    return files.sorted()
  }

  private func randomName(_ random: inout SeededGenerator) -> String {
    (0..<Int.random(in: 1...3, using: &random)).map { _ in
      ["a", "b", "c", "é", ".", "1", "-", "z"].randomElement(using: &random)!
    }.joined().replacing(/^\.+$/, with: "d")
  }

  private func randomCase(_ trees: Int, _ random: inout SeededGenerator) -> Case {
    var result = Case(tree: Int.random(in: 0..<trees, using: &random))
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let pattern = randomPattern(&random)
      switch Int.random(in: 0..<8, using: &random) {
      case 0: result.include.append(pattern)
      case 1: result.exclude.append(pattern)
      case 2...4: result.rules.append("+ \(pattern)")
      default: result.rules.append("- \(pattern)")
      }
    }
    if Int.random(in: 0..<3, using: &random) == 0 { result.rules.append("- *") }
    return result
  }

  private func randomPattern(_ random: inout SeededGenerator) -> String {
    let pieces = [
      "a", "b", "c", "é", "1", "z", ".", "-", "a", "b", "/", "/", "/", "*", "*", "*", "**", "**/", "/**", "?", "?",
      "[ab]",
      "[^a]", "[a-c]", "[^.]", "{a,b}", "{a,}", "{*,1}", "{a/,b}", "{a,{b,é}c}", "{**,z}", "\\.", "\\x61", "\\d",
      "[[:alpha:]]",
    ]
    let middle = (0..<Int.random(in: 1...5, using: &random)).map { _ in pieces.randomElement(using: &random)! }
    return (Int.random(in: 0..<3, using: &random) == 0 ? "/" : "") + middle.joined()
      + (Int.random(in: 0..<6, using: &random) == 0 ? "/" : "")
  }
}
