internal import Common
internal import Staging

/// Makes received files part of the mirror, in batches: sync the temporary files → append `fetched` → fdatasync →
/// rename → sync the directories. One thread.
struct Committer: Sendable {
  /// A batch is made of what has arrived meanwhile; it waits for this many files, but not longer than this.
  static let batchFiles = 1_024
  static let batchPatienceSeconds = 0.3

  let volume: StagingVolume
  let destination: Destination?
  let hostKey: String?

  /// Works until the queue is closed and drained.
  func run(_ received: BlockingQueue<ReceivedFile>, outcome: TransferOutcome) {
    let staged = volume.makeStagedFiles()
    while true {
      let batch = received.popAll(waitingFor: Self.batchFiles, patienceSeconds: Self.batchPatienceSeconds)
      if batch.isEmpty { return }
      if outcome.failure != nil { continue }
      do throws(StagingError) {
        try commit(batch, staged, outcome)
      } catch {
        outcome.end(error)
      }
    }
  }

  private func commit(
    _ batch: [ReceivedFile], _ staged: StagedFiles, _ outcome: TransferOutcome
  ) throws(StagingError) {
    let files = try prepare(try settleProven(batch, outcome), staged, outcome)
    if files.isEmpty { return }
    try onVolume("make fetched files durable") { () throws(SystemFailure) in
      try volume.synchronizeTemporaries(files.map(\.temporary))
    }
    outcome.note(recording: files)
    try volume.commit { () throws(StagingError) in
      try volume.journal.append(entries(for: files))
      try onVolume("move fetched files into place") { () throws(SystemFailure) in
        for file in files { try staged.install(temporary: file.temporary, as: file.item.path) }
        try staged.synchronizeChanges()
      }
    }
    try onVolume("forget what had come of large files") { () throws(SystemFailure) in
      for file in files where file.isLarge { try volume.removeSidecar(of: file.temporary) }
    }
    outcome.note(committed: files)
    volume.heartbeat.beat()
  }

  /// Leaves out the files that were read only to prove what is staged, and have done so: records that, and gives their
  /// bytes up.
  ///
  /// | staged, live, not drifted | unproven, same fingerprint | same SHA-256 | then |
  /// |---|---|---|---|
  /// | yes | yes | yes | `proven` |
  /// | otherwise | | | a new generation |
  private func settleProven(
    _ batch: [ReceivedFile], _ outcome: TransferOutcome
  ) throws(StagingError) -> [ReceivedFile] {
    let generations: [UInt64?] = volume.journal.withState { state in
      batch.map { file in
        guard let known = state.paths[file.item.path], known.isMirrored, known.isUnproven, !known.hasDrifted,
          known.fingerprint == file.item.fingerprint, known.sha256 == file.sha256
        else { return nil }
        return known.generation
      }
    }
    let proven = zip(batch, generations).compactMap { file, generation in generation.map { (file, $0) } }
    if proven.isEmpty { return batch }
    try volume.journal.append(proven.map { .proven(path: $0.item.path, generation: $1) })
    try onVolume("remove what was read as a proof") { () throws(SystemFailure) in
      for (file, _) in proven { try volume.removePartial(file.temporary) }
    }
    outcome.note(provenFiles: proven.count)
    volume.heartbeat.beat()
    return zip(batch, generations).compactMap { file, generation in generation == nil ? file : nil }
  }

  /// Leaves out the files whose place is taken by something that is not ours: each is a failure of its own, and
  /// must be found before the journal says that the file is staged.
  private func prepare(
    _ batch: [ReceivedFile], _ staged: StagedFiles, _ outcome: TransferOutcome
  ) throws(StagingError) -> [ReceivedFile] {
    var files: [ReceivedFile] = []
    for file in batch {
      do throws(SystemFailure) {
        try staged.prepare(file.item.path)
        files.append(file)
      } catch {
        guard error.isAboutThePlace else { throw .broken(error, doing: "make room for fetched files") }
        outcome.note(
          StagingError(
            code: "place-taken", operation: "stage", subject: file.item.path.description,
            reason: "something that this program did not put there stands in files/ (\(error.reason))",
            advice: "move it out of the staging volume", severity: .item), on: file.item.path)
        try onVolume("remove a temporary file") { () throws(SystemFailure) in
          try volume.removePartial(file.temporary)
        }
      }
    }
    return files
  }

  /// The records of a batch: each new generation, and what it overtakes before that was published.
  private func entries(for files: [ReceivedFile]) -> [JournalEntry] {
    volume.journal.withState { state in
      files.flatMap { file -> [JournalEntry] in
        let fetched = JournalEntry.fetched(
          FetchedFile(
            path: file.item.path, fingerprint: file.item.fingerprint, sha256: file.sha256, md5: file.md5,
            temporary: file.temporary, hostKey: hostKey))
        guard let before = state.paths[file.item.path], state.isPending(before, for: destination) else {
          return [fetched]
        }
        return [fetched, .superseded(path: file.item.path, generation: before.generation)]
      }
    }
  }
}
