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
  var askedTo: UInt64
  /// Everything before this offset has been delivered.
  var deliveredTo: UInt64
  /// Answers that came before those of earlier bytes, by offset.
  private(set) var early: [UInt64: [UInt8]] = [:]
  /// READs answered with fewer bytes than asked for, and the bytes of all answers.
  private var shortAnswers: UInt64 = 0
  private var receivedBytes: UInt64 = 0
  /// Set as soon as it is known; nothing more is read from then on, and what came early is of no use.
  var outcome: DownloadOutcome? { didSet { early = [:] } }
  /// The final FSTAT and CLOSE have been sent.
  var isClosing = false
  /// It is in the queue of those that want to read.
  var isQueued = false

  init(_ request: DownloadRequest) {
    self.request = request
    askedTo = request.startAt
    deliveredTo = request.startAt
  }

  var isLarge: Bool { DownloadQueue.isLarge(request) }

  /// Bytes asked for and not delivered.
  var bytesInFlight: UInt64 { askedTo - deliveredTo }

  /// Bytes not delivered.
  var unreadBytes: UInt64 { request.expected.size - deliveredTo }

  /// Some of it has been asked for.
  var hasBegun: Bool { askedTo > request.startAt }

  /// There is something to ask for.
  var wantsToRead: Bool { handle != nil && outcome == nil && askedTo < request.expected.size }

  /// The next READ: onward in pieces of at most `limit` bytes.
  func nextRead(limit: UInt32) -> (offset: UInt64, length: UInt32) {
    let offset = askedTo
    let length = UInt32(min(UInt64(limit), request.expected.size - offset))
    askedTo += UInt64(length)
    return (offset, length)
  }

  /// Pieces that may wait for earlier bytes, each of them with an overhead of its own: the whole window of one file in
  /// answers of 2 KiB. A server that holds back one READ would otherwise fill memory, a byte at a time.
  private static let earlyLimit = 4096
  /// Answers that bring fewer bytes than this on the average are no file transfer; so many may.
  private static let smallAnswerBytes: UInt64 = 256
  private static let smallAnswers: UInt64 = 1024

  /// Takes note of an answer to a READ; says what is wrong with the server's way of answering.
  func note(bytes: Int, of length: UInt32) -> String? {
    receivedBytes += UInt64(bytes)
    guard bytes < Int(length) else { return nil }
    shortAnswers += 1
    if shortAnswers > Self.smallAnswers + receivedBytes / Self.smallAnswerBytes {
      return "the server answered \(shortAnswers) READs with \(receivedBytes) bytes in all"
    }
    return nil
  }

  /// Keeps bytes until those before them have come; false when there is too much of it.
  func keep(_ bytes: [UInt8], at offset: UInt64) -> Bool {
    early[offset] = bytes
    return early.count <= Self.earlyLimit
  }

  /// The bytes that are next in the file, if they have come.
  func takeNext() -> [UInt8]? { early.isEmpty ? nil : early.removeValue(forKey: deliveredTo) }

  /// Compares what FSTAT said with what is expected; nil when it is the same.
  func difference(_ found: Fingerprint) -> String? {
    let expected = request.expected
    if found.size != expected.size { return "size is \(found.size), was \(expected.size)" }
    if found.mtime != expected.mtime { return "modification time is \(found.mtime), was \(expected.mtime)" }
    return nil
  }
}
