internal import Common
internal import Logging
internal import SFTP
internal import Staging
internal import Synchronization

/// What became of one file that was asked for, as far as the connection tells.
struct Arrival: Sendable {
  enum Event: Sendable {
    case bytes([UInt8])
    /// The connection broke: the file begins anew.
    case restarted
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
}

/// What a transfer did, for the summary.
package struct TransferCounts: Sendable, Equatable {
  package var fetched: UInt64 = 0
  package var fetchedBytes: UInt64 = 0
  /// Changed while they were read; seen anew by the next run.
  package var changed: UInt64 = 0
  /// Deleted between listing and reading.
  package var vanished: UInt64 = 0
  package var failed: UInt64 = 0
}

/// Takes files from the server into the volume. Threads, each handing on to the next:
///
///     connections ──bytes──▶ writers: tmp/, digests ──whole files──▶ committer: batches, journal, rename
final class Transfer: DownloadHandler {
  /// Threads that write and compute digests; the files are dealt out among them.
  private static let writerCount = 2
  /// Bytes that may wait between the connections and one writer.
  private static let arrivalLimit = 32 << 20

  private let items: [FetchPlan.Item]
  private let remoteRoot: [UInt8]
  private let stop: StopSignal
  private let arrivals = (0..<Transfer.writerCount).map { _ in
    BlockingQueue<Arrival>(maximumWeight: Transfer.arrivalLimit)
  }
  private let outcome: TransferOutcome
  private let nextItem = Mutex(0)

  init(items: [FetchPlan.Item], remoteRoot: [UInt8], stop: StopSignal, outcome: TransferOutcome) {
    self.items = items
    self.remoteRoot = remoteRoot
    self.stop = stop
    self.outcome = outcome
  }

  /// Runs until every file has ended one way or another and all whole ones are committed.
  /// - Throws: ``SFTPError`` when no connection was left, ``StagingError`` when the volume failed; what was committed
  ///   before stays.
  func run(over pool: ConnectionPool, into volume: StagingVolume, commit: Committer, filesInFlight: Int) throws {
    let received = BlockingQueue<ReceivedFile>(maximumWeight: 4_096)
    let (items, outcome) = (items, outcome)
    let writers = arrivals.map { arrivals in
      Worker { ArrivalWriter(items: items, volume: volume, outcome: outcome, received: received).run(arrivals) }
    }
    let committer = Worker { commit.run(received, outcome: outcome) }
    let ended = Result {
      try pool.download(self, filesInFlight: filesInFlight, usefulConnections: usefulConnections(filesInFlight))
    }
    for queue in arrivals { queue.close() }
    for writer in writers { writer.join() }
    received.close()
    committer.join()
    if let failure = outcome.failure { throw failure }
    try ended.get()
  }

  /// A connection costs both ends something: another one is worth it for every so many small files, or a large one.
  private func usefulConnections(_ filesInFlight: Int) -> Int {
    let large = items.count { $0.fingerprint.size >= ConnectionPool.largeFileBytes }
    return max(1, large, (items.count + filesInFlight - 1) / max(1, filesInFlight))
  }

  func next() -> DownloadRequest? {
    guard !stop.isRequested, outcome.failure == nil else { return nil }
    let token = nextItem.withLock { next in
      defer { next += 1 }
      return next
    }
    return token < items.count ? request(token) : nil
  }

  func received(token: Int, bytes: [UInt8]) {
    hand(Arrival(token: token, event: .bytes(bytes)), weight: bytes.count)
  }

  func interrupted(token: Int) -> DownloadRequest {
    hand(Arrival(token: token, event: .restarted))
    return request(token)
  }

  func finished(token: Int, outcome: DownloadOutcome) { hand(Arrival(token: token, event: .ended(outcome))) }

  private func request(_ token: Int) -> DownloadRequest {
    let item = items[token]
    return DownloadRequest(token: token, path: joinRemote(remoteRoot, item.path), expected: item.fingerprint)
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
  }

  private let inner = Mutex(Inner())

  var counts: TransferCounts { inner.withLock { $0.counts } }
  var failure: StagingError? { inner.withLock { $0.failure } }
  var failedItems: [(path: RemotePath, error: any Failure)] { inner.withLock { $0.failedItems } }
  var changedItems: [FetchPlan.Item] { inner.withLock { $0.changedItems } }

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

  func note(committed files: [ReceivedFile]) {
    inner.withLock {
      $0.counts.fetched += UInt64(files.count)
      $0.counts.fetchedBytes += files.reduce(0) { $0 + $1.item.fingerprint.size }
    }
  }
}
