internal import Common
internal import Logging

extension SFTPConnection {
  /// Downloads every file the handler gives, at most `filesInFlight` open at once, until it gives no more.
  ///
  /// Throws only for connection-level failures and a stop request, after every file under way has been reported as
  /// abandoned; what fails for one file goes to the handler.
  package func download(_ handler: any DownloadHandler, filesInFlight: Int) throws(SFTPError) {
    let queue = DownloadQueue(handler, filesInFlight: filesInFlight, stop: stop)
    do throws(SFTPError) {
      try queue.work(over: self)
    } catch {
      queue.end(error)
      throw error
    }
  }
}

/// What one connection does of a download. For each file: OPEN; then FSTAT and all READs; then FSTAT and CLOSE.
/// The draft has requests on one handle take effect in the order sent (§3.1), so none of them waits for another.
struct Download {
  /// Bytes of one READ; larger ones measured no faster, and every server allows this much (§6.4).
  private static let readBytes: UInt32 = 32_768
  /// Servers that cut answers short are asked for no less than this.
  private static let leastReadBytes: UInt32 = 4_096
  /// Bytes of files taken and not read, above which no other is taken: the other connections want some too.
  private static let takenBytesLimit: UInt64 = 32 << 20
  /// Bytes that must come in a window of so many time-outs; a file that ends counts as this many.
  private static let leastBytes = 16_384
  private static let paceTimeouts = 5.0

  private enum Purpose {
    case open
    case fstat
    /// LSTAT for what FSTAT left out.
    case lstat(FileAttributes)
    case read(offset: UInt64, length: UInt32, sent: Double)
    case close
  }

  private let handler: any DownloadHandler
  private let queue: DownloadQueue
  private let answersInOrder: Bool
  private let stream: MessageStream
  private let logger: Logger
  private var budget: HandleBudget
  private var toldFewHandles = false
  private var outstanding = Outstanding<(Transfer, Purpose)>()
  private var active: [ObjectIdentifier: Transfer] = [:]
  /// Refused, perhaps because too many were open.
  private var postponed: [Transfer] = []
  private var readers = Queue<Transfer>()
  private var readAhead = ReadAhead()
  private var bytesInFlight: UInt64 = 0
  /// Bytes of active files that are not delivered, large ones left out.
  private var takenBytes: UInt64 = 0
  private var largeFiles = 0
  /// Lowered to what the server gives at a time, if that is less.
  private var readLimit = Download.readBytes
  private var lastShortAnswer: UInt32 = 0
  private var pace: Pace
  private var finishedCount = 0

  /// - Parameter answersInOrder: the server is known to carry requests out one after the other.
  init(
    handler: any DownloadHandler, queue: DownloadQueue, stream: MessageStream, logger: Logger, answersInOrder: Bool,
    filesInFlight: Int, caution: Int
  ) {
    self.handler = handler
    self.queue = queue
    self.stream = stream
    self.logger = logger
    self.answersInOrder = answersInOrder
    if let bandwidth = stream.bandwidth {
      let bytes = bandwidth.pieceBytes(milliseconds: 500, in: 65_536...Int(ReadAhead.mostBytes))
      readAhead = ReadAhead(mostBytes: UInt64(bytes))
    }
    budget = HandleBudget(maximum: filesInFlight, caution: caution)
    pace = Pace(leastUnits: Self.leastBytes, inSeconds: Self.paceTimeouts * Double(stream.timeoutSeconds))
  }

  /// What this connection has taken and not finished.
  var unfinished: [DownloadRequest] { active.values.map(\.request) + postponed.map(\.request) }

  /// A file ended.
  var hasFinished: Bool { finishedCount > 0 }

  /// Nothing was asked of the server for a while.
  mutating func rested() { pace.restart() }

  mutating func run() throws(SFTPError) {
    while true {
      ask()
      if outstanding.isEmpty {
        assert(active.isEmpty && postponed.isEmpty, "files left behind")
        return
      }
      let ((file, purpose), reply) = try outstanding.next(on: stream)
      if queue.isEnded { throw stream.fail(.stopped("download", "")) }
      file.outstanding -= 1
      switch purpose {
      case .open: opened(file, reply)
      case .fstat: examined(file, reply)
      case .lstat(let known): examined(file, reply, after: known)
      case .read(let offset, let length, let sent): read(file, offset, length, sent, reply)
      case .close: break
      }
      advance(file)
      pace.excuse(seconds: stream.takeWaitedSeconds())
      if pace.isStalled() {
        throw stream.fail(.stalled("download", seconds: Int(Self.paceTimeouts) * stream.timeoutSeconds))
      }
    }
  }

  private mutating func submit(_ request: Request, _ file: Transfer, _ purpose: Purpose) {
    file.outstanding += 1
    outstanding.submit(request, for: (file, purpose), on: stream)
  }

  /// Queues as many requests as the limits allow: READs of open files first, then new files.
  private mutating func ask() {
    while hasRoom, let file = readers.pop() {
      file.isQueued = false
      while file.wantsToRead, file.bytesInFlight < fileWindowBytes, hasRoom {
        let (offset, length) = file.nextRead(limit: readLimit)
        bytesInFlight += UInt64(length)
        submitRead(file, offset, length)
      }
      enqueue(file)
    }
    if let limits = stream.limits {
      budget.lower(to: limits.openHandles)
      readLimit = min(readLimit, limits.readBytes)
    }
    while hasRoom, budget.hasRoom, let file = nextFile() {
      active[ObjectIdentifier(file)] = file
      budget.opening()
      submit(.open(path: file.request.path), file, .open)
    }
  }

  private mutating func submitRead(_ file: Transfer, _ offset: UInt64, _ length: UInt32) {
    guard let handle = file.handle else { return }
    submit(
      .read(handle: handle, offset: offset, length: length), file,
      .read(offset: offset, length: length, sent: monotonicSeconds()))
  }

  /// The window of one file: half, so that a large one leaves room for small ones, but all when it is alone.
  private var fileWindowBytes: UInt64 { active.count == 1 ? readAhead.windowBytes : readAhead.windowBytes / 2 }

  private var hasRoom: Bool {
    bytesInFlight < readAhead.windowBytes && outstanding.bytes < MessageStream.unansweredLimit
  }

  private mutating func enqueue(_ file: Transfer) {
    guard !file.isQueued, file.wantsToRead, file.bytesInFlight < fileWindowBytes else { return }
    file.isQueued = true
    // What has been begun is finished first: when the run ends early, files have come, not parts of files.
    if file.hasBegun { readers.putBack(file) } else { readers.push(file) }
  }

  private mutating func nextFile() -> Transfer? {
    if let below = postponed.last?.retryBelow, budget.inUse < below { return postponed.removeLast() }
    guard takenBytes < Self.takenBytesLimit, let request = queue.take(large: largeFiles == 0) else { return nil }
    let file = Transfer(request)
    if file.isLarge { largeFiles += 1 } else { takenBytes += file.unreadBytes }
    return file
  }

  private mutating func opened(_ file: Transfer, _ reply: Reply) {
    switch reply {
    case .handle(let handle):
      file.handle = handle
      budget.opened()
      submit(.fstat(handle: handle), file, .fstat)
    case .status(let status) where status.code == Status.failure:
      let before = budget.limit
      switch budget.refused(below: file.retryBelow) {
      case .ownFailure: file.outcome = .failed(status.error("open", file.request.path))
      case .retry(let below):
        file.retryBelow = below
        active[ObjectIdentifier(file)] = nil
        postponed.append(file)
      }
      if budget.limit < before { logFewHandles() }
    case .status(let status):
      budget.failed()
      file.outcome = .failed(status.error("open", file.request.path))
    default:
      budget.failed()
      file.outcome = .failed(wrongKind("open", file, reply))
    }
  }

  private mutating func logFewHandles() {
    if toldFewHandles { return }
    toldFewHandles = true
    logger.notice("the server opens only so many files at once", metadata: ["limit": "\(budget.limit)"])
  }

  private mutating func examined(_ file: Transfer, _ reply: Reply, after known: FileAttributes? = nil) {
    switch reply {
    case .attributes(let attributes):
      var merged = known ?? attributes
      merged.fill(from: attributes)
      if let found = merged.fingerprint {
        if let difference = file.difference(found) {
          file.outcome = file.outcome ?? .changed(reason: difference)
        }
      } else if known == nil {
        submit(.lstat(path: file.request.path), file, .lstat(merged))
      } else {
        let missing = merged.size == nil ? "size" : "modification time"
        let error = SFTPError.badAnswer(
          "stat", file.request.path, reason: "the server does not say the file's \(missing)")
        file.outcome = file.outcome ?? .failed(error)
      }
    case .status(let status): file.outcome = file.outcome ?? .failed(status.error("stat", file.request.path))
    default: file.outcome = file.outcome ?? .failed(wrongKind("stat", file, reply))
    }
  }

  private mutating func read(_ file: Transfer, _ offset: UInt64, _ length: UInt32, _ sent: Double, _ reply: Reply) {
    if file.outcome != nil { return }
    switch reply {
    case .data(let bytes) where bytes.isEmpty || bytes.count > Int(length):
      let reason = "asked for \(length) bytes, the server answered with \(bytes.count)"
      file.outcome = .failed(.badAnswer("read", file.request.path, reason: reason))
    case .data(let bytes):
      if let fault = file.note(bytes: bytes.count, of: length) {
        file.outcome = .failed(.badAnswer("read", file.request.path, reason: fault))
        return
      }
      pace.note(bytes.count)
      readAhead.answered(bytes: bytes.count, sent: sent, now: monotonicSeconds())
      let count = UInt32(bytes.count)
      // Short answers are legal (§6.4): the rest is asked for at once, it counts as in flight already.
      if count < length {
        submitRead(file, offset + UInt64(count), length - count)
        adapt(toAnswerOf: count)
      }
      deliver(file, offset, bytes)
    case .status(let status) where status.code == Status.eof:
      file.outcome = .changed(reason: "it ended before byte \(offset + 1) of \(file.request.expected.size)")
    case .status(let status): file.outcome = .failed(status.error("read", file.request.path))
    default: file.outcome = .failed(wrongKind("read", file, reply))
    }
  }

  /// From now on asks for no more than the server gives at a time: the rest would cost a round trip again and again.
  private mutating func adapt(toAnswerOf count: UInt32) {
    defer { lastShortAnswer = count }
    guard count == lastShortAnswer, count < readLimit, count >= Self.leastReadBytes else { return }
    readLimit = count
    logger.debug("the server cuts READs short", metadata: ["bytes": "\(count)"])
  }

  /// Hands over bytes that are next in the file, and what had come early behind them.
  private mutating func deliver(_ file: Transfer, _ offset: UInt64, _ bytes: [UInt8]) {
    guard offset == file.deliveredTo else {
      if !file.keep(bytes, at: offset) {
        let reason = "the server answers everything but what is at byte \(file.deliveredTo)"
        file.outcome = .failed(.badAnswer("read", file.request.path, reason: reason))
      }
      return
    }
    var next = Optional(bytes)
    while let bytes = next {
      file.deliveredTo += UInt64(bytes.count)
      bytesInFlight -= UInt64(bytes.count)
      if !file.isLarge { takenBytes -= UInt64(bytes.count) }
      let before = monotonicSeconds()
      let isWanted = handler.received(token: file.request.token, bytes: bytes)
      // Whoever takes the bytes was slow, not the server.
      if monotonicSeconds() - before > 1 { pace.restart() }
      if !isWanted {
        file.outcome = .changed(reason: "no more of it is wanted")
        return
      }
      next = file.takeNext()
    }
  }

  /// Moves a file on after an answer: more READs, or FSTAT and CLOSE, or the end.
  private mutating func advance(_ file: Transfer) {
    guard active[ObjectIdentifier(file)] != nil else { return }
    if let handle = file.handle, !file.isClosing {
      let isRead = file.deliveredTo == file.request.expected.size
      if file.outcome != nil || isRead {
        file.isClosing = true
        if file.outcome == nil { submit(.fstat(handle: handle), file, .fstat) }
        submit(.close(handle: handle), file, .close)
        // Such a server has closed it before it opens what is asked for next.
        if answersInOrder { budget.closed() }
      } else {
        enqueue(file)
      }
    }
    // With nothing outstanding it may also just be waiting for its turn to read.
    guard file.outstanding == 0, file.isClosing || file.handle == nil else { return }
    bytesInFlight -= file.bytesInFlight
    if file.isLarge { largeFiles -= 1 } else { takenBytes -= file.unreadBytes }
    active[ObjectIdentifier(file)] = nil
    if file.handle != nil, !answersInOrder { budget.closed() }
    pace.note(Self.leastBytes)
    finishedCount += 1
    budget.succeeded()
    queue.finish(file.request, file.outcome ?? .complete)
  }

  private func wrongKind(_ operation: String, _ file: Transfer, _ reply: Reply) -> SFTPError {
    .badAnswer(operation, file.request.path, reason: "the server answered with \(reply.kind)")
  }
}

/// First in, first out.
private struct Queue<Element> {
  private var incoming: [Element] = []
  private var outgoing: [Element] = []

  mutating func push(_ element: Element) { incoming.append(element) }

  /// First out.
  mutating func putBack(_ element: Element) { outgoing.append(element) }

  mutating func pop() -> Element? {
    if outgoing.isEmpty {
      outgoing = incoming.reversed()
      incoming.removeAll(keepingCapacity: true)
    }
    return outgoing.popLast()
  }
}
