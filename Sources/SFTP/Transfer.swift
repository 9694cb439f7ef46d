internal import Common

/// One file between OPEN and the answer to CLOSE.
final class Transfer {
  let request: DownloadRequest
  /// Set when the server refused to open it: to be tried again when fewer than this many are open.
  var retryBelow: Int?
  var handle: [UInt8]?
  /// Requests of this file that have not been answered.
  var outstanding = 0
  /// Everything before this offset has been asked for.
  var askedTo: UInt64 = 0
  /// Everything before this offset has been delivered.
  var deliveredTo: UInt64 = 0
  /// Answers that came before those of earlier bytes, by offset.
  var early: [UInt64: [UInt8]] = [:]
  /// Set as soon as it is known; nothing more is read from then on.
  var outcome: DownloadOutcome?
  /// The final FSTAT and CLOSE have been sent.
  var isClosing = false
  /// It is in the queue of those that want to read.
  var isQueued = false

  init(_ request: DownloadRequest) { self.request = request }

  /// Bytes asked for and not delivered.
  var bytesInFlight: UInt64 { askedTo - deliveredTo }

  /// There is something to ask for.
  var wantsToRead: Bool { handle != nil && outcome == nil && askedTo < request.expected.size }

  /// The next READ: onward in pieces of at most `limit` bytes.
  func nextRead(limit: UInt32) -> (offset: UInt64, length: UInt32) {
    let offset = askedTo
    let length = UInt32(min(UInt64(limit), request.expected.size - offset))
    askedTo += UInt64(length)
    return (offset, length)
  }

  /// Compares what FSTAT said with what is expected; nil when it is the same.
  func difference(_ found: Fingerprint) -> String? {
    let expected = request.expected
    if found.size != expected.size { return "size is \(found.size), was \(expected.size)" }
    if found.mtime != expected.mtime { return "modification time is \(found.mtime), was \(expected.mtime)" }
    return nil
  }
}
