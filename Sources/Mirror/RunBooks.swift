internal import Common
internal import Fetch
internal import Logging
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
    fetchStatus = status(
      report.exitCode, report.failure, report.summary(clock: volume.clock), report.isSuccess, startedMilliseconds)
  }

  mutating func note(_ report: PublishReport, startedMilliseconds: Int64) {
    codes.append(report.exitCode)
    end.published = report.published
    end.publishedBytes = report.publishedBytes
    end.failed += report.failed
    publishStatus = status(
      report.exitCode, report.failure, report.summary, report.isSuccess, startedMilliseconds)
  }

  private func status(
    _ code: ExitCode, _ failure: (any Failure)?, _ summary: String, _ isSuccess: Bool, _ startedMilliseconds: Int64
  ) -> StatusReport.PhaseStatus {
    let ended = timestamp(wallMilliseconds: volume.clock.wallMilliseconds())
    return StatusReport.PhaseStatus(
      started: timestamp(wallMilliseconds: startedMilliseconds), ended: ended, exitCode: code.rawValue,
      lastSuccess: isSuccess ? ended : nil, error: failure?.description, summary: summary)
  }

  /// The run was asked to stop before this phase began.
  mutating func noteSkippedPhase() { codes.append(.temporary) }

  /// Writes what remains to be written. A run that recorded nothing leaves the journal as it was.
  mutating func close(runMilliseconds: UInt64, logger: Logger) -> ExitCode {
    if volume.journal.hasRecorded {
      end.exitCode = UInt64(ExitCode.combined(codes).rawValue)
      end.milliseconds = runMilliseconds
      do throws(StagingError) {
        try volume.journal.append([.end(end)])
      } catch {
        // A journal that broke in a phase has been told there.
        if !codes.contains(error.severity.exitCode) { logger.error("\(error)") }
        codes.append(error.severity.exitCode)
      }
    }
    // Neither holds anything that the journal does not: a run is not worse for lacking them.
    attempt("write the checkpoint", logger) { () throws(SystemFailure) in try volume.checkpointIfWorthwhile() }
    let report = makeReport()
    attempt("write status.json", logger) { () throws(SystemFailure) in try volume.writeStatus(report) }
    return ExitCode.combined(codes)
  }

  private func attempt(_ what: String, _ logger: Logger, _ body: () throws(SystemFailure) -> Void) {
    do throws(SystemFailure) {
      try body()
    } catch {
      logger.warning("cannot \(what)", metadata: ["reason": "\(error.reason)"])
    }
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
