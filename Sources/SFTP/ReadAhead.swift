/// How many bytes are worth having in flight over one connection: twice what arrives in a round trip. Less leaves the
/// wire idle; more waits in the server's memory, and costs it the time to move it about there. Pure.
///
/// The round trip is the shortest that a READ has taken. While the window is what holds the rate down, twice the bytes
/// of a round trip is twice the window, so it doubles in each until something else does.
struct ReadAhead {
  /// Enough for a server next door, and to begin with.
  static let leastBytes: UInt64 = 2 << 20
  /// What reordering may take of our memory, and of the server's.
  static let mostBytes: UInt64 = 16 << 20
  /// Rates are taken over at least this long.
  private static let leastPeriodSeconds = 0.01
  /// A period in which little came may have been an accident.
  private static let shrink = 0.9

  /// Bytes asked for and not delivered, of all files.
  private(set) var windowBytes: UInt64
  private let limits: ClosedRange<UInt64>
  private var roundTripSeconds = Double.infinity
  private var periodStart: Double?
  private var periodBytes = 0

  /// - Parameter mostBytes: less than the usual where bandwidth is limited: what is asked for stands before the FSTAT
  ///   and CLOSE that end a file.
  init(mostBytes: UInt64 = ReadAhead.mostBytes) {
    limits = min(Self.leastBytes, mostBytes)...mostBytes
    windowBytes = limits.lowerBound
  }

  /// A READ sent at `sent` has been answered at `now` with so many bytes.
  mutating func answered(bytes: Int, sent: Double, now: Double) {
    roundTripSeconds = min(roundTripSeconds, now - sent)
    periodBytes += bytes
    let start = periodStart ?? sent
    periodStart = start
    let elapsed = now - start
    guard elapsed >= max(roundTripSeconds, Self.leastPeriodSeconds) else { return }
    let wanted = 2 * Double(periodBytes) / elapsed * roundTripSeconds
    let patient = max(wanted, Double(windowBytes) * Self.shrink)
    windowBytes = min(limits.upperBound, max(limits.lowerBound, UInt64(patient)))
    periodStart = now
    periodBytes = 0
  }
}
