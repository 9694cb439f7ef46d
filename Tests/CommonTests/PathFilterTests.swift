internal import TestSupport
internal import Testing

@testable internal import Common

/// What FilterOracleTests cannot ask rclone: bytes, refusals, time, and where rules come from.
@Suite struct PathFilterTests {
  private func matches(_ pattern: String, _ path: [UInt8]) throws -> Bool {
    let matcher = try PathFilter(include: [Array(pattern.utf8)]).makeMatcher()
    return matcher.takes(file: try RemotePath(path))
  }

  @Test(
    "names that are not UTF-8 are matched byte by byte",
    arguments: [
      ("?", [0xff], true), ("?", [0xff, 0xfe], false), ("??", [0xff, 0xfe], true), ("*", [0xff], true),
      ("\\xff", [0xff], true), ("\\xfe", [0xff], false), ("a\\xff*", [0x61, 0xff, 0x62], true),
      ("[\\xf0-\\xff]", [0xfe], true), ("[^\\xf0-\\xff]", [0xfe], false), ("[^a]", [0xfe], true),
      // The bytes of one character, as a log line shows one that cannot be seen.
      ("\\xc3\\xa9", [0xc3, 0xa9], true), ("é", [0xc3, 0xa9], true), ("?", [0xc3, 0xa9], true),
      ("\\xc3*", [0xc3, 0xa9], false), ("\\xe2\\x80\\xae", [0xe2, 0x80, 0xae], true),
      // Cut off, too long a form, a surrogate, beyond Unicode: bytes.
      ("?", [0xc3], true), ("??", [0xc0, 0x80], true), ("???", [0xed, 0xa0, 0x80], true),
      ("????", [0xf4, 0x90, 0x80, 0x80], true), ("?", [0xf4, 0x8f, 0xbf, 0xbf], true), ("??", [0xe2, 0x82], true),
      // Forms that look alike are different names.
      ("e\u{301}", Array("\u{e9}".utf8), false), ("\\x0a", [0x0a], true), ("**", Array("a\nb".utf8), true),
    ] as [(String, [UInt8], Bool)])
  func bytes(pattern: String, path: [UInt8], isMatch: Bool) throws {
    #expect(try matches(pattern, path) == isMatch)
  }

  @Test func aNameAsALogShowsItIsItsPattern() throws {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<2_000 {
      let name = (0..<Int.random(in: 1...8, using: &random)).map { _ in
        Bool.random(using: &random)
          ? UInt8.random(in: 1...255, using: &random) : [0x61, 0xc3, 0xa9, 0xe2, 0x80].randomElement(using: &random)!
      }
      guard let path = try? RemotePath(name) else { continue }
      var pattern: [UInt8] = [slash]
      for byte in path.description.utf8 {
        if "*?[]{}".utf8.contains(byte) { pattern.append(UInt8(ascii: "\\")) }
        pattern.append(byte)
      }
      let matcher = try PathFilter(include: [pattern]).makeMatcher()
      #expect(matcher.takes(file: path), "\(path)")
    }
  }

  @Test(
    "what cannot be meant is refused",
    arguments: [
      ("a{{[0-9]+}}", "regular expressions"), ("[!a]", "[^"), ("a\\", "backslash"), ("\\x1", "hexadecimal"),
      ("\\b", "backslash"), ("\\Qa", "backslash"), ("***", "two stars"), ("[]", "empty"), ("[a", "without its ]"),
      ("a]", "without its ["), ("{a", "without its }"), ("a}", "without its {"), ("[a/b]", "/ in a class"),
      ("[z-a]", "range"), ("[a-\\d]", "range"), ("[[:nope:]]", "[:alpha:]"), ("[[a]", "[:alpha:]"),
      (String(repeating: "a", count: 5_000), "longer than"), (String(repeating: "a{", count: 40), "nested too deep"),
    ])
  func refusal(pattern: String, reason: String) {
    do throws(PathFilter.Fault) {
      _ = try PathFilter(exclude: [Array(pattern.utf8)])
      Issue.record("\(pattern) was accepted")
    } catch {
      #expect(error.reason.contains(reason), "\(error)")
      #expect(error.pattern == Array(pattern.utf8))
    }
  }

  @Test func patternsTooLargeTogetherAreRefused() {
    let many = (0..<50).map { Array((String(repeating: "a\($0)/", count: 60) + "x").utf8) }
    do throws(PathFilter.Fault) {
      _ = try PathFilter(include: many)
      Issue.record("accepted")
    } catch {
      #expect(error.reason == "the patterns together are too large")
    }
  }

  @Test func hostileNamesAndPatternsTakeNoLongerThanTheirLength() throws {
    let pattern = String(repeating: "*a", count: 100) + "b"
    let nested = String(repeating: "{a,*}", count: 50) + "c"
    let matcher = try PathFilter(exclude: [Array(pattern.utf8), Array(nested.utf8)]).makeMatcher()
    let name = [UInt8](repeating: 0x61, count: 255)
    let clock = ContinuousClock()
    let time = try clock.measure {
      for ending in 0..<50 {
        // Different paths, so that nothing is known of them; a backtracking matcher would need 2^100 steps for one.
        let path = try RemotePath((0..<11).flatMap { _ in name + [slash] } + Array("\(ending)".utf8))
        #expect(matcher.takes(file: path))
      }
    }
    #expect(time < .seconds(20))
  }

  @Test func aFullTableIsBegunAnewAndGivesTheSameAnswers() throws {
    // As many sets of states as there are names: nothing that is kept is of use for long.
    let patterns = (0..<40).map { Array("*\($0)*\($0 * 7 % 40)*x".utf8) }
    let matcher = try PathFilter(exclude: patterns).makeMatcher()
    var random = SeededGenerator(seed: 3)
    var takenCount = 0
    for _ in 0..<Scale.of(500, long: 3_000) {
      let name = (0..<60).map { _ in Array("0123456789x".utf8).randomElement(using: &random)! }
      let path = try RemotePath(name)
      let isTaken = matcher.takes(file: path)
      #expect(isTaken == (try PathFilterTests.alone(patterns, path)))
      if isTaken { takenCount += 1 }
    }
    #expect(takenCount > 0)
  }

  /// The verdict of `*n*m*x` patterns by plain search.
  private static func alone(_ patterns: [[UInt8]], _ path: RemotePath) throws -> Bool {
    !patterns.contains { pattern in
      var rest = path.bytes[...]
      guard rest.popLast() == UInt8(ascii: "x") else { return false }
      for piece in pattern.dropLast(2).split(separator: UInt8(ascii: "*")) {
        guard let found = rest.firstRange(of: piece) else { return false }
        rest = rest[found.upperBound...]
      }
      return true
    }
  }
}
