package import Common
package import Logging
package import SFTP
package import Staging

/// The first phase: remote folder → staging volume. Each run lists everything, plans, transfers and records.
package struct Fetcher {
  package enum Mode: Sendable {
    /// Trusts what earlier runs observed.
    case incremental
    /// Observes everything itself: waits out the settle time and lists a second time where something is undecided.
    case comprehensive
  }

  /// Modification times that are adopted at once.
  private static let touchedBatch = 10_000

  private let source: SFTPSource
  private let settings: StagingSettings
  private let destination: Destination?
  private let volume: StagingVolume
  private let stop: StopSignal
  private let logger: Logger
  private let connect: @Sendable (StopSignal) throws(SFTPError) -> SFTPConnection

  /// - Parameters:
  ///   - bandwidth: how fast bytes are read.
  ///   - connect: opens a logged-in connection that heeds a stop signal; nil connects to `source`.
  package init(
    source: SFTPSource, settings: StagingSettings, destination: Destination?, volume: StagingVolume, stop: StopSignal,
    bandwidth: BandwidthLimit? = nil, logger: Logger,
    connect: (@Sendable (StopSignal) throws(SFTPError) -> SFTPConnection)? = nil
  ) {
    self.source = source
    self.settings = settings
    self.destination = destination
    self.volume = volume
    self.stop = stop
    self.logger = logger
    if let connect {
      self.connect = connect
    } else {
      var settings = SFTPSettings(source, ownKnownHostsPath: volume.knownHostsPath)
      settings.bandwidth = bandwidth
      self.connect = { [settings] (stop) throws(SFTPError) in try SFTPConnection(settings, stop: stop, logger: logger) }
    }
  }

  /// Runs the phase once. Never throws: what went wrong is in the report, what was committed stays committed.
  /// - Parameter isByHand: a person waits for it, so a log-in is tried however lately one was refused.
  package func run(_ mode: Mode, isByHand: Bool = false) -> FetchReport {
    var report = FetchReport(startedMonotonicSeconds: monotonicSeconds())
    let login = LoginGuard(source: source, volume: volume, logger: logger)
    do {
      try login.permit(isByHand: isByHand)
      try run(mode, login, &report)
    } catch let failure as any Failure {
      login.note(failure)
      report.failure = failure
    } catch {
      report.failure = PhaseFailure(code: "internal", operation: "fetch", reason: "\(error)", severity: .other)
    }
    if report.failure?.code == "stopped", stop.isOvertime { report.failure = PhaseFailure.overtime("fetch") }
    report.seconds = monotonicSeconds() - report.startedMonotonicSeconds
    return report
  }

  private func run(_ mode: Mode, _ login: LoginGuard, _ report: inout FetchReport) throws {
    var pool = try openPool()
    defer { pool.close() }
    login.loggedIn()
    report.hostKey = pool.facts?.hostKeyFingerprint
    warnOfNewHostKey(pool.facts)
    tellOfAlgorithms(pool.facts)
    volume.journal.noteHostKey(report.hostKey)

    let root = try pool.findFolder(of: source)
    var listing = try list(root, over: pool)
    if listing.hasRoot { try volume.bind() }
    var plan = makePlan(listing, mode == .incremental ? loadObservations() : Observations(), mode)
    let isFirstRun = volume.journal.withState { $0.paths.isEmpty }
    if isFirstRun || mode == .comprehensive, !plan.observations.isEmpty {
      // Of what an earlier run saw, too: it stays settled. Kept before the wait, so that a run that is cut off here has
      // not waited for nothing.
      let observed = plan.observationsAfter(fetched: { _ in false }, changed: [])
      save(observed)
      let (until, waiting) = (settlingEnd(plan), plan.observations.unsettled.count)
      // Two listings of many files need not be held at once.
      (plan, listing) = (FetchPlan(), RemoteListing(selection: source.selection))
      if let until {
        // Servers cut off who is silent for long.
        pool.close()
        try wait(until: until, files: waiting)
        pool = try openPool()
      }
      listing = try list(root, over: pool)
      plan = makePlan(listing, observed, mode)
    }
    report.take(listing, plan)
    try carryOut(plan, listing, from: root, over: pool, &report)
  }

  private func openPool() throws(SFTPError) -> ConnectionPool {
    try ConnectionPool(maximum: source.connections, stop: stop, logger: logger, connect: connect)
  }

  private func list(_ root: [UInt8], over pool: ConnectionPool) throws(SFTPError) -> RemoteListing {
    let listing = RemoteListing(selection: source.selection, journal: volume.journal, heartbeat: volume.heartbeat)
    try pool.walk(root, visitor: listing)
    return listing
  }

  private func makePlan(_ listing: RemoteListing, _ observations: Observations, _ mode: Mode) -> FetchPlan {
    volume.journal.withState { state in
      FetchPlan(
        listing: listing, state: state, observations: observations, destination: destination,
        shift: UniformShift(listing, state, wallSeconds: volume.clock.wallMilliseconds() / 1000),
        provingBytes: mode == .comprehensive ? ProvingPlan.bytesPerRun : 0,
        nowMilliseconds: volume.clock.bootMilliseconds(), settleMilliseconds: Int64(settings.settleSeconds) * 1000)
    }
  }

  /// When everything undecided can be judged again, in milliseconds since boot; nil when that is now.
  private func settlingEnd(_ plan: FetchPlan) -> Int64? {
    let settle = Int64(settings.settleSeconds) * 1000
    let now = volume.clock.bootMilliseconds()
    var since = plan.observations.unsettled.values.lazy.map(\.sinceBootMilliseconds).max()
    if !plan.observations.absent.isEmpty { since = now }
    return since.map { $0 + settle }.flatMap { $0 > now ? $0 : nil }
  }

  private func wait(until end: Int64, files: Int) throws(PhaseFailure) {
    let seconds = (end - volume.clock.bootMilliseconds() + 999) / 1000
    logger.info("waiting for files to settle", metadata: ["files": "\(files)", "seconds": "\(seconds)"])
    while volume.clock.bootMilliseconds() < end {
      if stop.isRequested { throw .stopped("fetch") }
      volume.heartbeat.beat()
      pause(milliseconds: min(200, end - volume.clock.bootMilliseconds()))
    }
  }

  private func carryOut(
    _ plan: FetchPlan, _ listing: RemoteListing, from root: [UInt8], over pool: ConnectionPool,
    _ report: inout FetchReport
  ) throws {
    try drop(plan.drop)
    try adopt(plan.touched)
    let partials = try takeStock(plan, listing)
    let outcome = TransferOutcome()
    for path in plan.contradictory { outcome.note(Self.contradiction(path), on: path) }
    let transferred = Result {
      if plan.fetch.isEmpty { return }
      let work = Transfer.Work(
        items: plan.fetch, remoteRoot: root, partials: partials, held: HeldFiles(plan, clock: volume.clock),
        resumes: source.resumesLargeFiles)
      let transfer = Transfer(work, stop: stop, outcome: outcome, logger: logger)
      try transfer.run(
        over: pool, into: volume,
        commit: Committer(volume: volume, destination: destination, hostKey: report.hostKey),
        filesInFlight: source.filesInFlight)
    }
    report.counts = outcome.counts
    keepObservations(plan, outcome)
    // The volume's error ends the run; the connection's does not keep what is known from being recorded.
    if let failure = outcome.failure { throw failure }
    try record(outcome.failedItems, &report)
    if !plan.gone.isEmpty {
      try volume.journal.appendInBatches(plan.gone.map { .gone(path: $0.path, generation: $0.generation) })
      report.gone = UInt64(plan.gone.count)
    }
    try transferred.get()
    if stop.isRequested { throw PhaseFailure.stopped("fetch") }
  }

  /// The parts of large files that this run goes on with, by their place in the plan. Removes those that no run will.
  private func takeStock(_ plan: FetchPlan, _ listing: RemoteListing) throws(StagingError) -> [Int: PartialFile] {
    var unproven: [RemotePath: Fingerprint] = [:]
    for path in volume.partials.map(\.path) {
      unproven[path] = volume.journal.withState { state in
        state.paths[path].flatMap { $0.isMirrored && $0.isUnproven ? $0.fingerprint : nil }
      }
    }
    let partials = PartialPlan(
      volume.partials, plan: plan, listing: listing, unproven: unproven, source: volume.sourceDescription,
      isEnabled: source.resumesLargeFiles)
    try onVolume("remove what had come of large files") { () throws(SystemFailure) in
      for partial in partials.remove { try volume.removePartial(partial.temporary) }
    }
    return partials.resume
  }

  private func keepObservations(_ plan: FetchPlan, _ outcome: TransferOutcome) {
    let changed = Set(outcome.changedItems.map(\.path))
    let observations = volume.journal.withState { state in
      plan.observationsAfter(
        fetched: { item in state.paths[item.path].map { !$0.isGone && $0.fingerprint == item.fingerprint } ?? false },
        changed: changed)
    }
    save(observations)
  }

  /// Observations are disposable: losing them costs time, never truth, and must not end a run.
  private func loadObservations() -> Observations {
    do throws(SystemFailure) {
      return try volume.loadObservations()
    } catch {
      logger.warning("cannot read the observations of earlier runs", metadata: ["reason": "\(error.reason)"])
      return Observations()
    }
  }

  private func save(_ observations: Observations) {
    do throws(SystemFailure) {
      try volume.save(observations)
    } catch {
      logger.warning("cannot keep observations for the next run", metadata: ["reason": "\(error.reason)"])
    }
  }

  /// Records, then removes, staged generations that stand in the way of new paths.
  private func drop(_ removals: [FetchPlan.Removal]) throws {
    if removals.isEmpty { return }
    let staged = volume.makeStagedFiles()
    try volume.commit { () throws(StagingError) in
      try volume.journal.appendInBatches(removals.map { .dropped(path: $0.path, generation: $0.generation) })
      try onVolume("remove staged files that stand in the way") { () throws(SystemFailure) in
        for removal in removals { try staged.remove(removal.path) }
        try staged.synchronizeChanges()
      }
    }
  }

  /// Records, then sets, modification times that changed without the bytes, as it seems.
  private func adopt(_ touched: [FetchPlan.Touch]) throws {
    if touched.isEmpty { return }
    logger.info(
      "modification times are shifted by an hour, as by daylight saving: adopted; full-sync reads the files again",
      metadata: ["files": "\(touched.count)"])
    let staged = volume.makeStagedFiles()
    try volume.commit { () throws(StagingError) in
      var rest = touched[...]
      while !rest.isEmpty {
        let batch = rest.prefix(Self.touchedBatch)
        rest = rest.dropFirst(Self.touchedBatch)
        try volume.journal.append(
          batch.map { .touched(path: $0.path, generation: $0.generation, mtime: $0.mtime) })
        try onVolume("set the times of staged files") { () throws(SystemFailure) in
          for touch in batch { try staged.setModificationTime(of: touch.path, seconds: touch.mtime) }
        }
        volume.heartbeat.beat()
      }
      try onVolume("set the times of staged files") { () throws(SystemFailure) in try staged.synchronizeChanges() }
    }
  }

  private static func contradiction(_ path: RemotePath) -> PhaseFailure {
    PhaseFailure(
      code: "contradictory-listing", operation: "list", subject: path.description,
      reason: "the server shows it, or a directory above it, both as a file and as a directory", severity: .item)
  }

  /// A failure is named at every run, and recorded once for each path and cause.
  private func record(
    _ failed: [(path: RemotePath, error: any Failure)], _ report: inout FetchReport
  ) throws(StagingError) {
    for (path, error) in failed {
      logger.warning(
        "cannot fetch a file",
        metadata: [
          "path": "\(path)", "code": "\(error.code)", "reason": "\(error.reason)", "retry": "with the next run",
        ])
    }
    let new = volume.journal.withState { state in
      failed.filter { state.failures[MirrorState.FailureKey($0.path, .fetch)]?.code != $0.error.code }
    }
    try volume.journal.appendInBatches(
      new.map {
        .failed(
          FailedItem(
            phase: .fetch, path: $0.path, generation: nil, code: $0.error.code, message: $0.error.description)
        )
      })
  }

  private func tellOfAlgorithms(_ facts: ConnectionFacts?) {
    guard let facts else { return }
    logger.debug(
      "connected",
      metadata: [
        "server": "\(facts.serverIdentification)", "libssh2": "\(facts.libssh2Version)",
        "key_exchange": "\(facts.keyExchange)", "host_key": "\(facts.hostKeyType)", "cipher": "\(facts.cipher)",
        "mac": "\(facts.mac)",
      ])
    if !facts.oldAlgorithms.isEmpty {
      logger.notice(
        "the connection rests on old algorithms",
        metadata: ["algorithms": "\(facts.oldAlgorithms.joined(separator: " "))"])
    }
  }

  private func warnOfNewHostKey(_ facts: ConnectionFacts?) {
    guard let facts, facts.hostKeyTrust == .firstUse else { return }
    logger.warning(
      "host key trusted on first use; pin it by SFTP_HOST_KEY",
      metadata: [
        "host": "\(source.host)", "type": "\(facts.hostKeyType)", "fingerprint": "\(facts.hostKeyFingerprint)",
      ])
  }
}
