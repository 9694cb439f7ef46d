internal import Common
internal import Synchronization

/// The journal of a volume, open for appending: the chain's end and the fold of everything before it.
///
/// Appends are batches: a batch is one write and one fdatasync, and the next is not written before it is durable.
package final class Journal: Sendable {
  /// The segment in use is sealed when it has grown to this many bytes.
  package static let segmentLimit: UInt64 = 64 << 20
  /// Records of a batch, at most, where there may be any number.
  private static let batchLimit = 10_000

  private struct Inner {
    var position: JournalPosition
    var state: MirrorState
    /// The open segment; nil until the first append to it.
    var segment: Int32?
    /// Written before the first other record of this run.
    var runStart: RunStart?
    var hasRecorded = false
    /// Records that a start without a newer checkpoint would have to read again.
    var sinceCheckpoint: UInt64
    /// Set when an append failed: nothing may be appended any more.
    var broken: StagingError?
  }

  private let fileSystem: any FileSystem
  private let directory: Int32
  private let runID: String
  private let clock: Clock
  private let segmentLimit: UInt64
  /// Gives back the space that is kept for hard times; true when there was some.
  private let releaseReserve: @Sendable () -> Bool
  private let inner: Mutex<Inner>

  /// - Parameter directory: descriptor of journal/; the journal does not close it.
  init(
    _ loaded: LoadedJournal, fileSystem: any FileSystem, directory: Int32, runID: String, runStart: RunStart,
    clock: Clock, segmentLimit: UInt64 = Journal.segmentLimit, releaseReserve: @escaping @Sendable () -> Bool
  ) {
    self.fileSystem = fileSystem
    self.directory = directory
    self.runID = runID
    self.clock = clock
    self.segmentLimit = segmentLimit
    self.releaseReserve = releaseReserve
    inner = Mutex(
      Inner(
        position: loaded.position, state: loaded.state, runStart: runStart, sinceCheckpoint: loaded.replayed))
  }

  deinit {
    // Durable already; nothing that close could report would change what is recorded.
    inner.withLock { if let segment = $0.segment { try? fileSystem.close(segment) } }
  }

  /// Looks at the fold. Keep it short: appends wait.
  package func withState<Result>(_ body: (borrowing MirrorState) throws -> sending Result) rethrows -> sending Result {
    try inner.withLock { try body($0.state) }
  }

  package var state: MirrorState { inner.withLock { $0.state } }
  /// True once this run has appended a record.
  package var hasRecorded: Bool { inner.withLock { $0.hasRecorded } }
  /// Records that a start without a newer checkpoint would have to fold again.
  var recordsSinceCheckpoint: UInt64 { inner.withLock { $0.sinceCheckpoint } }
  var position: JournalPosition { inner.withLock { $0.position } }
  /// Tells what the `run` record of this run shall say of the server, once that is known.
  package func noteHostKey(_ fingerprint: String?) {
    inner.withLock { $0.runStart?.hostKey = fingerprint }
  }

  /// Appends entries as one batch and returns when they are durable and folded.
  /// - Returns: the `seq` of the first of the entries; the others follow without gaps.
  /// - Throws: ``StagingError``; then nothing of the batch is in the journal, and later appends fail the same way.
  @discardableResult
  package func append(_ entries: [JournalEntry]) throws(StagingError) -> UInt64 {
    let result: Result<UInt64, StagingError> = inner.withLock { inner in
      do throws(StagingError) {
        return .success(try append(entries, to: &inner))
      } catch {
        inner.broken = error
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Appends any number of entries in batches of bounded size, so that neither memory nor a segment outgrows its limit.
  package func appendInBatches(_ entries: [JournalEntry]) throws(StagingError) {
    var rest = entries[...]
    while !rest.isEmpty {
      try append(Array(rest.prefix(Self.batchLimit)))
      rest = rest.dropFirst(Self.batchLimit)
    }
  }

  private func append(_ entries: [JournalEntry], to inner: inout Inner) throws(StagingError) -> UInt64 {
    if let broken = inner.broken { throw broken }
    guard !entries.isEmpty else { return inner.position.seq + 1 }
    var entries = entries
    var lead: UInt64 = 0
    if let start = inner.runStart {
      entries.insert(.run(start), at: 0)
      lead = 1
    }
    let first = inner.position.seq + 1
    try write(entries, to: &inner)
    inner.runStart = nil
    inner.hasRecorded = true
    inner.sinceCheckpoint += UInt64(entries.count)
    if inner.position.offset >= segmentLimit { try seal(&inner) }
    return first + lead
  }

  /// One batch: encode, write, make durable, then fold.
  private func write(_ entries: [JournalEntry], to inner: inout Inner) throws(StagingError) {
    let segment = try openSegment(&inner)
    let offset = inner.position.offset
    let size = try onVolume("check the journal") { () throws(SystemFailure) in try fileSystem.status(of: segment).size }
    guard size == offset else {
      throw StagingError(
        code: "second-writer", operation: "append to the journal", subject: segmentName(inner.position.segment),
        reason: "it is \(size) bytes long where this run left \(offset)",
        advice: "another process writes to this volume; run only one, and mount it where flock works", severity: .fatal)
    }
    let first = inner.position.seq + 1
    let now = clock.wallMilliseconds()
    var records: [JournalRecord] = []
    var head = inner.position.head
    var bytes: [UInt8] = []
    for (index, entry) in entries.enumerated() {
      let record = JournalRecord(
        seq: first + UInt64(index), wallMilliseconds: now, run: runID, batch: first, entry: entry)
      let encoded = JournalLine.encode(record, after: head)
      bytes.append(contentsOf: encoded.line)
      bytes.append(0x0a)
      head = encoded.head
      records.append(record)
    }
    do throws(SystemFailure) {
      try writeDurably(bytes, to: segment, at: offset)
    } catch {
      throw .broken(error, doing: "append to the journal")
    }
    inner.position.seq = first + UInt64(entries.count) - 1
    inner.position.head = head
    inner.position.offset = offset + UInt64(bytes.count)
    for record in records { inner.state.apply(record) }
  }

  /// Writes and syncs. A write that failed is undone, and tried once more with the reserve released when space ran
  /// out. A sync that failed is never tried again: the kernel may have dropped the pages.
  private func writeDurably(_ bytes: [UInt8], to segment: Int32, at offset: UInt64) throws(SystemFailure) {
    do throws(SystemFailure) {
      try fileSystem.writeAll(segment, bytes, at: offset)
    } catch {
      try fileSystem.truncate(segment, to: offset)
      guard error.code == "enospc" || error.code == "edquot", releaseReserve() else { throw error }
      do throws(SystemFailure) {
        try fileSystem.writeAll(segment, bytes, at: offset)
      } catch {
        try fileSystem.truncate(segment, to: offset)
        throw error
      }
    }
    do throws(SystemFailure) {
      try fileSystem.synchronize(segment, .data)
    } catch {
      try fileSystem.truncate(segment, to: offset)
      throw error
    }
  }

  private func openSegment(_ inner: inout Inner) throws(StagingError) -> Int32 {
    if let open = inner.segment { return open }
    let name = Array(segmentName(inner.position.segment).utf8)
    let descriptor = try onVolume("open the journal") { () throws(SystemFailure) in
      let opened = try fileSystem.openFile(at: directory, name, .readWrite)
      // A new segment's name must be as durable as what is written to it.
      try fileSystem.synchronize(directory, .full)
      return opened
    }
    inner.segment = descriptor
    return descriptor
  }

  private func seal(_ inner: inout Inner) throws(StagingError) {
    try write([.sealed(size: inner.position.offset)], to: &inner)
    inner.position.sealed.append(SealedSegment(size: inner.position.offset, head: inner.position.head))
    inner.position.offset = 0
    if let segment = inner.segment {
      inner.segment = nil
      try onVolume("close the journal") { () throws(SystemFailure) in try fileSystem.close(segment) }
    }
  }

  /// The journal's position and fold at one instant, for a checkpoint.
  func checkpoint() -> Checkpoint { inner.withLock { Checkpoint(position: $0.position, state: $0.state) } }
}
