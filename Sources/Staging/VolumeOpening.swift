package import Common

/// What a volume is asked to mirror.
package struct VolumeSource: Sendable, Equatable {
  package var host: String
  package var port: UInt16
  package var user: String
  package var folder: String

  package init(host: String, port: UInt16, user: String, folder: String) {
    self.host = host
    self.port = port
    self.user = user
    // `in` and `in/` are one folder.
    let end = folder.utf8.lastIndex { $0 != slash }
    self.folder = end.map { String(folder[...$0]) } ?? folder
  }

  func binding(volumeID: String) -> VolumeBinding {
    VolumeBinding(
      format: VolumeBinding.currentFormat, volumeID: volumeID, host: host, port: UInt64(port), user: user,
      folder: folder)
  }
}

extension StagingVolume {
  /// Opens a volume for a run that may change it: takes the lock, proves the journal, mends what an interrupted run
  /// left. A new volume is probed here; ``bind()`` ties it to its source.
  /// - Parameters:
  ///   - path: STAGING_DIR.
  ///   - source: what the run mirrors; nil for a run that does not talk to the SFTP server.
  ///   - rebind: accept a source that differs from the one the volume was made for, and record it.
  /// - Throws: ``StagingError``: `locked`, `staging-unusable`, `journal-damaged`, `other-source`, `newer-format` …
  package static func open(
    path: String, source: VolumeSource?, rebind: Bool = false, runStart: RunStart, clock: Clock = .system,
    fileSystem: any FileSystem = LinuxFileSystem(), segmentLimit: UInt64 = Journal.segmentLimit
  ) throws(StagingError) -> StagingVolume {
    let directories = try openDirectories(path, runStart: runStart, clock: clock, fileSystem: fileSystem)
    do throws(StagingError) {
      return try open(
        path, directories, source: source, rebind: rebind, runStart: runStart, clock: clock, fileSystem: fileSystem,
        segmentLimit: segmentLimit)
    } catch {
      // The first error is the one to report.
      for descriptor in directories.all { try? fileSystem.close(descriptor) }
      throw error
    }
  }

  private static func open(
    _ path: String, _ directories: Directories, source: VolumeSource?, rebind: Bool, runStart: RunStart, clock: Clock,
    fileSystem: any FileSystem, segmentLimit: UInt64
  ) throws(StagingError) -> StagingVolume {
    var recovery = Recovery(fileSystem: fileSystem, directories: directories)
    let loaded = try recovery.load()
    if let binding = loaded.state.binding { try check(binding, against: source, rebind: rebind, path: path) }
    let runID = makeRunID()
    var warnings = try recovery.repairTail(loaded, runID: runID)
    let journal = Journal(
      loaded, fileSystem: fileSystem, directory: directories.journal, runID: runID, runStart: runStart, clock: clock,
      segmentLimit: segmentLimit, releaseReserve: { Reserve.release(fileSystem, directories.state) })
    if let entry = recovery.tailEntry { try journal.append([entry]) }
    let stuck = try recovery.redo(loaded.state)
    warnings += stuck
    if source != nil, loaded.state.binding == nil {
      try VolumeProbe(fileSystem: fileSystem, directory: directories.temporaries).run(path)
    }
    try onVolume("reserve space") { () throws(SystemFailure) in try Reserve.fill(fileSystem, directories.state) }
    let isOverlay = try onVolume("probe the volume") { () throws(SystemFailure) in
      try fileSystem.isOverlay(directories.root)
    }
    if isOverlay {
      warnings.append(
        "the staging volume is on overlayfs: it dies with the container; mount a volume at \(escaped(path))")
    }
    return StagingVolume(
      path: path, source: source, fileSystem: fileSystem, directories: directories, journal: journal, clock: clock,
      runID: runID, warnings: warnings, hasStuckFiles: !stuck.isEmpty, partials: recovery.partials)
  }

  private static func openDirectories(
    _ path: String, runStart: RunStart, clock: Clock, fileSystem: any FileSystem
  ) throws(StagingError) -> Directories {
    var opened: [Int32] = []
    do throws(SystemFailure) {
      let root = try fileSystem.openDirectory(at: LinuxFileSystem.workingDirectory, Array(path.utf8))
      opened.append(root)
      let lock = try fileSystem.openFile(at: root, Array("lock".utf8), .readWrite)
      opened.append(lock)
      guard try fileSystem.lock(lock) else {
        let holder = try fileSystem.readAll(lock, from: 0, count: 200)
        throw SystemFailure(
          errno: 11 /* EWOULDBLOCK */, operation: "lock", subject: escaped(holder), severity: .locked)
      }
      for name in ["files", "journal", "state", "tmp"] {
        let bytes = Array(name.utf8)
        if try fileSystem.status(at: root, bytes) == nil {
          try fileSystem.makeDirectory(at: root, bytes)
          try fileSystem.synchronize(root, .full)
        }
        opened.append(try fileSystem.openDirectory(at: root, bytes))
      }
      let note = "\(runStart.command) since \(timestamp(wallMilliseconds: clock.wallMilliseconds()))"
      // For people only: on a full disk there is none.
      try? fileSystem.truncate(lock, to: 0)
      try? fileSystem.writeAll(lock, Array(note.utf8), at: 0)
      return Directories(
        root: root, files: opened[2], journal: opened[3], state: opened[4], temporaries: opened[5], lock: lock)
    } catch {
      for descriptor in opened { try? fileSystem.close(descriptor) }
      if error.severity == .locked {
        throw StagingError(
          code: "locked", operation: "lock", subject: escaped(path),
          reason: "another run holds the lock" + (error.subject.isEmpty ? "" : ": \(error.subject)"),
          advice: "wait for it to end", severity: .locked)
      }
      throw error.code == "enospc"
        ? .broken(error, doing: "open the staging volume")
        : .unusable(path, error, doing: "open the staging volume")
    }
  }

  static func check(
    _ binding: VolumeBinding, against source: VolumeSource?, rebind: Bool, path: String
  ) throws(StagingError) {
    if binding.format > VolumeBinding.currentFormat {
      throw StagingError(
        code: "newer-format", operation: "open the staging volume", subject: escaped(path),
        reason: "it has format \(binding.format), and this program knows up to \(VolumeBinding.currentFormat)",
        advice: "upgrade sftp-to-s3", severity: .fatal)
    }
    guard let source, !rebind else { return }
    let asked = source.binding(volumeID: binding.volumeID)
    if !asked.hasSameSource(as: binding) {
      throw StagingError(
        code: "other-source", operation: "open the staging volume", subject: escaped(path),
        reason: "it mirrors \(escaped(binding.source)), not \(escaped(asked.source))",
        advice: "give each source a volume of its own; if the server has moved, run once with --rebind",
        severity: .configuration)
    }
  }

  /// Ties the volume to the source it was opened for, and records that: at its first use, or when a rebind was
  /// accepted. Called once the source has shown its folder, so that a mistyped setting binds nothing.
  package func bind() throws(StagingError) {
    guard let source else { return }
    let known = journal.withState { $0.binding }
    let volumeID = known?.volumeID ?? hex((0..<16).map { _ in UInt8.random(in: 0...255) })
    let binding = source.binding(volumeID: volumeID)
    if known?.hasSameSource(as: binding) != true { try journal.append([.volume(binding)]) }
  }

  private static func makeRunID() -> String { hex((0..<8).map { _ in UInt8.random(in: 0...255) }) }
}

/// Space that is kept so that a full disk still leaves room to record what is known.
enum Reserve {
  private static let name = Array("reserve".utf8)
  private static let size: UInt64 = 4 << 20

  /// Takes the space if it is not taken. On a full disk there is none to take, and that is no error.
  static func fill(_ fileSystem: any FileSystem, _ state: Int32) throws(SystemFailure) {
    if let there = try fileSystem.status(at: state, name), there.size == size { return }
    let file = Descriptor(try fileSystem.openFile(at: state, name, .readWrite), fileSystem)
    do throws(SystemFailure) {
      try fileSystem.allocate(file.number, bytes: size)
    } catch {
      guard ["enospc", "edquot", "eopnotsupp", "einval"].contains(error.code) else { throw error }
      try fileSystem.truncate(file.number, to: 0)
    }
    try file.close()
  }

  static func release(_ fileSystem: any FileSystem, _ state: Int32) -> Bool {
    do throws(SystemFailure) {
      guard let there = try fileSystem.status(at: state, name), there.size > 0 else { return false }
      try fileSystem.remove(at: state, name, isDirectory: false)
      return true
    } catch {
      // There is no space to gain then, and the caller reports the shortage itself.
      return false
    }
  }
}
