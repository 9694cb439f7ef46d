/// Tells an outage from a file that will not go, from what happened to the attempts so far. Times are in monotonic
/// seconds.
///
/// A *failure* is a transport error, a 5xx or a throttling answer. Any other answer shows that the service is there
/// and ends the streak.
///
/// | failures in a row | since the first of them began | files among them | any answer before | breaker |
/// |---|---|---|---|---|
/// | < 3 | any | any | any | closed |
/// | any | < 15 s | any | any | closed |
/// | ≥ 3 | ≥ 15 s | one | yes | closed: that file is at fault |
/// | ≥ 3 | ≥ 15 s | one | no | open |
/// | ≥ 3 | ≥ 15 s | several | any | open |
package struct Breaker: Sendable {
  package static let minimumFailures = 3
  package static let patienceSeconds = 15.0

  /// Failures since the last answer that was none.
  package private(set) var streak = 0
  private var began = 0.0
  private var firstToken = 0
  private var several = false
  private var everSucceeded = false

  package init() {}

  package mutating func answered() {
    streak = 0
    everSucceeded = true
  }

  /// Records a failure of the file `token` in an attempt that began at `startedAt`; true when the breaker is open.
  package mutating func failed(token: Int, startedAt: Double, now: Double) -> Bool {
    if streak == 0 {
      began = startedAt
      firstToken = token
      several = false
    }
    streak += 1
    began = min(began, startedAt)
    if token != firstToken { several = true }
    return streak >= Self.minimumFailures && now - began >= Self.patienceSeconds && (several || !everSucceeded)
  }
}
