internal import Synchronization

/// So many bytes a second and no more, over all threads that share it.
///
/// Paid for afterwards: whoever has moved bytes says how many, and waits as long as it is told.
package final class BandwidthLimit: Sendable {
  package let bytesPerSecond: UInt64
  private let bucket: Mutex<TokenBucket>
  private let now: @Sendable () -> Double

  /// - Parameters:
  ///   - bytesPerSecond: at least 1.
  ///   - now: seconds on a clock that never goes backward.
  package init(bytesPerSecond: UInt64, now: @escaping @Sendable () -> Double = monotonicSeconds) {
    self.bytesPerSecond = max(1, bytesPerSecond)
    self.now = now
    bucket = Mutex(TokenBucket(bytesPerSecond: Double(self.bytesPerSecond)))
  }

  /// Takes note of bytes that were moved.
  /// - Returns: milliseconds to wait before more are moved; 0 when there is no need to.
  package func charge(_ bytes: Int) -> Int64 {
    let now = now()
    let seconds = bucket.withLock { $0.charge(bytes, at: now) }
    return Int64((seconds * 1000).rounded(.up))
  }

  /// How many bytes to move at a time: about what `milliseconds` are good for, within these bounds.
  package func pieceBytes(milliseconds: UInt64, in range: ClosedRange<Int>) -> Int {
    let (product, isTooLarge) = bytesPerSecond.multipliedReportingOverflow(by: milliseconds)
    let bytes = isTooLarge ? Int.max : Int(clamping: product / 1000)
    return min(max(bytes, range.lowerBound), range.upperBound)
  }
}

/// A token bucket that may run into debt: bytes are charged when they have come. Pure.
///
/// | paid for until | now | charged bytes are paid for until | wait |
/// |---|---|---|---|
/// | in the past, beyond the burst | – | now − burst + bytes / rate | what of that is in the future |
/// | else | – | until + bytes / rate | what of that is in the future |
///
/// A wait too short to be worth it is left to the next charge.
struct TokenBucket {
  /// Seconds that may be made up for after a pause.
  static let burstSeconds = 0.5
  static let leastWaitSeconds = 0.005

  private let bytesPerSecond: Double
  /// When all that was charged will be paid for, at the given rate.
  private var paidUntil = -Double.infinity

  init(bytesPerSecond: Double) { self.bytesPerSecond = bytesPerSecond }

  /// - Returns: seconds to wait.
  mutating func charge(_ bytes: Int, at now: Double) -> Double {
    paidUntil = max(paidUntil, now - Self.burstSeconds) + Double(bytes) / bytesPerSecond
    let wait = paidUntil - now
    return wait < Self.leastWaitSeconds ? 0 : wait
  }
}
