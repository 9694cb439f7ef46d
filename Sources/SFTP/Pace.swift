internal import Common

/// Notices a server that is never silent and never gets anywhere, as a trickle of a byte a second does.
///
/// So many units must come in every window; what a unit is, the user decides.
struct Pace {
  private let windowSeconds: Double
  private let leastUnits: Int
  private var windowStart = monotonicSeconds()
  private var units = 0

  init(leastUnits: Int, inSeconds windowSeconds: Double) {
    self.leastUnits = leastUnits
    self.windowSeconds = windowSeconds
  }

  mutating func note(_ count: Int) { units += count }

  /// Begins anew: the time that has passed was not the server's.
  mutating func restart(at now: Double = monotonicSeconds()) {
    windowStart = now
    units = 0
  }

  /// Leaves out time in which nothing was taken from the server, on purpose.
  mutating func excuse(seconds: Double) { windowStart += seconds }

  /// True when a whole window has passed and brought too little.
  mutating func isStalled(at now: Double = monotonicSeconds()) -> Bool {
    if now - windowStart < windowSeconds { return false }
    if units < leastUnits { return true }
    restart(at: now)
    return false
  }
}
