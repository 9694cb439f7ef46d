internal import Common

/// A fold of the journal up to a position, so that a run need not read sealed segments again. Disposable: whatever
/// does not match the segments is ignored and rebuilt.
struct Checkpoint: Equatable {
  var position: JournalPosition
  var state: MirrorState

  private static let magic = Array("sftp-to-s3 checkpoint 1\n".utf8)

  func encoded() -> [UInt8] {
    var out = ByteWriter()
    out.put(fixed: Self.magic)
    out.put(position.seq)
    out.put(fixed: position.head)
    out.put(position.offset)
    out.put(UInt64(position.sealed.count))
    for segment in position.sealed {
      out.put(segment.size)
      out.put(fixed: segment.head)
    }
    state.encode(into: &out)
    let digest = SHA256Digest.of(out.bytes)
    out.put(fixed: digest.bytes)
    return out.bytes
  }

  /// Nil for anything that this version did not write whole.
  init?(_ encoded: [UInt8]) {
    guard encoded.count > Self.magic.count + 32, encoded.starts(with: Self.magic) else { return nil }
    let checkpoint: Checkpoint? = encoded.withUnsafeBytes { buffer in
      let body = UnsafeRawBufferPointer(rebasing: buffer[..<(buffer.count - 32)])
      var hasher = ContentHasher()
      hasher.update(body)
      guard hasher.sha256() == SHA256Digest(bytes: buffer.suffix(32)) else { return nil }
      var input = ByteReader(UnsafeRawBufferPointer(rebasing: body[Self.magic.count...]))
      guard let seq = input.number(), let head = input.fixed(64), let offset = input.number(),
        let sealedCount = input.number()
      else { return nil }
      var sealed: [SealedSegment] = []
      for _ in 0..<sealedCount {
        guard let size = input.number(), let head = input.fixed(64) else { return nil }
        sealed.append(SealedSegment(size: size, head: head))
      }
      guard let state = MirrorState(&input), input.remaining == 0 else { return nil }
      let position = JournalPosition(seq: seq, head: head, offset: offset, sealed: sealed)
      return Checkpoint(position: position, state: state)
    }
    guard let checkpoint else { return nil }
    self = checkpoint
  }

  init(position: JournalPosition, state: MirrorState) {
    self.position = position
    self.state = state
  }
}

/// How far a journal has been read or written.
struct JournalPosition: Equatable, Sendable {
  /// Of the last record; 0 in an empty journal.
  var seq: UInt64 = 0
  /// `h` of the last record, as 64 ASCII digits.
  var head: [UInt8] = JournalLine.genesis
  /// End of the last record in the open segment, bytes.
  var offset: UInt64 = 0
  /// The segments before the open one, in order.
  var sealed: [SealedSegment] = []

  /// Number of the open segment, from 1.
  var segment: UInt64 { UInt64(sealed.count) + 1 }
}

struct SealedSegment: Equatable, Sendable {
  var size: UInt64
  /// `h` of its last record.
  var head: [UInt8]
}
