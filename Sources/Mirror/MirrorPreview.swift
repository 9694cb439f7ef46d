package import Common
internal import Fetch
package import Logging
internal import Publish
internal import Staging

/// `--dry-run`: what one run of a work command would do. Takes no lock and writes nothing, so a run under way may make
/// it out of date at once.
package struct MirrorPreview {
  private let command: MirrorRun.Command
  private let configuration: Configuration
  private let stop: StopSignal
  private let logger: Logger
  private let clock: Clock

  package init(
    _ command: MirrorRun.Command, configuration: Configuration, stop: StopSignal, logger: Logger,
    clock: Clock = .system
  ) {
    self.command = command
    self.configuration = configuration
    self.stop = stop
    self.logger = logger
    self.clock = clock
  }

  /// - Parameters:
  ///   - json: lines are JSON objects.
  ///   - show: takes a line; false when nobody reads any more.
  package func run(json: Bool, _ show: ([UInt8]) -> Bool) -> ExitCode {
    do {
      let path = configuration.staging.directory
      _ = try VolumeOwner.becomeOwner(ofVolumeAt: path)
      let snapshot = try StagingSnapshot.take(path: path, mayBeNew: true, clock: clock)
      var codes: [ExitCode] = []
      if let source = configuration.sftp { codes.append(try previewFetch(source, snapshot, json, show)) }
      if let target = configuration.s3 { codes.append(previewPublish(target, snapshot, json, show)) }
      return ExitCode.combined(codes)
    } catch let failure as any Failure {
      logger.error("\(failure)", metadata: ["code": "\(failure.code)"])
      return failure.severity.exitCode
    } catch {
      logger.error("\(error)")
      return .other
    }
  }

  private func previewFetch(
    _ source: SFTPSource, _ snapshot: StagingSnapshot, _ json: Bool, _ show: ([UInt8]) -> Bool
  ) throws -> ExitCode {
    let settings = configuration.staging
    try snapshot.check(
      VolumeSource(host: source.host, port: source.port, user: source.user, folder: source.folder),
      rebind: settings.rebind, path: settings.directory)
    let preview = try FetchPreview.take(
      source: source, settings: settings, destination: configuration.destination, snapshot: snapshot,
      isComprehensive: command == .fullSync, stop: stop,
      bandwidth: configuration.limits.bytesPerSecond.map { BandwidthLimit(bytesPerSecond: $0) }, logger: logger,
      clock: clock)
    for line in preview.lines where !show(json ? line.json : Array(line.text.utf8)) { return .other }
    logger.info("fetch would find: \(preview.summary)")
    return preview.exitCode
  }

  private func previewPublish(
    _ target: S3Target, _ snapshot: StagingSnapshot, _ json: Bool, _ show: ([UInt8]) -> Bool
  ) -> ExitCode {
    let plan = PublishPlan(state: snapshot.state, destination: target.destination)
    for line in plan.previewLines where !show(json ? line.json : Array(line.text.utf8)) { return .other }
    logger.info("publish would send: \(plan.items.count) staged files; \(plan.impossible.count) have no possible key")
    return plan.impossible.isEmpty ? .done : .partial
  }
}
