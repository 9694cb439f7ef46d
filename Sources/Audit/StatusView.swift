package import Common
package import Staging

/// What `status` shows: totals of the journal, the last run of each phase, and what needs attention.
package struct StatusView: Encodable {
  package struct Failing: Encodable {
    package let path: String
    package let phase: String
    package let code: String
    package let message: String
  }

  /// Log-ins that the server refused since the last one that succeeded.
  package struct LoginTrouble: Encodable {
    package let refusals: UInt64
    package let lastRefusal: String
    package let reason: String
    /// When `sync` and `full-sync` try again, unless the credentials are changed; nil when their next run does.
    package let pausedUntil: String?

    init(_ refusals: LoginRefusals, _ clock: Clock) {
      self.refusals = refusals.count
      lastRefusal = timestamp(wallMilliseconds: refusals.wallMilliseconds)
      reason = refusals.reason
      pausedUntil = refusals.endMilliseconds(clock).map { timestamp(wallMilliseconds: $0) }
    }
  }

  /// Of this JSON document.
  package let format = 1
  package let source: String?
  package let volumeID: String?
  package let destination: String?
  package let files: Int
  package let bytes: UInt64
  package let gone: Int
  /// Files whose shifted modification time was adopted, and whose bytes full-sync has yet to read again.
  package let unproven: Int
  package let backlog: StatusReport.Backlog
  package let failing: [Failing]
  package let waitingToSettle: Int
  /// Files that have not settled for an hour or more.
  package let restless: [String]
  package let records: UInt64
  package let head: String
  package let login: LoginTrouble?
  package let fetch: StatusReport.PhaseStatus?
  package let publish: StatusReport.PhaseStatus?

  /// A file that keeps changing for this long is named.
  private static let restlessMilliseconds: Int64 = 3_600_000

  package init(_ snapshot: StagingSnapshot, destination: Destination?, clock: Clock = .system) {
    let state = snapshot.state
    source = state.binding.map { escaped($0.source) }
    volumeID = state.binding?.volumeID
    self.destination = destination.map { escaped($0.description) }
    var (files, bytes, gone, unproven) = (0, UInt64(0), 0, 0)
    for path in state.paths {
      if path.isGone { gone += 1 }
      if path.isDropped { continue }
      if path.isMirrored, path.isUnproven { unproven += 1 }
      files += 1
      bytes += path.fingerprint.size
    }
    (self.files, self.bytes, self.gone, self.unproven) = (files, bytes, gone, unproven)
    backlog = StatusReport.Backlog(state, destination: destination, nowMilliseconds: clock.wallMilliseconds())
    failing = state.failures.values.sorted { $0.path < $1.path }.map {
      Failing(path: $0.path.description, phase: $0.phase.rawValue, code: $0.code, message: $0.message)
    }
    waitingToSettle = snapshot.observations.unsettled.count
    let now = clock.bootMilliseconds()
    restless = snapshot.observations.unsettled
      .filter { now - $0.sighting.unsettledSinceBootMilliseconds >= Self.restlessMilliseconds }
      .map(\.path.description).sorted()
    records = snapshot.seq
    head = snapshot.head
    login = snapshot.loginRefusals.map { LoginTrouble($0, clock) }
    fetch = snapshot.status?.fetch
    publish = snapshot.status?.publish
  }

  /// For people: one fact a line.
  package var text: String {
    var lines = [
      "source       \(source ?? "not bound yet: no fetch has run")",
      "destination  \(destination ?? "not configured (set S3_ENDPOINT and S3_BUCKET_NAME)")",
      "staged       \(files) files, \(byteCount(bytes))" + (gone > 0 ? ", \(gone) of them gone from the remote" : ""),
      "pending      \(backlog.files) files, \(byteCount(backlog.bytes))"
        + (backlog.lagSeconds.map { ", the oldest for \($0) s" } ?? "")
        + (destination == nil ? " (in no bucket yet)" : "")
        + (backlog.withoutKey > 0 ? "; \(backlog.withoutKey) more can have no key" : ""),
      "settling     \(waitingToSettle) files",
      "fetch        \(Self.line(fetch))",
      "publish      \(Self.line(publish))",
      "journal      \(records) records, head \(head)",
    ]
    if unproven > 0 {
      lines.append("unproven     \(unproven) files whose times were shifted by an hour; full-sync reads them again")
    }
    if let login {
      let times = login.refusals == 1 ? "once" : "\(login.refusals) times in a row"
      let next = login.pausedUntil.map { "not tried again until \($0) unless the credentials change" }
      lines.append(
        "log-in       refused \(times), last at \(login.lastRefusal), \(next ?? "to be tried again")"
          + ": \(escaped(login.reason))")
    }
    for item in failing.prefix(20) {
      lines.append("failing      \(item.path): \(item.phase): \(item.code): \(escaped(item.message))")
    }
    if failing.count > 20 { lines.append("failing      and \(failing.count - 20) more; see status --json") }
    for path in restless.prefix(20) { lines.append("restless     \(path): has been changing for over an hour") }
    return lines.joined(separator: "\n")
  }

  private static func line(_ phase: StatusReport.PhaseStatus?) -> String {
    guard let phase else { return "has not run yet" }
    var line = "\(phase.ended) exit \(phase.exitCode): \(phase.summary)"
    if let error = phase.error { line += "; \(error)" }
    if let success = phase.lastSuccess, success != phase.ended { line += "; last success \(success)" }
    return line
  }
}
