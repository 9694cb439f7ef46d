package import Common
package import Logging
internal import SFTP
package import Staging
internal import Synchronization

/// What a run of fetch would do, found out without changing anything: one listing, and the plan made of it.
package struct FetchPreview {
  /// How the remote and the volume compare in one path. The marks are rclone's, and `~`.
  package enum Comparison: String, Sendable {
    case same = "="
    case new = "+"
    /// Different, or staged bytes that are no longer what they were.
    case changed = "*"
    /// Staged, and no longer on the remote.
    case gone = "-"
    /// Nothing certain can be said, or the path can never be fetched.
    case unknown = "!"
    /// New or changed, and left for a later run: it has not settled, or waits until what it replaces is published.
    case waiting = "~"
  }

  package struct Line: Sendable, Equatable {
    package var path: RemotePath
    package var comparison: Comparison
    /// As the remote shows it.
    package var fingerprint: Fingerprint?
  }

  /// In byte order of the paths.
  package private(set) var lines: [Line] = []
  /// What could not be listed, or did not fit.
  package private(set) var report = FetchReport(startedMonotonicSeconds: monotonicSeconds())

  /// - Parameters:
  ///   - listing: made without a journal, so that it has all files.
  ///   - waitsForSettling: the run would wait until everything has settled and list again, as full-sync and a first run
  ///     do.
  ///   - state: the journal's fold.
  ///   - wallSeconds: now, since 1970.
  package init(
    listing: RemoteListing, state: borrowing MirrorState, observations: Observations, destination: Destination?,
    wallSeconds: Int64, nowMilliseconds: Int64, settleMilliseconds: Int64, waitsForSettling: Bool
  ) {
    let plan = FetchPlan(
      listing: listing, state: state, observations: observations, destination: destination,
      shift: UniformShift(listing, state, wallSeconds: wallSeconds), nowMilliseconds: nowMilliseconds,
      settleMilliseconds: waitsForSettling ? 0 : settleMilliseconds)
    report.take(listing, plan)
    var found: [RemotePath: Comparison] = [:]
    for item in plan.fetch {
      found[item.path] = state.paths[item.path].map { !$0.isDropped } ?? false ? .changed : .new
    }
    for (path, _) in plan.observations.unsettled { found[path] = .waiting }
    for path in plan.blocked { found[path] = .waiting }
    for path in plan.contradictory { found[path] = .unknown }
    report.contradictory = plan.contradictory.count
    for item in listing.files {
      lines.append(Line(path: item.path, comparison: found[item.path] ?? .same, fingerprint: item.fingerprint))
    }
    for known in state.paths where !known.isDropped {
      let path = state.paths.path(of: known)
      if listing.files.contains(path) { continue }
      switch listing.viewOfMissing(path) {
      case .absent: lines.append(Line(path: path, comparison: .gone))
      case .unknown: lines.append(Line(path: path, comparison: .unknown))
      case .skipped, .file: break
      }
    }
    lines.sort { $0.path < $1.path }
  }

  /// Lists the source and compares it with a volume.
  /// - Throws: a ``Failure`` when the folder cannot be listed at all.
  package static func take(
    source: SFTPSource, settings: StagingSettings, destination: Destination?, snapshot: StagingSnapshot,
    isComprehensive: Bool, stop: StopSignal, bandwidth: BandwidthLimit?, logger: Logger, clock: Clock
  ) throws -> FetchPreview {
    let pool = try ConnectionPool(
      maximum: source.connections, stop: stop, logger: logger,
      connect: connector(source, settings, bandwidth, logger))
    defer { pool.close() }
    let listing = RemoteListing(selection: source.selection)
    try pool.walk(try pool.findFolder(of: source), visitor: listing)
    return FetchPreview(
      listing: listing, state: snapshot.state, observations: isComprehensive ? Observations() : snapshot.observations,
      destination: destination, wallSeconds: clock.wallMilliseconds() / 1000, nowMilliseconds: clock.bootMilliseconds(),
      settleMilliseconds: Int64(settings.settleSeconds) * 1000,
      waitsForSettling: isComprehensive || snapshot.state.paths.isEmpty)
  }

  /// A host key seen for the first time is not stored; so the connections that follow are held to the first one's.
  private static func connector(
    _ source: SFTPSource, _ settings: StagingSettings, _ bandwidth: BandwidthLimit?, _ logger: Logger
  ) -> @Sendable (StopSignal) throws(SFTPError) -> SFTPConnection {
    var connection = SFTPSettings(
      source, ownKnownHostsPath: settings.directory + "/known_hosts", keepsNewHostKeys: false)
    connection.bandwidth = bandwidth
    let seen = FirstHostKey()
    return { [connection] (stop) throws(SFTPError) in
      var settings = connection
      if let fingerprint = seen.fingerprint { settings.hostKeyPolicy = .pins([fingerprint]) }
      let opened = try SFTPConnection(settings, stop: stop, logger: logger)
      if let facts = opened.facts, facts.hostKeyTrust == .firstUse {
        seen.note(facts.hostKeyFingerprint)
        logger.info(
          "host key not known yet",
          metadata: ["type": "\(facts.hostKeyType)", "fingerprint": "\(facts.hostKeyFingerprint)"])
      }
      return opened
    }
  }
}

/// The key that a server showed first.
private final class FirstHostKey: Sendable {
  private let value = Mutex<String?>(nil)

  var fingerprint: String? { value.withLock { $0 } }

  func note(_ fingerprint: String) { value.withLock { $0 = $0 ?? fingerprint } }
}

extension FetchPreview.Line {
  /// For people: the mark and the path.
  package var text: String { "\(comparison.rawValue) \(path)" }

  /// One JSON object.
  package var json: [UInt8] {
    var writer = FlatJSONWriter()
    writer.path(path)
    writer.field("mark", comparison.rawValue)
    writer.field("state", "\(comparison)")
    writer.field("size", fingerprint?.size)
    writer.field("mtime", (fingerprint?.mtime).map { UInt64($0) })
    return writer.finished()
  }
}

extension FetchPreview {
  /// | what was found | code |
  /// |---|---|
  /// | directories that could not be listed, or paths shown in two ways | 6 |
  /// | else | 0 |
  package var exitCode: ExitCode { report.contradictory > 0 ? .partial : report.exitCode }

  /// How many lines there are of each kind, and what is not among them.
  package var summary: String {
    var counts: [Comparison: Int] = [:]
    for line in lines { counts[line.comparison, default: 0] += 1 }
    let words: [(Comparison, String)] = [
      (.new, "new"), (.changed, "changed"), (.same, "same"), (.waiting, "waiting"), (.gone, "gone from the remote"),
      (.unknown, "unknown"),
    ]
    let found = words.compactMap { comparison, word in counts[comparison].map { "\($0) \(word)" } }
    return (found.isEmpty ? ["no files"] : found).joined(separator: ", ") + report.omissions.map { ", " + $0 }.joined()
  }
}
