package import Common
package import Logging
internal import S3
package import Staging

/// The second phase: staging volume → bucket. Sends what the journal says is staged and not yet published there.
package struct Publisher {
  /// Bytes of prepared bodies that may wait for a connection.
  private static let preparedLimit = 64 << 20
  private static let preparerCount = 2

  private let target: S3Target
  private let volume: StagingVolume
  private let stop: StopSignal
  private let bandwidth: BandwidthLimit?
  private let logger: Logger

  package init(
    target: S3Target, volume: StagingVolume, stop: StopSignal, bandwidth: BandwidthLimit? = nil, logger: Logger
  ) {
    self.target = target
    self.volume = volume
    self.stop = stop
    self.bandwidth = bandwidth
    self.logger = logger
  }

  /// Runs the phase once. Never throws: what went wrong is in the report, what was recorded stays recorded.
  package func run() -> PublishReport {
    let started = monotonicSeconds()
    var report = PublishReport()
    do {
      try run(&report)
    } catch let failure as any Failure {
      report.failure = failure
    } catch {
      report.failure = PhaseFailure(code: "internal", operation: "publish", reason: "\(error)", severity: .other)
    }
    if report.failure?.code == "stopped", stop.isOvertime { report.failure = PhaseFailure.overtime("publish") }
    report.seconds = monotonicSeconds() - started
    return report
  }

  private func run(_ report: inout PublishReport) throws {
    let plan = volume.journal.withState { PublishPlan(state: $0, destination: target.destination) }
    try record(impossible: plan.impossible, &report)
    if plan.items.isEmpty { return }

    let outcome = UploadOutcome()
    let sent = Result { try upload(plan.items, outcome, &report) }
    (report.published, report.publishedBytes) = outcome.published
    if let failure = outcome.failure { throw failure }
    try record(outcome.drifted, &report)
    try record(outcome.failed, phaseEnded: (try? sent.get()) == nil, &report)
    try sent.get()
    if stop.isRequested { throw PhaseFailure.stopped("publish") }
  }

  /// Preparers read and prove, the client sends on this thread, the recorder writes the journal.
  private func upload(_ items: [PublishPlan.Item], _ outcome: UploadOutcome, _ report: inout PublishReport) throws {
    var settings = S3Settings(target)
    settings.heartbeat = volume.heartbeat
    settings.bandwidth = bandwidth
    let client = try S3Client(settings, clock: volume.clock, stop: stop, logger: logger)
    let prepared = BlockingQueue<Prepared>(maximumWeight: Self.preparedLimit)
    let confirmed = BlockingQueue<Confirmed>(maximumWeight: .max)
    let queue = UploadQueue(
      items: items, prepared: prepared, confirmed: confirmed, outcome: outcome, stop: stop,
      fileSystem: volume.fileSystem)
    let (wake, stop) = (client.wake, stop)
    let ended = StopSignal()
    let preparer = UploadPreparer(
      items: items, nextItem: SharedCounter(), volume: volume, prepared: prepared, wake: wake,
      shouldEnd: { stop.isRequested || ended.isRequested || outcome.failure != nil })
    let preparers = (0..<min(Self.preparerCount, items.count)).map { _ in Worker { preparer.run() } }
    let closer = Worker {
      for worker in preparers { worker.join() }
      prepared.close()
      wake()
    }
    let recorder = Worker { Recorder(volume: volume, destination: target.destination).run(confirmed, outcome: outcome) }

    let result = Result { try client.put(queue) }
    ended.request()
    queue.abandonPrepared()
    closer.join()
    queue.abandonPrepared()
    confirmed.close()
    recorder.join()
    report.requests = client.requestCount
    try result.get()
  }

  /// A path without a key is named at every run, and recorded once for each generation.
  private func record(impossible: [PublishPlan.Impossible], _ report: inout PublishReport) throws(StagingError) {
    report.failed += UInt64(impossible.count)
    report.withoutKey = UInt64(impossible.count)
    for item in impossible {
      logger.warning(
        "cannot publish a file",
        metadata: ["path": "\(item.path)", "code": "\(item.code)", "reason": "\(item.reason)"])
    }
    try append(
      impossible.map {
        FailedItem(phase: .publish, path: $0.path, generation: $0.generation, code: $0.code, message: $0.reason)
      })
  }

  private func record(
    _ failed: [(item: PublishPlan.Item, error: any Failure)], phaseEnded: Bool, _ report: inout PublishReport
  ) throws(StagingError) {
    let own = failed.filter { $0.error.code != "stopped" && $0.error.code != "abandoned" }
    report.failed += UInt64(own.count)
    // What ends the phase is told once, by the phase.
    for (item, error) in own where !phaseEnded || error.severity == .item {
      logger.warning(
        "cannot publish a file",
        metadata: [
          "path": "\(item.path)", "code": "\(error.code)", "reason": "\(error.reason)", "retry": "with the next run",
        ])
    }
    // An outage says nothing about a file; only what is wrong with this one is worth a record.
    try append(
      own.filter { $0.error.severity == .item }.map {
        FailedItem(
          phase: .publish, path: $0.item.path, generation: $0.item.generation, code: $0.error.code,
          message: $0.error.description)
      })
  }

  private func append(_ failed: [FailedItem]) throws(StagingError) {
    let new = volume.journal.withState { state in
      failed.filter {
        let before = state.failures[MirrorState.FailureKey($0.path, .publish)]
        return before?.code != $0.code || before?.generation != $0.generation
      }
    }
    try volume.journal.appendInBatches(new.map { .failed($0) })
  }

  private func record(
    _ drifted: [(item: PublishPlan.Item, what: String)], _ report: inout PublishReport
  ) throws(StagingError) {
    report.drifted = UInt64(drifted.count)
    if drifted.isEmpty { return }
    if volume.hasUnfinishedCommits {
      logger.warning(
        "files that could not be put in place yet are not published", metadata: ["files": "\(drifted.count)"])
      return
    }
    for (item, what) in drifted {
      logger.error(
        "a staged file is not what the journal says; it is not published",
        metadata: ["path": "\(item.path)", "differs": "\(what)", "retry": "fetched again by the next fetch"])
    }
    try volume.journal.appendInBatches(
      drifted.filter { !$0.item.isKnownDrift }.map {
        .drift(
          StagedDrift(
            path: $0.item.path, generation: $0.item.generation, what: $0.what,
            done: "not published, to be fetched again"))
      })
  }
}

/// What a run of publish did.
package struct PublishReport: Sendable {
  package var published: UInt64 = 0
  package var publishedBytes: UInt64 = 0
  package var failed: UInt64 = 0
  /// Of those that failed, the ones whose names cannot be keys.
  package var withoutKey: UInt64 = 0
  /// Staged files that were not what the journal says.
  package var drifted: UInt64 = 0
  /// Requests sent to the bucket.
  package var requests = 0
  package var seconds = 0.0
  /// What ended the phase before its end.
  package var failure: (any Failure)?

  /// | what happened | code |
  /// |---|---|
  /// | the phase ended early | that of the failure |
  /// | files failed or had drifted | 6 |
  /// | else | 0 |
  package var exitCode: ExitCode {
    if let failure { return failure.severity.exitCode }
    return failed > 0 || drifted > 0 ? .partial : .done
  }

  /// Whether the phase got somewhere: what a health check counts. A few files that fail do not make it a failure; that
  /// all which could be objects fail does. A run whose time was over has got somewhere when it has sent something.
  package var isSuccess: Bool {
    if let failure { return failure.isOvertime && published > 0 }
    return published > 0 || failed - withoutKey + drifted == 0
  }

  package var summary: String {
    var parts = ["\(published) published (\(byteCount(publishedBytes)))"]
    if failed > 0 { parts.append("\(failed) failed") }
    if drifted > 0 { parts.append("\(drifted) staged files altered or missing") }
    return parts.joined(separator: ", ")
  }
}

extension S3Settings {
  init(_ target: S3Target) {
    self.init(
      endpoint: target.destination.endpoint, bucket: target.destination.bucket, region: target.region,
      service: target.service, addressing: target.addressing,
      credentials: S3Credentials(
        accessKeyID: target.accessKeyID, secretAccessKey: target.secretAccessKey, sessionToken: target.sessionToken),
      connections: target.connections, caBundlePath: target.caBundlePath)
  }
}
