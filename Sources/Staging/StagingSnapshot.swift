package import Common

/// A volume as a reader sees it: no lock is taken and nothing is changed.
package struct StagingSnapshot {
  package let state: MirrorState
  /// Records in the journal.
  package let seq: UInt64
  /// `h` of the last one.
  package let head: String
  package let status: StatusReport?
  package let observations: Observations
  package let loginRefusals: LoginRefusals?

  /// Looks at a volume. A run may be writing to it: damage is believed only when it is there at a third look.
  /// - Parameter mayBeNew: a directory that no run has used yet counts as an empty volume.
  /// - Throws: ``StagingError``: `staging-unusable`, `journal-damaged`.
  package static func take(
    path: String, mayBeNew: Bool = false, clock: Clock = .system, fileSystem: any FileSystem = LinuxFileSystem()
  ) throws(StagingError) -> StagingSnapshot {
    if mayBeNew, try isNew(path, fileSystem) { return StagingSnapshot() }
    for _ in 1...2 {
      do throws(StagingError) {
        return try StagingSnapshot(path: path, clock: clock, fileSystem: fileSystem)
      } catch {
        guard error.code == "journal-damaged" else { throw error }
        pause(milliseconds: 100)
      }
    }
    return try StagingSnapshot(path: path, clock: clock, fileSystem: fileSystem)
  }

  /// A volume that nothing is known of.
  private init() {
    state = MirrorState()
    seq = 0
    head = ""
    status = nil
    observations = Observations()
    loginRefusals = nil
  }

  private static func isNew(_ path: String, _ fileSystem: any FileSystem) throws(StagingError) -> Bool {
    let root = try open(path, at: LinuxFileSystem.workingDirectory, path, fileSystem)
    return try onVolume("read the staging volume") { () throws(SystemFailure) in
      for name in ["journal", "state"] where try fileSystem.status(at: root.number, Array(name.utf8)) != nil {
        return false
      }
      return true
    }
  }

  /// Refuses another source than the volume's, as a run would.
  /// - Throws: ``StagingError``: `other-source`, `newer-format`.
  package func check(_ source: VolumeSource, rebind: Bool, path: String) throws(StagingError) {
    if let binding = state.binding { try StagingVolume.check(binding, against: source, rebind: rebind, path: path) }
  }

  private init(path: String, clock: Clock, fileSystem: any FileSystem) throws(StagingError) {
    let content: (LoadedJournal, [UInt8]?, Observations, [UInt8]?)
    let root = try Self.open(path, at: LinuxFileSystem.workingDirectory, path, fileSystem)
    let journal = try Self.open("journal", at: root.number, path, fileSystem)
    let stateDirectory = try Self.open("state", at: root.number, path, fileSystem)
    let (rootNumber, stateNumber) = (root.number, stateDirectory.number)
    let checkpoint = try onVolume("read the checkpoint") { () throws(SystemFailure) in
      try Checkpoint.read(at: stateNumber, fileSystem)
    }
    let loaded = try JournalLoader(fileSystem: fileSystem, directory: journal.number)
      .load(consume checkpoint) { _ in }
    content = try onVolume("read the volume") { () throws(SystemFailure) in
      (
        loaded, try fileSystem.content(at: rootNumber, "status.json"),
        try Observations.read(at: stateNumber, clock, fileSystem),
        try fileSystem.content(at: stateNumber, LoginRefusals.fileName)
      )
    }
    state = content.0.state
    seq = content.0.position.seq
    head = String(decoding: content.0.position.head, as: UTF8.self)
    status = content.1.flatMap { decodeJSON(StatusReport.self, $0) }
    observations = content.2
    loginRefusals = content.3.flatMap { LoginRefusals($0) }
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
