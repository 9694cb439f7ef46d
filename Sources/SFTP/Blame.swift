/// What broken connections tell about the work they had taken: one piece of it may be what breaks them, as a file does
/// at whose reading the server dies. Pure.
///
/// | the connection had finished | it had under way | so |
/// |---|---|---|
/// | something | any number | nothing: connections break |
/// | nothing | several | the next begins with fewer at a time |
/// | nothing | one | the same, and that one is blamed; at the fourth time it has had its turn |
struct Blame<Key: Hashable & Sendable>: Sendable {
  static var limit: Int { 4 }

  /// Connections that broke with nothing to show for it.
  private(set) var caution = 0
  private var counts: [Key: Int] = [:]

  /// - Parameters:
  ///   - hasGained: the connection had got something done.
  ///   - taken: what it had under way.
  /// - Returns: what is not to be tried again.
  mutating func lost(hasGained: Bool, taken: [Key]) -> Key? {
    if hasGained { return nil }
    caution += 1
    guard taken.count == 1, let only = taken.first else { return nil }
    counts[only, default: 0] += 1
    return counts[only]! >= Self.limit ? only : nil
  }
}
