internal import Common
internal import Logging
internal import SFTP
internal import Staging
internal import Synchronization

/// What became of one file that was asked for, as far as the connection tells.
struct Arrival: Sendable {
  enum Event: Sendable {
    case bytes([UInt8])
    /// A part of it was there: what comes begins at its `position`.
    case resumed(ArrivingFile)
    /// The connection broke: what comes now begins at this offset. What came before stays, unless that is 0.
    case restarted(at: UInt64)
    case ended(DownloadOutcome)
  }

  let token: Int
  let event: Event
}

/// A whole file in tmp/, closed, with its modification time set, not yet durable.
struct ReceivedFile: Sendable {
  let item: FetchPlan.Item
  let temporary: String
  let sha256: SHA256Digest
  let md5: MD5Digest?

  /// It may have a sidecar.
  var isLarge: Bool { item.fingerprint.size >= Resumption.leastFileBytes }
}

/// What a transfer did, for the summary.
package struct TransferCounts: Sendable, Equatable {
  package var fetched: UInt64 = 0
  package var fetchedBytes: UInt64 = 0
  /// Bytes that an earlier run had received, of files that this one went on with.
  package var resumedBytes: UInt64 = 0
  /// Changed while they were read; seen anew by the next run.
  package var changed: UInt64 = 0
  /// Deleted between listing and reading.
  package var vanished: UInt64 = 0
  package var failed: UInt64 = 0
  /// Read again, since their times were adopted, and the same.
  package var proven: UInt64 = 0
}

/// Takes files from the server into the volume. Threads, each handing on to the next:
///
///     connections ──bytes──▶ writers: tmp/, digests ──whole files──▶ committer: batches, journal, rename
///                                   └──large files──▶ keeper: durable parts, sidecars ──┘
final class Transfer: DownloadHandler {
  /// What is to be fetched, and what is known of it.
  struct Work {
    var items: ListedFileSelection
    var remoteRoot: [UInt8]
    /// Parts that earlier runs left, by the item's place.
    var partials: [Int: PartialFile] = [:]
    var held = HeldFiles.none
    /// SFTP_RESUME.
    var resumes = true
  }

  /// Threads that write and compute digests; the files are dealt out among them.
  private static let writerCount = 2
  /// Bytes that may wait between the connections and one writer.
  private static let arrivalLimit = 8 << 20

  private let work: Work
  private let desk: RequestDesk
  private let stop: StopSignal
  private let logger: Logger
  private let arrivals = (0..<Transfer.writerCount).map { _ in
    BlockingQueue<Arrival>(maximumWeight: Transfer.arrivalLimit)
  }
  private let outcome: TransferOutcome

  init(_ work: Work, stop: StopSignal, outcome: TransferOutcome, logger: Logger) {
    self.work = work
    desk = RequestDesk(work.items, partials: Set(work.partials.keys), held: work.held, resumes: work.resumes)
    self.stop = stop
    self.outcome = outcome
    self.logger = logger
  }

  /// Runs until every file has ended one way or another and all whole ones are committed.
  /// - Throws: ``SFTPError`` when no connection was left, ``StagingError`` when the volume failed; what was committed
  ///   before stays.
  func run(over pool: ConnectionPool, into volume: StagingVolume, commit: Committer, filesInFlight: Int) throws {
    let received = BlockingQueue<ReceivedFile>(maximumWeight: 4_096)
    let (items, desk, outcome, logger) = (work.items, desk, outcome, logger)
    let keeper = PartialKeeper(volume: volume, outcome: outcome, received: received, stop: stop)
    let writers = arrivals.map { arrivals in
      Worker {
        var writer = ArrivalWriter(
          items: items, volume: volume, desk: desk, keeper: keeper, outcome: outcome, received: received,
          logger: logger)
        writer.run(arrivals)
      }
    }
    let keeping = Worker { keeper.run() }
    let committer = Worker { commit.run(received, outcome: outcome) }
    let prover = Worker { self.prove(in: volume) }
    let ended = Result {
      try pool.download(self, filesInFlight: filesInFlight, usefulConnections: usefulConnections(filesInFlight))
    }
    prover.join()
    for queue in arrivals { queue.close() }
    for writer in writers { writer.join() }
    keeper.close()
    keeping.join()
    received.close()
    committer.join()
    if let failure = outcome.failure {
      // What has come of files that did not fit must not keep others from fitting.
      if failure.severity == .guarded { try? volume.removeAllPartials(except: outcome.recorded) }
      throw failure
    }
    try ended.get()
  }

  /// A connection costs both ends something: another one is worth it for every so many small files, or a large one.
  private func usefulConnections(_ filesInFlight: Int) -> Int {
    let large = work.items.indices.count { work.items.fingerprint(at: $0).size >= ConnectionPool.largeFileBytes }
    return max(1, large, (work.items.count + filesInFlight - 1) / max(1, filesInFlight))
  }

  /// Looks at the parts that earlier runs left, while files without one are being read.
  private func prove(in volume: StagingVolume) {
    let proof = PartialProof(volume: volume, stop: stop)
    for (token, partial) in work.partials.sorted(by: { $0.key < $1.key }) {
      if outcome.failure != nil { return }
      switch proof.examine(partial) {
      case .proved(let file):
        logger.info(
          "going on with a file where it was interrupted",
          metadata: ["path": "\(partial.path)", "offset": "\(partial.offset)", "size": "\(partial.fingerprint.size)"])
        hand(Arrival(token: token, event: .resumed(file)))
        outcome.note(resumedBytes: file.position)
        desk.resume(token, after: partial.offset)
      case .unfit(let reason):
        logger.warning(
          "cannot go on with a file where it was interrupted; it begins anew",
          metadata: ["path": "\(partial.path)", "reason": "\(reason)"])
        do throws(SystemFailure) {
          try volume.removePartial(partial.temporary)
        } catch {
          outcome.end(.broken(error, doing: "remove what had come of a large file"))
        }
        desk.beginAnew(token)
      case .stopped: return
      }
    }
  }

  func next() -> NextDownload {
    guard !stop.isRequested, outcome.failure == nil else { return .none }
    return switch desk.next() {
    case .file(let token, let start): .file(request(token, startAt: start))
    case .later: .later
    case .none: .none
    }
  }

  func received(token: Int, bytes: [UInt8]) -> Bool {
    hand(Arrival(token: token, event: .bytes(bytes)), weight: bytes.count)
    return desk.hand(bytes.count, of: token) && outcome.failure == nil
  }

  func interrupted(token: Int) -> DownloadRequest {
    let start = desk.interrupted(token)
    hand(Arrival(token: token, event: .restarted(at: start)))
    return request(token, startAt: start)
  }

  func finished(token: Int, outcome: DownloadOutcome) { hand(Arrival(token: token, event: .ended(outcome))) }

  private func request(_ token: Int, startAt: UInt64) -> DownloadRequest {
    let item = work.items[token]
    return DownloadRequest(
      token: token, path: joinRemote(work.remoteRoot, item.path), expected: item.fingerprint, startAt: startAt)
  }

  private func hand(_ arrival: Arrival, weight: Int = 1) {
    arrivals[arrival.token % Self.writerCount].push(arrival, weight: weight)
  }
}

/// What the threads of a transfer found out, and the error that ends it.
final class TransferOutcome: Sendable {
  private struct Inner {
    var counts = TransferCounts()
    var failure: StagingError?
    var failedItems: [(path: RemotePath, error: any Failure)] = []
    var changedItems: [FetchPlan.Item] = []
    var recorded: Set<String> = []
  }

  private let inner = Mutex(Inner())

  var counts: TransferCounts { inner.withLock { $0.counts } }
  var failure: StagingError? { inner.withLock { $0.failure } }
  var failedItems: [(path: RemotePath, error: any Failure)] { inner.withLock { $0.failedItems } }
  var changedItems: [FetchPlan.Item] { inner.withLock { $0.changedItems } }
  /// Names in tmp/ of large files that the journal may claim: the next start installs what is not installed.
  var recorded: Set<String> { inner.withLock { $0.recorded } }

  /// Ends the transfer; the first error is the one that counts.
  func end(_ error: StagingError) { inner.withLock { $0.failure = $0.failure ?? error } }

  func note(_ error: any Failure, on path: RemotePath) {
    inner.withLock {
      if error.code == "no-such-file" {
        $0.counts.vanished += 1
      } else {
        $0.counts.failed += 1
        $0.failedItems.append((path, error))
      }
    }
  }

  func note(changed item: FetchPlan.Item) {
    inner.withLock {
      $0.counts.changed += 1
      $0.changedItems.append(item)
    }
  }

  func note(resumedBytes bytes: UInt64) { inner.withLock { $0.counts.resumedBytes += bytes } }

  func note(provenFiles count: Int) { inner.withLock { $0.counts.proven += UInt64(count) } }

  /// To be called before the journal claims them.
  func note(recording files: [ReceivedFile]) {
    inner.withLock { for file in files where file.isLarge { $0.recorded.insert(file.temporary) } }
  }

  func note(committed files: [ReceivedFile]) {
    inner.withLock {
      $0.counts.fetched += UInt64(files.count)
      $0.counts.fetchedBytes += files.reduce(0) { $0 + $1.item.fingerprint.size }
    }
  }
}
