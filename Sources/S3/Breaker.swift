/// Tells an outage from a file that will not go, from what happened to the attempts so far. Times are in monotonic
/// seconds.
///
/// A *failure* is a transport error, a 5xx or a throttling answer. Any other answer shows that the service is there
/// and ends the streak; a failure counts from the beginning of its attempt, but never from before the last such answer.
///
/// | failures in a row | since the first began, or the last answer if that is later | files among them | any answer before | breaker |
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
  /// When the last such answer came.
  private var lastAnswerAt: Double?

  package init() {}

  package mutating func answered(at now: Double) {
    streak = 0
    lastAnswerAt = now
  }

  /// Records a failure of the file `token` in an attempt that began at `startedAt`; true when the breaker is open.
  package mutating func failed(token: Int, startedAt: Double, now: Double) -> Bool {
    if streak == 0 {
      began = startedAt
      firstToken = token
      several = false
    }
    streak += 1
    // A slow attempt that began before others were answered says nothing of how long the service has been away.
    began = max(min(began, startedAt), lastAnswerAt ?? -.infinity)
    if token != firstToken { several = true }
    return streak >= Self.minimumFailures && now - began >= Self.patienceSeconds && (several || lastAnswerAt == nil)
  }
}
