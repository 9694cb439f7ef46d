internal import Common
internal import Logging

extension SFTPConnection {
  /// Downloads every file the handler gives, at most `filesInFlight` open at once, until it gives no more.
  ///
  /// Throws only for connection-level failures and a stop request, after every file under way has been reported as
  /// abandoned; what fails for one file goes to the handler.
  package func download(_ handler: any DownloadHandler, filesInFlight: Int) throws(SFTPError) {
    var download = Download(handler: handler, stream: stream, logger: logger, openLimit: max(1, filesInFlight))
    do throws(SFTPError) {
      try download.run()
    } catch {
      download.abandon()
      throw error
    }
  }
}

/// The state of one call of `download`. For each file: OPEN; then FSTAT and all READs; then FSTAT and CLOSE.
/// The draft has requests on one handle take effect in the order sent (§3.1), so none of them waits for another.
private struct Download {
  /// Bytes of one READ; larger ones measured no faster, and every server allows this much (§6.4).
  private static let readBytes: UInt32 = 32_768
  /// Bytes asked for and not delivered, of all files: what memory the reordering may take at most.
  private static let windowBytes: UInt64 = 16 << 20
  /// The same for one file, so that a large one leaves room for small ones.
  private static let fileWindowBytes: UInt64 = 8 << 20
  /// READs a file may ask for before it is another's turn.
  private static let readsPerTurn = 16

  private enum Purpose {
    case open
    case fstat
    /// LSTAT for what FSTAT left out.
    case lstat(FileAttributes)
    case read(offset: UInt64, length: UInt32)
    case close
  }

  private let handler: any DownloadHandler
  private let stream: MessageStream
  private let logger: Logger
  private var budget: HandleBudget
  private var toldFewHandles = false
  private var outstanding = Outstanding<(Transfer, Purpose)>()
  private var active: [ObjectIdentifier: Transfer] = [:]
  /// Refused, perhaps because too many were open.
  private var postponed: [Transfer] = []
  private var readers = Queue<Transfer>()
  private var bytesInFlight: UInt64 = 0
  private var handlerIsEmpty = false

  init(handler: any DownloadHandler, stream: MessageStream, logger: Logger, openLimit: Int) {
    self.handler = handler
    self.stream = stream
    self.logger = logger
    budget = HandleBudget(maximum: openLimit)
  }

  mutating func run() throws(SFTPError) {
    while true {
      ask()
      if outstanding.isEmpty {
        assert(active.isEmpty && postponed.isEmpty, "files left behind")
        return
      }
      let ((file, purpose), reply) = try outstanding.next(on: stream)
      file.outstanding -= 1
      switch purpose {
      case .open: opened(file, reply)
      case .fstat: examined(file, reply)
      case .lstat(let known): examined(file, reply, after: known)
      case .read(let offset, let length): read(file, offset, length, reply)
      case .close: break
      }
      advance(file)
    }
  }

  /// Reports every file under way as abandoned.
  mutating func abandon() {
    for file in active.values { handler.finished(token: file.request.token, outcome: .abandoned) }
    for file in postponed { handler.finished(token: file.request.token, outcome: .abandoned) }
    active = [:]
    postponed = []
  }

  private mutating func submit(_ request: Request, _ file: Transfer, _ purpose: Purpose) {
    file.outstanding += 1
    outstanding.submit(request, for: (file, purpose), on: stream)
  }

  /// Queues as many requests as the limits allow: READs of open files first, then new files.
  private mutating func ask() {
    while hasRoom, let file = readers.pop() {
      file.isQueued = false
      for _ in 0..<Self.readsPerTurn
      where file.wantsToRead && file.bytesInFlight < Self.fileWindowBytes && hasRoom {
        let (offset, length) = file.nextRead(limit: Self.readBytes)
        bytesInFlight += UInt64(length)
        submitRead(file, offset, length)
      }
      enqueue(file)
    }
    while hasRoom, budget.hasRoom, let file = nextFile() {
      active[ObjectIdentifier(file)] = file
      budget.opening()
      submit(.open(path: file.request.path), file, .open)
    }
  }

  private mutating func submitRead(_ file: Transfer, _ offset: UInt64, _ length: UInt32) {
    guard let handle = file.handle else { return }
    submit(.read(handle: handle, offset: offset, length: length), file, .read(offset: offset, length: length))
  }

  private var hasRoom: Bool {
    bytesInFlight < Self.windowBytes && outstanding.bytes < MessageStream.unansweredLimit
  }

  private mutating func enqueue(_ file: Transfer) {
    guard !file.isQueued, file.wantsToRead, file.bytesInFlight < Self.fileWindowBytes else { return }
    file.isQueued = true
    readers.push(file)
  }

  private mutating func nextFile() -> Transfer? {
    if let below = postponed.last?.retryBelow, budget.inUse < below { return postponed.removeLast() }
    if handlerIsEmpty { return nil }
    guard let request = handler.next() else {
      handlerIsEmpty = true
      return nil
    }
    return Transfer(request)
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

  private mutating func read(_ file: Transfer, _ offset: UInt64, _ length: UInt32, _ reply: Reply) {
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
      let count = UInt32(bytes.count)
      // Short answers are legal (§6.4): the rest is asked for at once, it counts as in flight already.
      if count < length { submitRead(file, offset + UInt64(count), length - count) }
      deliver(file, offset, bytes)
    case .status(let status) where status.code == Status.eof:
      file.outcome = .changed(reason: "it ended before byte \(offset + 1) of \(file.request.expected.size)")
    case .status(let status): file.outcome = .failed(status.error("read", file.request.path))
    default: file.outcome = .failed(wrongKind("read", file, reply))
    }
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
      handler.received(token: file.request.token, bytes: bytes)
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
      } else {
        enqueue(file)
      }
    }
    // With nothing outstanding it may also just be waiting for its turn to read.
    guard file.outstanding == 0, file.isClosing || file.handle == nil else { return }
    bytesInFlight -= file.bytesInFlight
    active[ObjectIdentifier(file)] = nil
    if file.handle != nil { budget.closed() }
    handler.finished(token: file.request.token, outcome: file.outcome ?? .complete)
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

  mutating func pop() -> Element? {
    if outgoing.isEmpty {
      outgoing = incoming.reversed()
      incoming.removeAll(keepingCapacity: true)
    }
    return outgoing.popLast()
  }
}
