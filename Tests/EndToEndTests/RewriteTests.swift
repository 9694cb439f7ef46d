import Common
import Glibc
import Synchronization
import TestSupport
import Testing

/// A partner who writes over files in place, keeping their size, while they are fetched.
@Suite struct RewriteTests {
  private static let size = 4 << 20
  private static let fileCount = 12
  private static let rewrites = Scale.of(100, long: 1_000)

  @Test(
    """
    a file that the partner rewrites in place during the fetch, 100 times, between listing and open too: \
    never published in a mixture
    """,
    arguments: [0, 1])
  func rewrittenInPlace(settleSeconds: Int) throws {
    let rig = try Rig()
    let seed = UInt64.random(in: 0...UInt64.max)
    print("seed of the rewrites: \(seed)")
    let partner = try Partner(rig.served, files: Self.fileCount, size: Self.size, seed: seed)
    let changes = ["SETTLE_SECONDS": "\(settleSeconds)"]
    var runs = 0
    var changed = 0
    while partner.rewrites < Self.rewrites || runs < 8 {
      runs += 1
      try #require(runs < 20 * Self.rewrites, "the partner is too slow: \(partner.rewrites) in \(runs) runs")
      let outcome = try rig.run("fetch", changing: changes)
      #expect(outcome.exitCode == 0, "\(outcome.stderr)")
      if let found = outcome.stderr.firstMatch(of: /(\d+) changed while being read/) { changed += Int(found.1) ?? 0 }
    }
    partner.stop()
    let rewrites = partner.rewrites
    usleep(UInt32(settleSeconds) * 1_100_000)
    // The first of these sees what the last rewrite left.
    for _ in 0...settleSeconds {
      try rig.sync(changing: changes)
      usleep(1_100_000)
    }
    try rig.expectStagingEqualsSource()
    try rig.expectBucketEqualsSource()

    // Every generation that was ever recorded is one version from its first byte to its last.
    let versions = Set(
      (UInt8.min...UInt8.max).map { SHA256Digest.of([UInt8](repeating: $0, count: Self.size)).hex })
    let fetched = try rig.journal().filter { $0.op == "fetched" }
    let mixtures = fetched.filter { !versions.contains($0.sha256 ?? "") }
    // Who stops for so long in the middle of a file has, by SETTLE_SECONDS, settled.
    #expect(
      mixtures.isEmpty || partner.longestPauseSeconds > 1,
      "\(mixtures.count) of \(fetched.count) generations are mixtures")
    print("\(rewrites) rewrites in \(runs) runs: \(fetched.count) generations fetched, \(changed) caught changing")
    #expect(fetched.count > Self.fileCount, "hardly anything was fetched: this proves nothing")
    // Where a second must pass between two listings, files that are taken have come to rest, and few are caught.
    #expect(changed > 0 || settleSeconds > 0, "nothing changed while it was read: this proves nothing")
  }
}

/// Writes over files in place, in bursts, piece by piece: each version is one byte, repeated.
private final class Partner: Sendable {
  private let isDone = Atomic<Bool>(false)
  private let count = Atomic<Int>(0)
  private let longestPause = Mutex(0.0)
  private let worker = Mutex<Worker?>(nil)

  init(_ folder: String, files: Int, size: Int, seed: UInt64) throws {
    for number in 0..<files { try writeFile("\(folder)/\(number)", String(repeating: "\0", count: size)) }
    let descriptors = (0..<files).map { open("\(folder)/\($0)", O_WRONLY | O_CLOEXEC) }
    guard descriptors.allSatisfy({ $0 >= 0 }) else { throw HarnessError("cannot open what was just written") }
    worker.withLock {
      $0 = Worker { [self] in
        var random = SeededGenerator(seed: seed)
        var version: UInt8 = 0
        while !isDone.load(ordering: .relaxed) {
          // One file after the other for a while, then rest enough for a file to be taken whole.
          let burst = Int.random(in: 1...12, using: &random)
          for _ in 0..<burst {
            version = version == .max ? 1 : version + 1
            rewrite(descriptors.randomElement(using: &random)!, version, size, &random)
          }
          usleep(UInt32.random(in: 0...1_500_000, using: &random))
        }
        for descriptor in descriptors { close(descriptor) }
      }
    }
  }

  private func rewrite(_ file: Int32, _ version: UInt8, _ size: Int, _ random: inout SeededGenerator) {
    let piece = [UInt8](repeating: version, count: 64 << 10)
    let pause = UInt32.random(in: 0...4_000, using: &random)
    var last = monotonicSeconds()
    for offset in stride(from: 0, to: size, by: piece.count) {
      precondition(pwrite(file, piece, piece.count, off_t(offset)) == piece.count, "a piece was not written")
      usleep(pause)
      let now = monotonicSeconds()
      longestPause.withLock { $0 = max($0, now - last) }
      last = now
    }
    count.add(1, ordering: .relaxed)
  }

  /// Versions written whole.
  var rewrites: Int { count.load(ordering: .relaxed) }

  /// Between two pieces of one version: what the scheduler made of a few milliseconds.
  var longestPauseSeconds: Double { longestPause.withLock { $0 } }

  func stop() {
    isDone.store(true, ordering: .relaxed)
    worker.withLock {
      $0?.join()
      $0 = nil
    }
  }
}
