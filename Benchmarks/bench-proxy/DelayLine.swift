import Common
import Glibc

/// One direction of a connection: every byte leaves `delayNanoseconds` after it came, in order, with nothing dropped.
///
/// Two threads share a ring of memory: one reads into it and stamps what came, the other writes what is due. The ring
/// bounds what can be on its way, as bandwidth times delay does on a real line: 64 MiB are 2.6 GB/s at a round trip of
/// 50 ms, 670 MB/s at 200 ms. It is used from the front again whenever it is empty, so that a line without delay stays
/// in the cache.
package final class DelayLine: @unchecked Sendable {
  // @unchecked: the ring's bytes are touched by the reader in the free part and by the writer in the filled part, and
  // both parts are told apart under the monitor.
  /// Bytes that can be on their way.
  package static let capacityBytes = 64 << 20
  /// One read takes at most this.
  private static let pieceBytes = 256 << 10
  /// One write gives at most this.
  private static let writeBytes = 1 << 20

  private struct Piece {
    var dueNanoseconds: UInt64
    var bytes: Int
  }

  private struct State: Sendable {
    /// Where the filled part starts in the ring, and its length.
    var start = 0
    var filledBytes = 0
    /// What fills it, oldest first, from `firstPiece` on.
    var pieces: [Piece] = []
    var firstPiece = 0
    /// Nothing more comes.
    var hasEnded = false
    /// Nobody takes what comes.
    var isBroken = false

    mutating func remove(_ bytes: Int) {
      start = (start + bytes) % DelayLine.capacityBytes
      filledBytes -= bytes
      var rest = bytes
      while rest > 0 {
        let taken = min(rest, pieces[firstPiece].bytes)
        pieces[firstPiece].bytes -= taken
        rest -= taken
        if pieces[firstPiece].bytes == 0 { firstPiece += 1 }
      }
      if firstPiece == pieces.count {
        pieces.removeAll(keepingCapacity: true)
        firstPiece = 0
      } else if firstPiece > 4096 {
        pieces.removeFirst(firstPiece)
        firstPiece = 0
      }
    }
  }

  private let delayNanoseconds: UInt64
  private let ring: UnsafeMutableRawPointer
  private let state = Monitor(State())

  init(delayNanoseconds: UInt64) {
    self.delayNanoseconds = delayNanoseconds
    ring = mmap(nil, Self.capacityBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    precondition(ring != MAP_FAILED, "no memory for a delay line: \(errnoText(errno))")
  }

  deinit { munmap(ring, Self.capacityBytes) }

  /// Reads until the socket's end; returns when nothing more comes or nobody wants it.
  func fill(from socket: Int32) {
    while let (offset, room) = nextRoom() {
      let count = read(socket, ring + offset, min(room, Self.pieceBytes))
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      let due = monotonicNanoseconds() + delayNanoseconds
      state.change {
        $0.pieces.append(Piece(dueNanoseconds: due, bytes: count))
        $0.filledBytes += count
      }
    }
    let due = monotonicNanoseconds() + delayNanoseconds
    state.change { $0.hasEnded = true }
    // The end takes as long as the bytes.
    sleep(untilNanoseconds: due)
  }

  /// Writes what is due until the line's end; returns when all has been written or nobody takes it.
  func drain(to socket: Int32) {
    while let due = nextDue() {
      sleep(untilNanoseconds: due)
      let (offset, count) = whatIsDue()
      guard send(ring + offset, count, to: socket) else {
        state.change { $0.isBroken = true }
        return
      }
      state.change { $0.remove(count) }
    }
  }

  /// Free bytes of the ring in one piece; nil when nobody takes them. Waits while the ring is full.
  private func nextRoom() -> (offset: Int, bytes: Int)? {
    whenReady { (state: inout State) -> (offset: Int, bytes: Int)?? in
      if state.isBroken { return .some(nil) }
      if state.filledBytes == 0 { state.start = 0 }
      guard state.filledBytes < Self.capacityBytes else { return nil }
      let end = (state.start + state.filledBytes) % Self.capacityBytes
      return (end, (end >= state.start ? Self.capacityBytes : state.start) - end)
    }
  }

  /// When the oldest byte is to leave; nil at the line's end. Waits while the line is empty.
  private func nextDue() -> UInt64? {
    whenReady { (state: inout State) -> UInt64?? in
      if state.firstPiece < state.pieces.count { return state.pieces[state.firstPiece].dueNanoseconds }
      return state.hasEnded ? .some(nil) : nil
    }
  }

  /// The bytes that are due now, as far as they lie in one piece of the ring.
  private func whatIsDue() -> (offset: Int, bytes: Int) {
    let now = monotonicNanoseconds()
    return state.read { state in
      let limit = min(Self.writeBytes, Self.capacityBytes - state.start)
      var bytes = 0
      for piece in state.pieces[state.firstPiece...] where bytes < limit {
        if piece.dueNanoseconds > now { break }
        bytes += piece.bytes
      }
      return (state.start, min(bytes, limit))
    }
  }

  private func whenReady<Result>(_ body: (inout State) -> Result?) -> Result {
    while true {
      if let result = state.wait(milliseconds: 60_000, until: body) { return result }
    }
  }
}

private func send(_ bytes: UnsafeMutableRawPointer, _ count: Int, to socket: Int32) -> Bool {
  var sent = 0
  while sent < count {
    let written = Glibc.send(socket, bytes + sent, count - sent, Int32(MSG_NOSIGNAL))
    if written < 0 && errno == EINTR { continue }
    if written <= 0 { return false }
    sent += written
  }
  return true
}

func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

func sleep(untilNanoseconds end: UInt64) {
  var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
  while monotonicNanoseconds() < end, clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &time, nil) == EINTR {}
}
