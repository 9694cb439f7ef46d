/// When and how often to try again: exponential with full jitter, so that many clients do not come back in step
/// (AWS Architecture Blog, "Exponential Backoff and Jitter").
package struct RetryPolicy: Sendable {
  /// Tries in all, the first included.
  package var maximumAttempts: Int
  package var baseSeconds: Double
  package var maximumSeconds: Double

  package init(maximumAttempts: Int = 10, baseSeconds: Double = 0.2, maximumSeconds: Double = 20) {
    self.maximumAttempts = maximumAttempts
    self.baseSeconds = baseSeconds
    self.maximumSeconds = maximumSeconds
  }

  /// Seconds to wait before the attempt that follows `failedAttempts` failures.
  ///
  /// | given | wait |
  /// |---|---|
  /// | `failedAttempts` ≥ `maximumAttempts` | nil: give up |
  /// | the server said how long | at least that, at most `maximumSeconds` more |
  /// | throttled | random × min(2ⁿ × 1 s, maximum) |
  /// | else | random × min(2ⁿ × base, maximum) |
  package func delaySeconds(
    failedAttempts: Int, throttled: Bool = false, retryAfterSeconds: Double? = nil,
    random: Double = Double.random(in: 0...1)
  ) -> Double? {
    guard failedAttempts < maximumAttempts else { return nil }
    let base = throttled ? max(1, baseSeconds) : baseSeconds
    let ceiling = min(maximumSeconds, base * Double(1 << min(failedAttempts - 1, 30)))
    let jittered = random * ceiling
    if let floor = retryAfterSeconds { return min(floor, 120) + jittered }
    return jittered
  }
}
