package import Common
internal import Fetch
package import Logging
internal import Publish
internal import Staging

/// One run of a work command: opens the volume, runs its phases, closes the books.
package struct MirrorRun {
  package enum Command: String, Sendable {
    case sync
    case fullSync = "full-sync"
    case fetch
    case publish

    package var needs: Configuration.Needs {
      switch self {
      case .sync, .fullSync: [.sftp, .s3]
      case .fetch: .sftp
      case .publish: .s3
      }
    }
  }

  private let command: Command
  private let configuration: Configuration
  private let stop: StopSignal
  private let logger: Logger
  private let clock: Clock

  package init(
    _ command: Command, configuration: Configuration, stop: StopSignal, logger: Logger, clock: Clock = .system
  ) {
    self.command = command
    self.configuration = configuration
    self.stop = stop
    self.logger = logger
    self.clock = clock
  }

  /// Runs to the end and says how it went. Each phase runs whatever became of the other.
  package func run() -> ExitCode {
    do throws(StagingError) {
      return run(on: try openVolume())
    } catch {
      logger.error("\(error)")
      return error.severity.exitCode
    }
  }

  private func openVolume() throws(StagingError) -> StagingVolume {
    let path = configuration.staging.directory
    if let owner = try VolumeOwner.becomeOwner(ofVolumeAt: path) {
      logger.debug("became the owner of the staging volume", metadata: ["uid": "\(owner)"])
    }
    let volume = try StagingVolume.open(
      path: path,
      source: configuration.sftp.map { VolumeSource(host: $0.host, port: $0.port, user: $0.user, folder: $0.folder) },
      rebind: configuration.staging.rebind,
      runStart: RunStart(
        command: command.rawValue, version: programVersion, destination: configuration.destination?.description),
      clock: clock)
    for warning in volume.warnings { logger.warning("\(warning)") }
    return volume
  }

  private func run(on volume: StagingVolume) -> ExitCode {
    let started = (wall: clock.wallMilliseconds(), monotonic: monotonicSeconds())
    let (fetchStop, publishStop) = makeStops(from: started.monotonic)
    let bandwidth = configuration.limits.bytesPerSecond.map { BandwidthLimit(bytesPerSecond: $0) }
    var books = RunBooks(volume: volume, destination: configuration.destination)
    if let source = configuration.sftp {
      let fetched = Fetcher(
        source: source, settings: configuration.staging, destination: configuration.destination, volume: volume,
        stop: fetchStop, bandwidth: bandwidth, logger: logger
      ).run(command == .fullSync ? .comprehensive : .incremental, isByHand: command == .fetch)
      announce("fetch", fetched.summary(clock: clock), fetched.failure, fetched.seconds)
      books.note(fetched, startedMilliseconds: started.wall)
    }
    if configuration.s3 != nil, publishStop.isRequested {
      books.noteSkippedPhase()
    } else if let target = configuration.s3 {
      let phaseStart = clock.wallMilliseconds()
      let published = Publisher(
        target: target, volume: volume, stop: publishStop, bandwidth: bandwidth, logger: logger
      ).run()
      announce("publish", published.summary, published.failure, published.seconds)
      books.note(published, startedMilliseconds: phaseStart)
    }
    return books.close(runMilliseconds: UInt64((monotonicSeconds() - started.monotonic) * 1000), logger: logger)
  }

  /// When each phase begins nothing new: at the run's end; but fetch at half of it when publish is to follow, so that
  /// what is staged gets out however much there is to fetch. What fetch leaves of its time is publish's.
  private func makeStops(from start: Double) -> (fetch: StopSignal, publish: StopSignal) {
    guard let seconds = configuration.limits.durationSeconds.map(Double.init) else { return (stop, stop) }
    let share = configuration.s3 == nil ? seconds : seconds / 2
    return (
      StopSignal(following: stop, deadlineSeconds: start + share),
      StopSignal(following: stop, deadlineSeconds: start + seconds)
    )
  }

  /// The line at the end of a phase; before it, what ended the phase early.
  private func announce(_ phase: String, _ summary: String, _ failure: (any Failure)?, _ seconds: Double) {
    if let failure { logger.error("\(phase): \(failure)", metadata: ["code": "\(failure.code)"]) }
    logger.info("\(phase): \(summary) in \(duration(seconds))")
  }
}
