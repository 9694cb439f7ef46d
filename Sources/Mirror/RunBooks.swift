internal import Common
internal import Fetch
internal import Publish
internal import Staging

/// Adds up a run: its `end` record, the checkpoint, status.json and the exit code.
struct RunBooks {
  private let volume: StagingVolume
  private let destination: Destination?
  private var codes: [ExitCode] = []
  private var end = RunEnd(
    exitCode: 0, fetched: 0, fetchedBytes: 0, published: 0, publishedBytes: 0, failed: 0, milliseconds: 0)
  private var fetchStatus: StatusReport.PhaseStatus?
  private var publishStatus: StatusReport.PhaseStatus?

  init(volume: StagingVolume, destination: Destination?) {
    self.volume = volume
    self.destination = destination
  }

  mutating func note(_ report: FetchReport, startedMilliseconds: Int64) {
    codes.append(report.exitCode)
    end.fetched = report.counts.fetched
    end.fetchedBytes = report.counts.fetchedBytes
    end.failed += report.counts.failed
    fetchStatus = status(report.exitCode, report.failure, report.summary(clock: volume.clock), startedMilliseconds)
  }

  mutating func note(_ report: PublishReport, startedMilliseconds: Int64) {
    codes.append(report.exitCode)
    end.published = report.published
    end.publishedBytes = report.publishedBytes
    end.failed += report.failed
    publishStatus = status(report.exitCode, report.failure, report.summary, startedMilliseconds)
  }

  private func status(
    _ code: ExitCode, _ failure: (any Failure)?, _ summary: String, _ startedMilliseconds: Int64
  ) -> StatusReport.PhaseStatus {
    let ended = timestamp(wallMilliseconds: volume.clock.wallMilliseconds())
    return StatusReport.PhaseStatus(
      started: timestamp(wallMilliseconds: startedMilliseconds), ended: ended, exitCode: code.rawValue,
      // Files that fail one by one do not make the phase unsuccessful: it went to its end.
      lastSuccess: code == .done || code == .partial ? ended : nil, error: failure?.description, summary: summary)
  }

  /// Writes what remains to be written. A run that recorded nothing leaves the journal as it was.
  mutating func close(runMilliseconds: UInt64) throws(StagingError) -> ExitCode {
    let code = ExitCode.combined(codes)
    if volume.journal.hasRecorded {
      end.exitCode = UInt64(code.rawValue)
      end.milliseconds = runMilliseconds
      try volume.journal.append([.end(end)])
    }
    try onVolume("write the checkpoint") { () throws(SystemFailure) in try volume.checkpointIfWorthwhile() }
    let report = makeReport()
    try onVolume("write status.json") { () throws(SystemFailure) in
      try volume.writeStatus(report)
    }
    return code
  }

  private func makeReport() -> [UInt8] {
    let now = volume.clock.wallMilliseconds()
    let before = (try? volume.readStatus()).flatMap { $0 }.flatMap { decodeJSON(StatusReport.self, $0) }
    var report = StatusReport(
      updated: timestamp(wallMilliseconds: now), fetch: fetchStatus ?? before?.fetch,
      publish: publishStatus ?? before?.publish,
      backlog: volume.journal.withState {
        StatusReport.Backlog($0, destination: destination, nowMilliseconds: now)
      })
    if report.fetch?.lastSuccess == nil { report.fetch?.lastSuccess = before?.fetch?.lastSuccess }
    if report.publish?.lastSuccess == nil { report.publish?.lastSuccess = before?.publish?.lastSuccess }
    // Every field is a string or a number: encoding cannot fail.
    return (try? encodeJSON(report)) ?? []
  }
}
