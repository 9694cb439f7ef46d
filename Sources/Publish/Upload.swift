internal import Common
internal import S3
internal import Staging
internal import Synchronization

/// A file read and proved, ready to be sent; or why it is not sent.
enum Prepared: Sendable {
  case request(PutRequest)
  case drift(token: Int, what: String)
  case failed(token: Int, any Failure)
}

/// Hands prepared files to the S3 client and takes its answers. `next` and `finished` run on the client's thread.
final class UploadQueue: PutQueue {
  private let items: [PublishPlan.Item]
  private let prepared: BlockingQueue<Prepared>
  private let confirmed: BlockingQueue<Confirmed>
  private let outcome: UploadOutcome
  private let stop: StopSignal
  private let fileSystem: any FileSystem
  /// What each request in flight was made of: digests for the record, a descriptor to close.
  private var inFlight: [Int: PutRequest] = [:]

  init(
    items: [PublishPlan.Item], prepared: BlockingQueue<Prepared>, confirmed: BlockingQueue<Confirmed>,
    outcome: UploadOutcome, stop: StopSignal, fileSystem: any FileSystem
  ) {
    self.items = items
    self.prepared = prepared
    self.confirmed = confirmed
    self.outcome = outcome
    self.stop = stop
    self.fileSystem = fileSystem
  }

  func next() -> PutNext {
    while !stop.isRequested, outcome.failure == nil {
      switch prepared.tryPop() {
      case (.request(let request), _):
        inFlight[request.token] = request
        return .request(request)
      case (.drift(let token, let what), _): outcome.note(items[token], drift: what)
      case (.failed(let token, let error), _): outcome.note(items[token], failedWith: error)
      case (nil, let isFinished): return isFinished ? .exhausted : .notYet
      }
    }
    return .exhausted
  }

  func finished(_ result: PutResult) {
    guard let request = inFlight.removeValue(forKey: result.token) else { return }
    release(request)
    switch result.outcome {
    case .success(let receipt):
      confirmed.push(Confirmed(item: items[result.token], md5: request.md5, receipt: receipt))
    case .failure(let error): outcome.note(items[result.token], failedWith: error)
    }
  }

  /// Gives up what was prepared and never handed out.
  func abandonPrepared() {
    prepared.close()
    while case (.some(let left), _) = prepared.tryPop() {
      if case .request(let request) = left { release(request) }
    }
  }

  private func release(_ request: PutRequest) { request.body.close(fileSystem) }
}

extension PutBody {
  /// Closes the descriptor that a large body is read from.
  fileprivate func close(_ fileSystem: any FileSystem) {
    // Opened for reading only: close has nothing to report.
    if case .file(let descriptor, _) = self { try? fileSystem.close(descriptor) }
  }
}

/// An object that the server has confirmed and the journal does not know yet.
struct Confirmed: Sendable {
  let item: PublishPlan.Item
  let md5: MD5Digest
  let receipt: PutReceipt
}

/// Opens staged files, proves them against the journal, and makes requests of them. Several threads may run one each.
struct UploadPreparer: Sendable {
  /// Up to this size a file is read into memory once; above it is read twice from one descriptor. Hundreds of bodies
  /// may be waiting for a retry at once, so it is small.
  static let memoryLimit: UInt64 = 512 << 10
  /// What a large body counts in the queue for the descriptor it keeps open.
  private static let descriptorWeight = 1 << 20
  private static let pieceSize = 1 << 20

  let items: [PublishPlan.Item]
  let nextItem: SharedCounter
  let volume: StagingVolume
  let prepared: BlockingQueue<Prepared>
  let wake: @Sendable () -> Void
  let shouldEnd: @Sendable () -> Bool

  func run() {
    let staged = volume.makeStagedFiles()
    while !shouldEnd() {
      let token = nextItem.take()
      guard token < items.count else { return }
      let result: Prepared
      do throws(SystemFailure) {
        result = try prepare(token, staged)
      } catch {
        result = .failed(token: token, unreadable(items[token].path, error))
      }
      var weight = 1
      if case .request(let request) = result {
        if case .bytes(let bytes) = request.body { weight += bytes.count } else { weight += Self.descriptorWeight }
      }
      if !prepared.push(result, weight: weight), case .request(let request) = result {
        request.body.close(volume.fileSystem)
      }
      wake()
    }
  }

  private func unreadable(_ path: RemotePath, _ error: SystemFailure) -> PhaseFailure {
    PhaseFailure(
      code: "staged-unreadable", operation: "read from the staging volume", subject: path.description,
      reason: error.reason, advice: "check the disk under the staging volume", severity: .item)
  }

  private func prepare(_ token: Int, _ staged: StagedFiles) throws(SystemFailure) -> Prepared {
    let item = items[token]
    guard let descriptor = try staged.openForReading(item.path) else { return .drift(token: token, what: "missing") }
    let file = Descriptor(descriptor, volume.fileSystem)
    guard try volume.fileSystem.status(of: descriptor).size == item.fingerprint.size else {
      return .drift(token: token, what: "size")
    }
    var hasher = ContentHasher(withMD5: item.md5 == nil)
    let isSmall = item.fingerprint.size <= Self.memoryLimit
    let body: PutBody
    if isSmall {
      let bytes = try volume.fileSystem.readAll(descriptor, from: 0, count: Int(item.fingerprint.size))
      hasher.update(bytes)
      body = .bytes(bytes)
    } else {
      var offset: UInt64 = 0
      while offset < item.fingerprint.size, !shouldEnd() {
        let piece = try volume.fileSystem.readAll(descriptor, from: offset, count: Self.pieceSize)
        if piece.isEmpty { break }
        hasher.update(piece)
        offset += UInt64(piece.count)
        volume.heartbeat.beat()
      }
      body = .file(descriptor: descriptor, size: item.fingerprint.size)
    }
    if shouldEnd() { return .failed(token: token, PhaseFailure.stopped("publish")) }
    guard hasher.sha256() == item.sha256, let md5 = item.md5 ?? hasher.md5Digest() else {
      return .drift(token: token, what: "content")
    }
    // A large body is read again while it is sent; the queue closes its descriptor afterwards.
    if !isSmall { _ = file.release() }
    return .request(
      PutRequest(
        token: token, key: item.key, body: body, sha256: item.sha256, md5: md5,
        headers: [
          ("content-type", contentType(of: item.path)), ("x-amz-meta-mtime", String(item.fingerprint.mtime)),
          ("x-amz-meta-sha256", item.sha256.hex),
        ]))
  }
}

/// Hands out 0, 1, 2 … to several threads.
final class SharedCounter: Sendable {
  private let next = Atomic<Int>(0)
  func take() -> Int { next.add(1, ordering: .relaxed).oldValue }
}
