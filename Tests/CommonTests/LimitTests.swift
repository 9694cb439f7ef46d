internal import Synchronization
internal import TestSupport
internal import Testing

@testable internal import Common

@Suite struct LimitTests {
  @Test func aBucketIsPaidForAfterwards() {
    var bucket = TokenBucket(bytesPerSecond: 1_000)
    // The first bytes use up the burst of half a second.
    #expect(bucket.charge(500, at: 10) == 0)
    #expect(abs(bucket.charge(1_000, at: 10) - 1) < 1e-9)
    #expect(abs(bucket.charge(500, at: 10.5) - 1) < 1e-9)
    // Waited out, and a pause that is made up for by the burst only.
    #expect(bucket.charge(500, at: 100) == 0)
    #expect(abs(bucket.charge(100, at: 100) - 0.1) < 1e-9)
    // Too short a wait is left to the next.
    var fast = TokenBucket(bytesPerSecond: 1_000_000)
    _ = fast.charge(500_000, at: 0)
    #expect(fast.charge(4_000, at: 0) == 0)
    #expect(abs(fast.charge(4_000, at: 0) - 0.008) < 1e-9)
  }

  @Test func aLongRunKeepsTheRateWhateverThePieces() {
    var random = SeededGenerator(seed: 5)
    for rate in [2_000.0, 1e6, 1e9] {
      var bucket = TokenBucket(bytesPerSecond: rate)
      var (now, moved) = (1_000.0, 0)
      for _ in 0..<10_000 {
        // As large as a connection takes them.
        let bytes = Int.random(in: 1...Int(min(32_768, rate / 4)), using: &random)
        moved += bytes
        // Some pieces take time of their own to come.
        now += Double.random(in: 0...0.9, using: &random) * Double(bytes) / rate
        now += bucket.charge(bytes, at: now)
      }
      let seconds = now - 1_000
      #expect(Double(moved) <= rate * (seconds + TokenBucket.burstSeconds + TokenBucket.leastWaitSeconds) + 1)
      #expect(Double(moved) >= rate * seconds * 0.95)
    }
  }

  @Test func threadsShareOneLimit() {
    let now = Mutex(0.0)
    let limit = BandwidthLimit(bytesPerSecond: 1_000_000, now: { now.withLock { $0 } })
    // Nobody waits here, so the debt of all of them shows in the last wait.
    let workers = (0..<4).map { _ in Worker { for _ in 0..<1_000 { _ = limit.charge(1_000) } } }
    for worker in workers { worker.join() }
    #expect(limit.charge(0) == 3_500)
  }

  @Test func piecesFitTheRate() {
    #expect(BandwidthLimit(bytesPerSecond: 1_000_000).pieceBytes(milliseconds: 250, in: 4_096...1_000_000) == 250_000)
    #expect(BandwidthLimit(bytesPerSecond: 1_024).pieceBytes(milliseconds: 250, in: 4_096...1_000_000) == 4_096)
    #expect(BandwidthLimit(bytesPerSecond: .max).pieceBytes(milliseconds: 250, in: 4_096...1_000_000) == 1_000_000)
  }

  @Test func aStopSignalKnowsWhy() {
    let asked = StopSignal()
    let soon = StopSignal(following: asked, deadlineSeconds: monotonicSeconds() + 3_600)
    let over = StopSignal(following: asked, deadlineSeconds: monotonicSeconds() - 1)
    let below = StopSignal(following: over)
    #expect(!soon.isRequested && !soon.isOvertime)
    #expect(over.isRequested && over.isOvertime && below.isRequested && below.isOvertime)
    asked.request()
    #expect(soon.isRequested && !soon.isOvertime)
    #expect(over.isRequested && !over.isOvertime && !below.isOvertime)
  }
}
