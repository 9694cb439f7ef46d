internal import Common
internal import Logging
internal import SFTP
internal import Staging
internal import Synchronization

/// What became of one file that was asked for, as far as the connection tells.
struct Arrival: Sendable {
  enum Event: Sendable {
    case bytes([UInt8])
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

/// Takes files from one connection into the volume. Three threads, each handing on to the next:
///
///     connection (this thread) ──bytes──▶ writer: tmp/, digests ──whole files──▶ committer: batches, journal, rename
final class Transfer: DownloadHandler {
  /// Bytes that may wait between the connection and the writer.
  private static let arrivalLimit = 64 << 20

  private let items: [FetchPlan.Item]
  private let remoteRoot: [UInt8]
  private let stop: StopSignal
  private let arrivals = BlockingQueue<Arrival>(maximumWeight: Transfer.arrivalLimit)
  private let outcome: TransferOutcome
  private var nextItem = 0

  init(items: [FetchPlan.Item], remoteRoot: [UInt8], stop: StopSignal, outcome: TransferOutcome) {
    self.items = items
    self.remoteRoot = remoteRoot
    self.stop = stop
    self.outcome = outcome
  }

  /// Runs until every file has ended one way or another and all whole ones are committed.
  /// - Throws: ``SFTPError`` when the connection failed, ``StagingError`` when the volume did; what was committed
  ///   before stays.
  func run(over connection: SFTPConnection, into volume: StagingVolume, commit: Committer, filesInFlight: Int) throws {
    let received = BlockingQueue<ReceivedFile>(maximumWeight: 4_096)
    let (items, arrivals, outcome) = (items, arrivals, outcome)
    let writer = Worker {
      ArrivalWriter(items: items, volume: volume, outcome: outcome, received: received).run(arrivals)
      received.close()
    }
    let committer = Worker { commit.run(received, outcome: outcome) }
    let ended = Result { try connection.download(self, filesInFlight: filesInFlight) }
    arrivals.close()
    writer.join()
    committer.join()
    if let failure = outcome.failure { throw failure }
    try ended.get()
  }

  func next() -> DownloadRequest? {
    guard nextItem < items.count, !stop.isRequested, outcome.failure == nil else { return nil }
    defer { nextItem += 1 }
    let item = items[nextItem]
    return DownloadRequest(token: nextItem, path: joinRemote(remoteRoot, item.path), expected: item.fingerprint)
  }

  func received(token: Int, bytes: [UInt8]) {
    arrivals.push(Arrival(token: token, event: .bytes(bytes)), weight: bytes.count)
  }

  func finished(token: Int, outcome: DownloadOutcome) {
    arrivals.push(Arrival(token: token, event: .ended(outcome)))
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
