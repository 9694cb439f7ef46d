internal import Common
internal import Staging

/// Proves that what is on disk of a partial file is what its sidecar says, byte for byte.
struct PartialProof {
  enum Verdict {
    case proved(ArrivingFile)
    /// It is not, for this reason.
    case unfit(String)
    /// The run is to stop; nothing is known.
    case stopped
  }

  private static let pieceBytes = 1 << 20

  let volume: StagingVolume
  let stop: StopSignal

  /// Reads and digests the part, and cuts off what had been written behind it.
  func examine(_ partial: PartialFile) -> Verdict {
    do throws(SystemFailure) {
      let file = Descriptor(try volume.openPartial(partial.temporary), volume.fileSystem)
      guard let hasher = try digest(file.number, partial.offset) else { return .stopped }
      guard hasher.sha256() == partial.sha256 else { return .unfit("its bytes on disk are not those that had come") }
      try volume.fileSystem.truncate(file.number, to: partial.offset)
      return .proved(ArrivingFile(partial, descriptor: file.release(), hasher: hasher))
    } catch {
      return .unfit("it cannot be read: \(error.reason)")
    }
  }

  /// The state of the digest after `count` bytes, or after as many as there are; nil when the run is to stop.
  private func digest(_ descriptor: Int32, _ count: UInt64) throws(SystemFailure) -> ContentHasher? {
    var hasher = ContentHasher()
    var offset: UInt64 = 0
    while offset < count {
      if stop.isRequested { return nil }
      let piece = try volume.fileSystem.readAll(
        descriptor, from: offset, count: Int(min(UInt64(Self.pieceBytes), count - offset)))
      if piece.isEmpty { break }
      hasher.update(piece)
      offset += UInt64(piece.count)
      volume.heartbeat.beat()
    }
    return hasher
  }
}
