internal import Common

/// A fold of the journal up to a position, so that a run need not read sealed segments again. Disposable: whatever
/// does not match the segments is ignored and rebuilt.
struct Checkpoint: Equatable {
  var position: JournalPosition
  var state: MirrorState

  private static let magic = Array("sftp-to-s3 checkpoint 3\n".utf8)
  private static let name = "checkpoint"

  /// Replaces the checkpoint in a directory, durably.
  func write(to directory: Int32, _ fileSystem: any FileSystem) throws(SystemFailure) {
    try fileSystem.replaceFile(at: directory, Self.name, durable: true) { (descriptor) throws(SystemFailure) in
      var out = ByteWriter(descriptor, fileSystem)
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
      try out.finish()
    }
  }

  /// Nil when there is none, and for anything that this version did not write whole.
  static func read(at directory: Int32, _ fileSystem: any FileSystem) throws(SystemFailure) -> Checkpoint? {
    guard try fileSystem.status(at: directory, Array(name.utf8)) != nil else { return nil }
    let file = Descriptor(try fileSystem.openFile(at: directory, Array(name.utf8), .read), fileSystem)
    var input = ByteReader(file.number, size: try fileSystem.status(of: file.number).size, fileSystem)
    let checkpoint = Checkpoint(&input)
    let isWhole = input.isWhole()
    if let failure = input.failure { throw failure }
    try file.close()
    return isWhole ? checkpoint : nil
  }

  private init?(_ input: inout ByteReader) {
    guard input.fixed(Self.magic.count) == Self.magic, let seq = input.number(), let head = input.fixed(64),
      let offset = input.number(), let sealedCount = input.number()
    else { return nil }
    var sealed: [SealedSegment] = []
    for _ in 0..<sealedCount {
      guard let size = input.number(), let head = input.fixed(64) else { return nil }
      sealed.append(SealedSegment(size: size, head: head))
    }
    guard let state = MirrorState(&input) else { return nil }
    self.init(position: JournalPosition(seq: seq, head: head, offset: offset, sealed: sealed), state: state)
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
