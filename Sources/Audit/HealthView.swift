internal import Common
package import Staging

/// Whether a mirror that nobody watches does its work. A phase that keeps failing is unhealthy after `maximumAge`,
/// however busy its runs are; a run of many hours is healthy as long as it gets somewhere.
///
/// | last success of the phase | its last end, if later, was a failure | progress | the phase is |
/// |---|---|---|---|
/// | recent | any | any | healthy |
/// | old or never | recent | any | stale: it fails |
/// | old or never | old, or none | recent | healthy: a long run gets somewhere |
/// | old or never | old, or none | old or never | stale: nothing happens |
///
/// *Recent* is within `maximumAge`, in either direction: a clock that was set back makes nothing recent for long.
package struct HealthView: Sendable, Equatable {
  /// One line: what is stale, or that nothing is.
  package let text: String
  package let isHealthy: Bool

  /// - Parameters:
  ///   - report: what status.json holds; nil when no run has ended yet.
  ///   - progressMilliseconds: when a run last got anywhere, wall clock; nil when none has.
  package init(
    _ report: StatusReport?, progressMilliseconds: Int64?, nowMilliseconds now: Int64, maximumAgeSeconds: Int
  ) {
    func isRecent(_ time: Int64?) -> Bool { time.map { abs(now - $0) <= Int64(maximumAgeSeconds) * 1000 } ?? false }
    let moves = isRecent(progressMilliseconds)
    var stale: [String] = []
    var isBusy = false
    for (name, phase) in [("fetch", report?.fetch), ("publish", report?.publish)] {
      let success = phase?.lastSuccess.flatMap { wallMilliseconds(fromTimestamp: $0) }
      if isRecent(success) { continue }
      let end = phase.flatMap { wallMilliseconds(fromTimestamp: $0.ended) }
      if moves, !(isRecent(end) && end != success) {
        isBusy = true
        continue
      }
      var words = name + (phase?.lastSuccess.map { ": last success \($0)" } ?? " has never succeeded")
      if let phase, phase.lastSuccess != phase.ended {
        words += ", ended \(phase.ended) with \(phase.exitCode)"
        if let error = phase.error { words += ": \(escaped(error))" }
      }
      stale.append(words)
    }
    isHealthy = stale.isEmpty
    let progress = progressMilliseconds.map { timestamp(wallMilliseconds: $0) }
    if isHealthy {
      text = isBusy ? "healthy: a run makes progress, last at \(progress ?? "")" : "healthy"
    } else {
      text =
        "unhealthy: " + stale.joined(separator: "; ") + "; "
        + (moves ? "a run is at work" : progress.map { "no progress since \($0)" } ?? "no run has got anywhere")
    }
  }
}
