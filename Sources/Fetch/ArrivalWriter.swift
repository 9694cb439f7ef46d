internal import Common
internal import Logging
internal import SFTP
internal import Staging

/// Writes what arrives to temporary files and computes digests on the way. One thread.
struct ArrivalWriter {
  /// Files up to this size get an MD5 in the journal, so that a later adoption can compare a plain ETag.
  static let md5Limit: UInt64 = 16 << 20

  private let items: ListedFileSelection
  private let volume: StagingVolume
  private let desk: RequestDesk
  private let keeper: PartialKeeper
  private let outcome: TransferOutcome
  private let received: BlockingQueue<ReceivedFile>
  private let logger: Logger
  /// By token, as the next two.
  private var open: [Int: ArrivingFile] = [:]
  /// What came again was not what had come: the rest is ignored, and the file begins anew.
  private var refused: Set<Int> = []

  init(
    items: ListedFileSelection, volume: StagingVolume, desk: RequestDesk, keeper: PartialKeeper,
    outcome: TransferOutcome, received: BlockingQueue<ReceivedFile>, logger: Logger
  ) {
    self.items = items
    self.volume = volume
    self.desk = desk
    self.keeper = keeper
    self.outcome = outcome
    self.received = received
    self.logger = logger
  }

  /// Works until the queue is closed. After an error of the volume it only drains, so that nobody waits for it.
  mutating func run(_ arrivals: BlockingQueue<Arrival>) {
    while true {
      let batch = arrivals.popAll()
      if batch.isEmpty { break }
      for arrival in batch where outcome.failure == nil {
        do throws(SystemFailure) {
          try take(arrival)
        } catch {
          outcome.end(.broken(error, doing: "write a fetched file"))
        }
      }
    }
    // Files that never ended: the run is to stop, or the connection or the volume failed.
    for (token, file) in open { leave(file, token) }
  }

  private mutating func take(_ arrival: Arrival) throws(SystemFailure) {
    let token = arrival.token
    switch arrival.event {
    case .bytes(let bytes): try take(bytes, token)
    case .resumed(let file): open[token] = file
    case .restarted(let offset):
      if offset > 0 {
        open[token]?.goBack(to: offset)
      } else {
        refused.remove(token)
        if let file = open.removeValue(forKey: token) { discard(file, token) }
      }
    case .ended(let ended):
      let wasRefused = refused.remove(token) != nil
      let file = open.removeValue(forKey: token)
      if wasRefused {
        if case .abandoned = ended { break }
        desk.end(token, beginsAnew: true)
      } else {
        try end(file, token, ended)
        desk.end(token, beginsAnew: false)
      }
    }
  }

  private mutating func take(_ bytes: [UInt8], _ token: Int) throws(SystemFailure) {
    if refused.contains(token) { return }
    if open[token] == nil { open[token] = try begin(items[token]) }
    guard try open[token]!.take(bytes, volume.fileSystem) else {
      refuse(token)
      return
    }
    volume.heartbeat.beat()
    if desk.isResumable(token), open[token]!.size - open[token]!.marked >= Resumption.markBytes { mark(token) }
  }

  private func begin(_ item: FetchPlan.Item) throws(SystemFailure) -> ArrivingFile {
    let (name, descriptor) = try volume.makeTemporary()
    return ArrivingFile(
      temporary: name, descriptor: descriptor, withMD5: item.fingerprint.size <= Self.md5Limit)
  }

  /// What has come is not to be trusted, nor is what comes: the same size and time, and other bytes.
  private mutating func refuse(_ token: Int) {
    desk.refuse(token)
    refused.insert(token)
    if let file = open.removeValue(forKey: token) { discard(file, token) }
    logger.warning(
      "a file that was to go on where it was interrupted has other bytes than before; it begins anew",
      metadata: ["path": "\(items[token].path)"])
  }

  private mutating func mark(_ token: Int) {
    guard let file = open[token] else { return }
    keeper.give(.mark(partial(file, token)))
    open[token]!.noteMark()
  }

  private func partial(_ file: ArrivingFile, _ token: Int) -> PartialFile {
    PartialFile(
      temporary: file.temporary, path: items[token].path, fingerprint: items.fingerprint(at: token),
      source: volume.sourceDescription, offset: file.size, sha256: file.sha256)
  }

  private func end(_ file: ArrivingFile?, _ token: Int, _ ended: DownloadOutcome) throws(SystemFailure) {
    let item = items[token]
    switch ended {
    case .complete:
      // An empty file brings no bytes.
      let file = if let file { file } else { try begin(item) }
      // The connection counted; what was written must agree before anyone calls the file whole.
      if file.size == item.fingerprint.size, !file.isComparing {
        try finish(file, token)
      } else {
        discard(file, token)
        outcome.note(changed: item)
      }
    case .failed(let error):
      if let file { error.leavesWhatCame ? leave(file, token) : discard(file, token) }
      outcome.note(error, on: item.path)
    case .changed:
      if let file { discard(file, token) }
      outcome.note(changed: item)
    case .abandoned:
      if let file { leave(file, token) }
    }
  }

  private func finish(_ file: ArrivingFile, _ token: Int) throws(SystemFailure) {
    do throws(SystemFailure) {
      try volume.fileSystem.setModificationTime(file.descriptor, seconds: items.fingerprint(at: token).mtime)
    } catch {
      discard(file, token)
      throw error
    }
    try volume.fileSystem.close(file.descriptor)
    let whole = ReceivedFile(
      item: items[token], temporary: file.temporary, sha256: file.sha256, md5: file.md5)
    if desk.isResumable(token) { keeper.give(.whole(whole)) } else { received.push(whole) }
  }

  /// The run ends before the file: a later one goes on with it.
  private func leave(_ file: ArrivingFile, _ token: Int) {
    guard desk.isResumable(token), Resumption.start(after: file.size) > 0, outcome.failure == nil else {
      if file.marked == 0 { discard(file, token) } else { try? volume.fileSystem.close(file.descriptor) }
      return
    }
    // What close could report, the keeper's synchronisation does.
    try? volume.fileSystem.close(file.descriptor)
    if file.size > file.marked { keeper.give(.mark(partial(file, token))) }
  }

  /// What cannot be removed now is removed by the next start.
  private func discard(_ file: ArrivingFile, _ token: Int) {
    try? volume.fileSystem.close(file.descriptor)
    if desk.isResumable(token) {
      keeper.give(.discard(temporary: file.temporary))
    } else {
      try? volume.removeTemporary(file.temporary)
    }
  }
}

extension SFTPError {
  /// True when it was the connection that failed, or the server's storage, and not the file: what has come of it stays.
  var leavesWhatCame: Bool {
    severity == .temporary || ["connection-lost", "timeout", "stalled", "protocol-error"].contains(code)
  }
}
