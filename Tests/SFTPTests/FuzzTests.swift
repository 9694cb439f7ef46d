import Foundation
import FuzzCodec
import TestSupport
import Testing

/// What the fuzzer (`make fuzz`) begins with and what it has found, with the same checks. They trap, so that a failure
/// here ends the process.
@Suite struct FuzzTests {
  @Test(arguments: conversations.keys.sorted()) func conversationsMakeSense(_ name: String) {
    #expect(conversations[name]!.withUnsafeBytes { fuzz($0) })
  }

  @Test func conversationsCutAnywhereAreSurvived() {
    var inputs = 0
    for bytes in conversations.values {
      for length in 0...bytes.count {
        _ = Array(bytes.prefix(length)).withUnsafeBytes { fuzz($0) }
        inputs += 1
      }
    }
    #expect(inputs > 1_000)
  }

  @Test func conversationsWithAnyByteChangedAreSurvived() {
    var random = SeededRandom(state: 7)
    for bytes in conversations.values {
      for place in bytes.indices {
        var changed = bytes
        for value in [0, 1, 0x7f, 0x80, 0xff, UInt8(truncatingIfNeeded: random.next())] {
          changed[place] = value
          _ = changed.withUnsafeBytes { fuzz($0) }
        }
      }
    }
    #expect(conversations.count > 10)
  }

  /// An input that made the fuzzer stop is kept in Tests/FuzzCodec/findings.
  @Test func findingsAreSurvived() throws {
    let directory = packagePath + "/Tests/FuzzCodec/findings"
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
      _ = try readFile(directory + "/" + name).withUnsafeBytes { fuzz($0) }
    }
  }
}
