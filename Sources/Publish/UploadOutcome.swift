internal import Common
internal import S3
internal import Staging
internal import Synchronization

/// What the threads of an upload found out, and the error of the volume that ends it.
final class UploadOutcome: Sendable {
  private struct Inner {
    var published: UInt64 = 0
    var publishedBytes: UInt64 = 0
    var failure: StagingError?
    var failed: [(item: PublishPlan.Item, error: any Failure)] = []
    var drifted: [(item: PublishPlan.Item, what: String)] = []
  }

  private let inner = Mutex(Inner())

  var published: (files: UInt64, bytes: UInt64) { inner.withLock { ($0.published, $0.publishedBytes) } }
  var failure: StagingError? { inner.withLock { $0.failure } }
  var failed: [(item: PublishPlan.Item, error: any Failure)] { inner.withLock { $0.failed } }
  var drifted: [(item: PublishPlan.Item, what: String)] { inner.withLock { $0.drifted } }

  /// Ends the upload; the first error is the one that counts.
  func end(_ error: StagingError) { inner.withLock { $0.failure = $0.failure ?? error } }
  func note(_ item: PublishPlan.Item, failedWith error: any Failure) {
    inner.withLock { $0.failed.append((item, error)) }
  }
  func note(_ item: PublishPlan.Item, drift what: String) { inner.withLock { $0.drifted.append((item, what)) } }

  func note(recorded objects: [Confirmed]) {
    inner.withLock {
      $0.published += UInt64(objects.count)
      $0.publishedBytes += objects.reduce(0) { $0 + $1.item.fingerprint.size }
    }
  }
}

/// Appends `published` for what the server has confirmed: everything that came while the last append was being made
/// durable goes into the next one. One thread.
struct Recorder: Sendable {
  let volume: StagingVolume
  let destination: Destination

  /// Works until the queue is closed and drained.
  func run(_ confirmed: BlockingQueue<Confirmed>, outcome: UploadOutcome) {
    while true {
      let batch = confirmed.popAll(waitingFor: 256, patienceSeconds: 0.1)
      if batch.isEmpty { return }
      if outcome.failure != nil { continue }
      do throws(StagingError) {
        try volume.journal.append(batch.map(entry))
        outcome.note(recorded: batch)
        volume.heartbeat.beat()
      } catch {
        outcome.end(error)
      }
    }
  }

  private func entry(for object: Confirmed) -> JournalEntry {
    .published(
      PublishedObject(
        path: object.item.path, generation: object.item.generation, destination: destination.description,
        etag: object.receipt.etag, bytesSent: object.item.fingerprint.size, sha256: object.item.sha256, md5: object.md5,
        versionID: object.receipt.versionID, requestID: object.receipt.requestID))
  }
}
