internal import Common
internal import SFTP
internal import Staging

/// Writes what arrives to temporary files and computes digests on the way. One thread.
struct ArrivalWriter {
  /// Files up to this size get an MD5 in the journal, so that a later adoption can compare a plain ETag.
  static let md5Limit: UInt64 = 16 << 20

  private struct Open {
    let name: String
    let descriptor: Int32
    var size: UInt64 = 0
    var hasher: ContentHasher
  }

  let items: [FetchPlan.Item]
  let volume: StagingVolume
  let outcome: TransferOutcome
  let received: BlockingQueue<ReceivedFile>

  /// Works until the queue is closed. After an error of the volume it only drains, so that nobody waits for it.
  func run(_ arrivals: BlockingQueue<Arrival>) {
    var open: [Int: Open] = [:]
    while true {
      let batch = arrivals.popAll()
      if batch.isEmpty { break }
      for arrival in batch where outcome.failure == nil {
        do throws(SystemFailure) {
          try take(arrival, &open)
        } catch {
          outcome.end(.broken(error, doing: "write a fetched file"))
        }
      }
    }
    // Files that never ended: the connection or the volume failed.
    for file in open.values { abandon(file) }
  }

  private func take(_ arrival: Arrival, _ open: inout [Int: Open]) throws(SystemFailure) {
    let item = items[arrival.token]
    switch arrival.event {
    case .bytes(let bytes):
      if open[arrival.token] == nil { open[arrival.token] = try begin(item) }
      try append(bytes, to: &open[arrival.token]!)
    case .restarted:
      if let file = open.removeValue(forKey: arrival.token) { abandon(file) }
    case .ended(.complete):
      var ended = open.removeValue(forKey: arrival.token)
      // An empty file brings no bytes.
      if ended == nil { ended = try begin(item) }
      let file = ended!
      // The connection counted; what was written must agree before anyone calls the file whole.
      if file.size == item.fingerprint.size {
        try finish(file, item)
      } else {
        abandon(file)
        outcome.note(changed: item)
      }
    case .ended(let other):
      if let file = open.removeValue(forKey: arrival.token) { abandon(file) }
      switch other {
      case .failed(let error): outcome.note(error, on: item.path)
      case .changed: outcome.note(changed: item)
      case .complete, .abandoned: break
      }
    }
  }

  private func begin(_ item: FetchPlan.Item) throws(SystemFailure) -> Open {
    let (name, descriptor) = try volume.makeTemporary()
    return Open(
      name: name, descriptor: descriptor, hasher: ContentHasher(withMD5: item.fingerprint.size <= Self.md5Limit))
  }

  private func append(_ bytes: [UInt8], to file: inout Open) throws(SystemFailure) {
    try volume.fileSystem.writeAll(file.descriptor, bytes, at: file.size)
    file.hasher.update(bytes)
    file.size += UInt64(bytes.count)
    volume.heartbeat.beat()
  }

  private func finish(_ file: Open, _ item: FetchPlan.Item) throws(SystemFailure) {
    do throws(SystemFailure) {
      try volume.fileSystem.setModificationTime(file.descriptor, seconds: item.fingerprint.mtime)
    } catch {
      abandon(file)
      throw error
    }
    try volume.fileSystem.close(file.descriptor)
    received.push(
      ReceivedFile(
        item: item, temporary: file.name, sha256: file.hasher.sha256(), md5: file.hasher.md5Digest()))
  }

  /// What cannot be removed now is removed by the next start.
  private func abandon(_ file: Open) {
    try? volume.fileSystem.close(file.descriptor)
    try? volume.removeTemporary(file.name)
  }
}
