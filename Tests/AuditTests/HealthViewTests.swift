internal import Audit
internal import Common
internal import Staging
internal import Testing

/// The truth table of ``HealthView``, minutes counted back from now.
@Suite struct HealthViewTests {
  private static let now: Int64 = 1_800_000_000_000

  struct Case: Sendable {
    var success: Int?
    var failure: Int?
    var progress: Int?
    var isHealthy: Bool
  }

  static let table = [
    // The last success is recent.
    Case(success: 1, failure: nil, progress: nil, isHealthy: true),
    Case(success: 9, failure: 1, progress: 20, isHealthy: true),
    Case(success: 10, failure: nil, progress: nil, isHealthy: true),
    // It fails: progress of its runs does not excuse it.
    Case(success: 11, failure: 1, progress: 0, isHealthy: false),
    Case(success: nil, failure: 1, progress: 0, isHealthy: false),
    Case(success: nil, failure: 10, progress: nil, isHealthy: false),
    // A long run.
    Case(success: 540, failure: nil, progress: 1, isHealthy: true),
    Case(success: nil, failure: nil, progress: 1, isHealthy: true),
    Case(success: nil, failure: 540, progress: 10, isHealthy: true),
    Case(success: 600, failure: 540, progress: 1, isHealthy: true),
    // Nothing happens.
    Case(success: 540, failure: nil, progress: 11, isHealthy: false),
    Case(success: nil, failure: nil, progress: nil, isHealthy: false),
    Case(success: 600, failure: 540, progress: 539, isHealthy: false),
    // The clock was set back.
    Case(success: -60, failure: nil, progress: nil, isHealthy: false),
    Case(success: 60, failure: nil, progress: -60, isHealthy: false),
  ]

  @Test(arguments: table) func decides(_ row: Case) {
    let healthy = Self.phase(success: 0, failure: nil)
    let phase = Self.phase(success: row.success, failure: row.failure)
    for (fetch, publish, stale) in [(phase, healthy, "fetch"), (healthy, phase, "publish")] {
      let view = Self.view(Self.report(fetch, publish), progress: row.progress)
      #expect(view.isHealthy == row.isHealthy, "\(view.text)")
      #expect(view.text.hasPrefix(row.isHealthy ? "healthy" : "unhealthy: \(stale)"), "\(view.text)")
      #expect(!view.text.contains("\n"))
    }
  }

  @Test func withoutAnyRun() {
    #expect(Self.view(nil, progress: 1).isHealthy)
    let view = Self.view(nil, progress: nil)
    #expect(
      view.text
        == "unhealthy: fetch has never succeeded; publish has never succeeded; no run has got anywhere")
  }

  @Test func saysWhatIsStale() {
    let view = Self.view(
      Self.report(Self.phase(success: 0, failure: nil), Self.phase(success: 20, failure: 1)), progress: 0)
    #expect(
      view.text
        == "unhealthy: publish: last success \(Self.time(20)), ended \(Self.time(1)) with 5: refused; a run is at work")
  }

  private static func time(_ minutes: Int) -> String {
    timestamp(wallMilliseconds: now - Int64(minutes) * 60_000)
  }

  private static func view(_ report: StatusReport?, progress: Int?) -> HealthView {
    HealthView(
      report, progressMilliseconds: progress.map { now - Int64($0) * 60_000 }, nowMilliseconds: now,
      maximumAgeSeconds: 600)
  }

  private static func phase(success: Int?, failure: Int?) -> StatusReport.PhaseStatus? {
    guard let ended = failure ?? success else { return nil }
    return StatusReport.PhaseStatus(
      started: time(ended + 1), ended: time(ended), exitCode: failure == nil ? 0 : 5, lastSuccess: success.map(time),
      error: failure == nil ? nil : "refused", summary: "")
  }

  private static func report(
    _ fetch: StatusReport.PhaseStatus?, _ publish: StatusReport.PhaseStatus?
  ) -> StatusReport {
    StatusReport(
      updated: time(0), fetch: fetch, publish: publish,
      backlog: StatusReport.Backlog(MirrorState(), destination: nil, nowMilliseconds: now))
  }
}
