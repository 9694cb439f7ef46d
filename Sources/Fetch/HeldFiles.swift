internal import Common
internal import Staging

/// Files that were seen so shortly after their last change that another change might not show.
///
/// SFTP tells modification times in whole seconds. Reading that begins when the second of the modification time is over
/// cannot miss a later write: it gives the file another time, which the check after the last READ finds. Before that, a
/// second write within the same second would show in nothing.
struct HeldFiles: Equatable {
  /// A second, and what file systems' clocks lag behind.
  static let milliseconds: Int64 = 1_100
  /// Clocks of servers are trusted to be right within so much.
  static let clockErrorSeconds: Int64 = 86_400

  /// Places in ``FetchPlan/fetch``, in order.
  private(set) var tokens: [Int] = []
  /// On the monotonic clock.
  private(set) var untilSeconds = 0.0

  static let none = HeldFiles()

  private init() {}

  init(_ plan: FetchPlan, clock: Clock) {
    let now = clock.bootMilliseconds()
    let wallSeconds = clock.wallMilliseconds() / 1000
    var longest: Int64 = 0
    for (token, item) in plan.fetch.enumerated() {
      let wait = Self.waitMilliseconds(
        seenSince: plan.settled[item.path].flatMap {
          $0.fingerprint == item.fingerprint ? $0.sinceBootMilliseconds : nil
        } ?? now, now: now,
        modifiedSecondsAgo: wallSeconds - Int64(item.fingerprint.mtime))
      if wait > 0 { tokens.append(token) }
      longest = max(longest, wait)
    }
    if longest > 0 { untilSeconds = monotonicSeconds() + Double(longest) / 1000 }
  }

  /// How long to wait before a file is read. Pure.
  ///
  /// | its modification time is | was first seen with it | wait |
  /// |---|---|---|
  /// | over a day ago | any time ago | 0 |
  /// | within a day, or in the future | a second and a bit ago, as SETTLE_SECONDS of 2 and more make sure | 0 |
  /// | within a day, or in the future | more recently | for the rest of it |
  static func waitMilliseconds(
    seenSince: @autoclosure () -> Int64, now: Int64, modifiedSecondsAgo: Int64
  ) -> Int64 {
    if modifiedSecondsAgo > clockErrorSeconds { return 0 }
    return max(0, seenSince() + milliseconds - now)
  }
}
