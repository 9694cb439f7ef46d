package import Common
internal import Synchronization

/// An open staging volume: its directories, its lock when writing, its journal.
package final class StagingVolume: Sendable {
  package let fileSystem: any FileSystem
  package let journal: Journal
  /// What a person should know about this volume: overlayfs, a recovered tail.
  package let warnings: [String]
  package let path: String
  /// What the run mirrors; nil for a run that does not talk to the SFTP server.
  let source: VolumeSource?
  package let clock: Clock

  let directories: Directories
  private let nextTemporary = Atomic<UInt64>(0)
  /// The modification time of state/progress tells when a run last got anywhere: `health` reads it.
  package let heartbeat: Heartbeat
  /// Commits that were recorded and not finished: an error came between the record and the synchronised rename.
  private let unfinishedCommits = Atomic<Int>(0)
  package let runID: String
  /// Large files of which a part was here when the volume was opened.
  package let partials: [PartialFile]

  /// Descriptors of the volume's directories, open as long as the volume.
  struct Directories: Sendable {
    var root: Int32
    var files: Int32
    var journal: Int32
    var state: Int32
    var temporaries: Int32
    var lock: Int32

    var all: [Int32] { [files, journal, state, temporaries, lock, root] }
  }

  init(
    path: String, source: VolumeSource?, fileSystem: any FileSystem, directories: Directories, journal: Journal,
    clock: Clock, runID: String, warnings: [String], hasStuckFiles: Bool, partials: [PartialFile]
  ) {
    self.path = path
    self.source = source
    self.fileSystem = fileSystem
    self.directories = directories
    heartbeat = Heartbeat(directory: directories.state, name: "progress")
    self.journal = journal
    self.clock = clock
    self.runID = runID
    self.warnings = warnings
    self.partials = partials
    if hasStuckFiles { unfinishedCommits.add(1, ordering: .relaxed) }
  }

  deinit {
    // The lock goes with its descriptor. Everything durable was synchronised where it was written.
    for descriptor in directories.all { try? fileSystem.close(descriptor) }
  }

  /// The tree of staged files, for one thread.
  package func makeStagedFiles() -> StagedFiles {
    StagedFiles(fileSystem: fileSystem, root: directories.files, temporaries: directories.temporaries)
  }

  /// Makes an empty temporary file. Its name tells the run, so that recovery knows whose it is.
  package func makeTemporary() throws(SystemFailure) -> (name: String, descriptor: Int32) {
    let name = "\(runID)-\(nextTemporary.add(1, ordering: .relaxed).newValue)"
    return (name, try fileSystem.openFile(at: directories.temporaries, Array(name.utf8), .createNew))
  }

  package func removeTemporary(_ name: String) throws(SystemFailure) {
    try fileSystem.remove(at: directories.temporaries, Array(name.utf8), isDirectory: false)
  }

  /// Makes the content and the names of closed temporary files survive a power cut: few by fsync each, many by one
  /// syncfs.
  package func synchronizeTemporaries(_ names: [String]) throws(SystemFailure) {
    if names.count > 8 {
      try fileSystem.synchronize(directories.temporaries, .wholeFileSystem)
      return
    }
    for name in names {
      let file = Descriptor(
        try fileSystem.openFile(at: directories.temporaries, Array(name.utf8), .read), fileSystem)
      try fileSystem.synchronize(file.number, .full)
      try file.close()
    }
    if !names.isEmpty { try fileSystem.synchronize(directories.temporaries, .full) }
  }

  /// Runs what records a change and then makes it: append, rename or remove, synchronise. When it fails in between, the
  /// next start must find its records: so this run writes no checkpoint, and calls nothing drift.
  package func commit<Result>(_ body: () throws(StagingError) -> Result) throws(StagingError) -> Result {
    unfinishedCommits.add(1, ordering: .acquiringAndReleasing)
    let result = try body()
    unfinishedCommits.subtract(1, ordering: .acquiringAndReleasing)
    return result
  }

  /// True when files/ may lack what the journal says it holds, until the next start has mended it.
  package var hasUnfinishedCommits: Bool { unfinishedCommits.load(ordering: .acquiring) > 0 }

  /// The file that keys trusted on first use are kept in.
  package var knownHostsPath: String { path + "/known_hosts" }

  package func loadObservations() throws(SystemFailure) -> Observations {
    try Observations.read(at: directories.state, clock, fileSystem)
  }

  /// Keeps the observations for the next run. Not synchronised: losing them costs time, never truth.
  package func save(_ observations: Observations) throws(SystemFailure) {
    try observations.write(to: directories.state, clock, fileSystem)
  }

  /// Writes a checkpoint when reading the records since the last one would take longer than it is worth.
  package func checkpointIfWorthwhile() throws(SystemFailure) {
    let (records, known) = (journal.recordsSinceCheckpoint, journal.withState { $0.paths.count })
    if records > 1_000, records > UInt64(known / 10) { try writeCheckpoint() }
  }

  /// Writes a checkpoint, unless a commit is unfinished: a start looks for interrupted renames only after the
  /// checkpoint, so every rename before it must be durable.
  package func writeCheckpoint() throws(SystemFailure) {
    if hasUnfinishedCommits { return }
    try fileSystem.synchronize(directories.root, .wholeFileSystem)
    try journal.checkpoint().write(to: directories.state, fileSystem)
  }

  package func writeStatus(_ content: [UInt8]) throws(SystemFailure) {
    try fileSystem.replaceFile(at: directories.root, "status.json", with: content, durable: false)
  }

  package func readStatus() throws(SystemFailure) -> [UInt8]? {
    try fileSystem.content(at: directories.root, "status.json")
  }
}
