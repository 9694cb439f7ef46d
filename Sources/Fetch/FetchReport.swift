package import Common
internal import SFTP
internal import Staging

/// What a run of fetch did and saw.
package struct FetchReport: Sendable {
  package var counts = TransferCounts()
  package var gone: UInt64 = 0
  package var unchanged = 0
  /// Files whose shifted modification time was adopted.
  package var touched = 0
  package var waiting = 0
  /// Milliseconds since boot.
  package var nextDueMilliseconds: Int64?
  package var blocked = 0
  package var excluded = 0
  package var waitingForMarker = 0
  package var skipped: [String] = []
  package var unknown: [String] = []
  /// False when the mirrored folder itself could not be listed.
  package var hasRoot = true
  /// Paths shown both as a file and as a directory; in a run they are among those that failed.
  var contradictory = 0
  package var hostKey: String?
  package var seconds = 0.0
  /// What ended the phase before its end.
  package var failure: (any Failure)?
  let startedMonotonicSeconds: Double

  init(startedMonotonicSeconds: Double) { self.startedMonotonicSeconds = startedMonotonicSeconds }

  mutating func take(_ listing: RemoteListing, _ plan: FetchPlan) {
    unchanged = plan.unchanged
    touched = plan.touched.count
    waiting = plan.observations.unsettled.count
    nextDueMilliseconds = plan.nextDueMilliseconds
    blocked = plan.blocked.count
    excluded = listing.excludedCount
    waitingForMarker = listing.waitingForMarkerCount
    hasRoot = listing.hasRoot
    skipped = listing.skipped.map(\.description)
    unknown = listing.unknown.map { ($0.path?.description ?? "the folder itself") + " (\($0.error.reason))" }
  }

  /// | what happened | code |
  /// |---|---|
  /// | the phase ended early | that of the failure |
  /// | files failed, or directories are unknown | 6 |
  /// | else | 0 |
  package var exitCode: ExitCode {
    if let failure { return failure.severity.exitCode }
    return counts.failed > 0 || !unknown.isEmpty ? .partial : .done
  }

  /// Whether the phase got somewhere: what a health check counts. A few files that fail do not make it a failure; that
  /// all fail, or that the folder cannot be seen, does. A run whose time was over has got somewhere when it has fetched
  /// something.
  package var isSuccess: Bool {
    if let failure { return failure.isOvertime && counts.fetched > 0 }
    return hasRoot && (counts.failed == 0 || counts.fetched > 0 || unchanged > 0 || touched > 0)
  }

  /// The summary line: what was done, then what was not and why.
  package func summary(clock: Clock) -> String {
    var parts = ["\(counts.fetched) fetched (\(byteCount(counts.fetchedBytes)))", "\(unchanged) unchanged"]
    if counts.resumedBytes > 0 { parts.append("\(byteCount(counts.resumedBytes)) of it received by earlier runs") }
    if touched > 0 { parts.append("\(touched) with times shifted by an hour, not fetched") }
    if counts.proven > 0 { parts.append("\(counts.proven) read again and proven") }
    if waiting > 0 {
      let due = nextDueMilliseconds.map { clock.wallMilliseconds() + $0 - clock.bootMilliseconds() }
      parts.append(
        "\(waiting) waiting to settle"
          + (due.map { ", due \(timestamp(wallMilliseconds: $0).dropFirst(11).prefix(8))" } ?? ""))
    }
    if gone > 0 { parts.append("\(gone) gone from the remote") }
    if counts.changed > 0 { parts.append("\(counts.changed) changed while being read") }
    if counts.vanished > 0 { parts.append("\(counts.vanished) deleted meanwhile") }
    if blocked > 0 { parts.append("\(blocked) waiting until what they replace is published") }
    if counts.failed > 0 { parts.append("\(counts.failed) failed") }
    return (parts + omissions).joined(separator: ", ")
  }

  /// What the listing lacks, and why.
  var omissions: [String] {
    var parts: [String] = []
    if !unknown.isEmpty { parts.append("\(unknown.count) directories unknown: \(named(unknown))") }
    if excluded > 0 { parts.append("\(excluded) excluded") }
    if waitingForMarker > 0 { parts.append("\(waitingForMarker) waiting for their marker") }
    if !skipped.isEmpty { parts.append("\(skipped.count) skipped: \(named(skipped))") }
    return parts
  }
}
