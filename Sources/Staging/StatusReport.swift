package import Common

/// What status.json holds: the last run of each phase and what is waiting. Written at the end of every run.
package struct StatusReport: Codable, Sendable, Equatable {
  /// Of this file; goes up when a field changes its meaning.
  package var format = 1
  package var updated: String
  package var fetch: PhaseStatus?
  package var publish: PhaseStatus?
  package var backlog: Backlog

  package struct PhaseStatus: Codable, Sendable, Equatable {
    package var started: String
    package var ended: String
    package var exitCode: Int32
    package var lastSuccess: String?
    /// The line that ended the phase, when it did not end well.
    package var error: String?
    package var summary: String

    package init(
      started: String, ended: String, exitCode: Int32, lastSuccess: String?, error: String?, summary: String
    ) {
      self.started = started
      self.ended = ended
      self.exitCode = exitCode
      self.lastSuccess = lastSuccess
      self.error = error
      self.summary = summary
    }
  }

  /// What the configured destination lacks. A path that can have no key there is counted apart: it would make every
  /// lag endless.
  package struct Backlog: Codable, Sendable, Equatable {
    package var files: Int
    package var bytes: UInt64
    /// When the oldest pending generation was fetched.
    package var oldest: String?
    /// Age of the oldest pending generation.
    package var lagSeconds: Int64?
    /// Staged files whose names cannot be keys.
    package var withoutKey: Int

    package init(_ state: borrowing MirrorState, destination: Destination?, nowMilliseconds: Int64) {
      var (files, bytes, oldest, withoutKey) = (0, UInt64(0), Int64.max, 0)
      for (path, known) in state.paths where state.isPending(known, for: destination) {
        guard case .key = ObjectKey.of(path, folder: destination?.folder ?? "") else {
          withoutKey += 1
          continue
        }
        files += 1
        bytes += known.fingerprint.size
        oldest = min(oldest, known.fetchedMilliseconds)
      }
      self.withoutKey = withoutKey
      self.files = files
      self.bytes = bytes
      if files > 0 {
        self.oldest = timestamp(wallMilliseconds: oldest)
        lagSeconds = max(0, (nowMilliseconds - oldest) / 1000)
      }
    }
  }

  package init(updated: String, fetch: PhaseStatus?, publish: PhaseStatus?, backlog: Backlog) {
    self.updated = updated
    self.fetch = fetch
    self.publish = publish
    self.backlog = backlog
  }
}

/// A volume as a reader sees it: no lock is taken and nothing is changed.
package struct StagingSnapshot {
  package let state: MirrorState
  /// Records in the journal.
  package let seq: UInt64
  /// `h` of the last one.
  package let head: String
  package let status: StatusReport?
  package let observations: Observations

  /// - Throws: ``StagingError``: `staging-unusable`, `journal-damaged`.
  package init(
    path: String, clock: Clock = .system, fileSystem: any FileSystem = LinuxFileSystem()
  ) throws(StagingError) {
    let content: (LoadedJournal, [UInt8]?, [UInt8]?)
    let root = try Self.open(path, at: LinuxFileSystem.workingDirectory, path, fileSystem)
    let journal = try Self.open("journal", at: root.number, path, fileSystem)
    let stateDirectory = try Self.open("state", at: root.number, path, fileSystem)
    let (rootNumber, stateNumber) = (root.number, stateDirectory.number)
    let checkpoint = try onVolume("read the checkpoint") { () throws(SystemFailure) in
      try fileSystem.content(at: stateNumber, "checkpoint").flatMap { Checkpoint($0) }
    }
    let loaded = try JournalLoader(fileSystem: fileSystem, directory: journal.number)
      .load(checkpoint: checkpoint) { _ in }
    content = try onVolume("read the volume") { () throws(SystemFailure) in
      (
        loaded, try fileSystem.content(at: rootNumber, "status.json"),
        try fileSystem.content(at: stateNumber, "observations")
      )
    }
    state = content.0.state
    seq = content.0.position.seq
    head = String(decoding: content.0.position.head, as: UTF8.self)
    status = content.1.flatMap { decodeJSON(StatusReport.self, $0) }
    observations = content.2.map { Observations($0, bootID: clock.bootID) } ?? Observations()
  }

  private static func open(
    _ name: String, at directory: Int32, _ path: String, _ fileSystem: any FileSystem
  ) throws(StagingError) -> Descriptor {
    do throws(SystemFailure) {
      return Descriptor(try fileSystem.openDirectory(at: directory, Array(name.utf8)), fileSystem)
    } catch {
      throw .unusable(path, error, doing: "read the staging volume")
    }
  }
}
