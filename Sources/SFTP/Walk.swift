internal import Common
internal import Logging

extension SFTPConnection {
  /// Lists a whole tree, many directories at once, in no particular order. `root` is an absolute remote path.
  ///
  /// Throws only for connection-level failures and a stop request; what fails for one directory goes to the visitor.
  package func walk(_ root: [UInt8], visitor: any TreeVisitor) throws(SFTPError) {
    try WalkQueue(root: root, visitor: visitor, stop: stop).work(over: self)
  }
}

/// What one connection does of a walk: directories open, and entries whose attributes are being asked for.
///
/// What a directory holds is told when its listing has ended, so that it can be listed again over another connection
/// when this one breaks; only its subdirectories are passed on at once.
struct Walk {
  /// Directories open at once, with a server that answers in order and with any other.
  private static let openLimits = (inOrder: 128, other: 64)
  /// READDIR requests outstanding for one directory of a server that answers in order. Others (asyncssh) fail when two
  /// of them meet on one handle.
  private static let readdirDepth = 4
  /// Entries of one directory, beyond which a server is taken to list for ever.
  private static let entryLimit = 10_000_000
  /// Entries waiting for LSTAT, beyond which no more listing is asked for.
  private static let lstatLimit = 1024
  /// Entries that must come in a window of so many time-outs; a directory that ends counts as this many.
  private static let leastEntries = 16
  private static let paceTimeouts = 5.0

  private enum Purpose {
    case opendir(OpenDirectory)
    /// The number says which READDIR of its directory it was, from 0.
    case readdir(OpenDirectory, number: Int)
    case close
    case lstat(OpenDirectory, NamedEntry)
  }

  /// One directory from OPENDIR to the last of its entries.
  private final class OpenDirectory {
    let path: RemotePath?
    let absolute: [UInt8]
    /// What is known of it, should it have to be listed again.
    var pending: PendingDirectory
    var files: [ListedFile] = []
    var skipped: [(name: [UInt8], reason: SkipReason)] = []
    /// Set when the server refused to open it: to be tried again when fewer than this many are open.
    var retryBelow: Int?
    var handle: [UInt8] = []
    var nextReaddir = 0
    var readdirsOutstanding = 0
    var lstatsWaiting = 0
    var entries = 0
    /// The first READDIR that was answered with the end, or with an error; later ones mean nothing.
    var endedAt = Int.max
    /// Why the listing is not complete; belongs to `endedAt`.
    var error: SFTPError?
    var isClosed = false

    init(_ pending: PendingDirectory, root: [UInt8]) {
      self.pending = pending
      path = pending.path
      absolute = pending.path.map { joinRemote(root, $0) } ?? root
    }
  }

  private let queue: WalkQueue
  private let stream: MessageStream
  private let logger: Logger
  private let answersInOrder: Bool
  private var outstanding = Outstanding<Purpose>()
  /// Taken from the queue and not finished.
  private var taken: [ObjectIdentifier: OpenDirectory] = [:]
  /// Refused, perhaps because too many were open.
  private var postponed: [OpenDirectory] = []
  /// Open and free to take another READDIR.
  private var listable: [OpenDirectory] = []
  private var lstatQueue: [(OpenDirectory, NamedEntry)] = []
  private var lstatsOutstanding = 0
  private var toldFewHandles = false
  private var budget: HandleBudget
  private var pace: Pace
  /// Directories listed, or found unlistable, over this connection.
  private(set) var finishedCount = 0

  /// - Parameters:
  ///   - answersInOrder: the server is known to carry requests out one after the other.
  ///   - caution: connections that broke with nothing to show for it.
  init(queue: WalkQueue, stream: MessageStream, logger: Logger, answersInOrder: Bool, caution: Int) {
    self.queue = queue
    self.stream = stream
    self.logger = logger
    self.answersInOrder = answersInOrder
    let maximum = answersInOrder ? Self.openLimits.inOrder : Self.openLimits.other
    budget = HandleBudget(maximum: maximum, caution: caution)
    pace = Pace(leastUnits: Self.leastEntries, inSeconds: Self.paceTimeouts * Double(stream.timeoutSeconds))
  }

  /// What this connection has taken and not finished.
  var unfinished: [PendingDirectory] { taken.values.map(\.pending) }

  /// Nothing was asked of the server for a while.
  mutating func rested() { pace.restart() }

  /// Lists until there is nothing to take, and everything taken is finished.
  mutating func run() throws(SFTPError) {
    while true {
      ask()
      if outstanding.isEmpty { return }
      let (purpose, reply) = try outstanding.next(on: stream)
      if queue.isEnded { throw stream.fail(.stopped("list", "")) }
      switch purpose {
      case .opendir(let directory): opened(directory, reply)
      case .readdir(let directory, let number): listed(directory, number, reply)
      case .lstat(let directory, let entry): examined(directory, entry, reply)
      case .close:
        if !answersInOrder { budget.closed() }
      }
      pace.excuse(seconds: stream.takeWaitedSeconds())
      if pace.isStalled() {
        throw stream.fail(.stalled("list", seconds: Int(Self.paceTimeouts) * stream.timeoutSeconds))
      }
    }
  }

  /// Queues as many requests as the limits allow.
  private mutating func ask() {
    var hasRoom: Bool { outstanding.bytes < MessageStream.unansweredLimit }
    while hasRoom, lstatsOutstanding < Self.lstatLimit, let (directory, entry) = lstatQueue.popLast() {
      lstatsOutstanding += 1
      let path = child(directory, entry.name)
      outstanding.submit(.lstat(path: path), for: .lstat(directory, entry), on: stream)
    }
    guard lstatQueue.isEmpty else { return }
    if let limits = stream.limits { budget.lower(to: limits.openHandles) }
    let readdirDepth = answersInOrder ? Self.readdirDepth : 1
    while hasRoom, let directory = listable.popLast() {
      while directory.readdirsOutstanding < readdirDepth, directory.endedAt == .max {
        outstanding.submit(
          .readdir(handle: directory.handle), for: .readdir(directory, number: directory.nextReaddir), on: stream)
        directory.nextReaddir += 1
        directory.readdirsOutstanding += 1
      }
    }
    while hasRoom, budget.hasRoom, let directory = nextDirectory() {
      budget.opening()
      outstanding.submit(.opendir(path: directory.absolute), for: .opendir(directory), on: stream)
    }
  }

  private mutating func nextDirectory() -> OpenDirectory? {
    if let below = postponed.last?.retryBelow, budget.inUse < below { return postponed.removeLast() }
    return queue.take().map { pending in
      let directory = OpenDirectory(pending, root: queue.root)
      taken[ObjectIdentifier(directory)] = directory
      return directory
    }
  }

  private mutating func opened(_ directory: OpenDirectory, _ reply: Reply) {
    switch reply {
    case .handle(let handle):
      directory.handle = handle
      budget.opened()
      listable.append(directory)
    case .status(let status) where status.code == Status.failure:
      let before = budget.limit
      switch budget.refused(below: directory.retryBelow) {
      case .ownFailure: finish(directory, status.error("list", directory.absolute))
      case .retry(let below):
        directory.retryBelow = below
        postponed.append(directory)
      }
      if budget.limit < before { logFewHandles() }
    case .status(let status):
      budget.failed()
      finish(directory, status.error("list", directory.absolute))
    default:
      budget.failed()
      finish(directory, wrongKind(reply, directory))
    }
  }

  private mutating func logFewHandles() {
    if toldFewHandles { return }
    toldFewHandles = true
    logger.notice("the server opens only so many directories at once", metadata: ["limit": "\(budget.limit)"])
  }

  private mutating func listed(_ directory: OpenDirectory, _ number: Int, _ reply: Reply) {
    directory.readdirsOutstanding -= 1
    switch reply {
    // No entries and no end: asked again for ever, such a server would never be done.
    case .names(let entries) where entries.isEmpty:
      end(directory, number, .badAnswer("list", directory.absolute, reason: "the server answered with no names"))
    case .names(let entries):
      directory.entries += entries.count
      pace.note(entries.count)
      for entry in entries { found(directory, entry) }
      if directory.entries > Self.entryLimit {
        end(directory, number, .badAnswer("list", directory.absolute, reason: "more than \(Self.entryLimit) entries"))
      }
    case .status(let status) where status.code == Status.eof: end(directory, number, nil)
    case .status(let status): end(directory, number, status.error("list", directory.absolute))
    default: end(directory, number, wrongKind(reply, directory))
    }
    if directory.endedAt == .max {
      listable.append(directory)
    } else if directory.readdirsOutstanding == 0 && !directory.isClosed {
      directory.isClosed = true
      outstanding.submit(.close(handle: directory.handle), for: .close, on: stream)
      // Such a server has closed it before it opens what is asked for next.
      if answersInOrder { budget.closed() }
    }
    finishIfDone(directory)
  }

  private func end(_ directory: OpenDirectory, _ number: Int, _ error: SFTPError?) {
    guard number < directory.endedAt else { return }
    directory.endedAt = number
    directory.error = error
  }

  private mutating func found(_ directory: OpenDirectory, _ entry: NamedEntry) {
    if entry.name == [0x2e] || entry.name == [0x2e, 0x2e] { return }
    let isComplete = entry.attributes.kind.map { $0 != .file || entry.attributes.fingerprint != nil } ?? false
    if isComplete {
      deliver(directory, entry)
    } else if let fault = fault(directory, entry.name) {
      // Never asked about: the name would lead out of its directory.
      directory.skipped.append((entry.name, .badName(fault)))
    } else {
      directory.lstatsWaiting += 1
      lstatQueue.append((directory, entry))
    }
  }

  private mutating func examined(_ directory: OpenDirectory, _ entry: NamedEntry, _ reply: Reply) {
    lstatsOutstanding -= 1
    directory.lstatsWaiting -= 1
    switch reply {
    case .attributes(let attributes):
      // LSTAT is the younger of the two answers.
      var entry = entry
      let listed = entry.attributes
      entry.attributes = attributes
      entry.attributes.fill(from: listed)
      deliver(directory, entry)
    case .status(let status) where status.code == Status.noSuchFile: break  // deleted since it was listed
    case .status(let status):
      let error = status.error("lstat", child(directory, entry.name))
      directory.skipped.append((entry.name, .noAttributes(error.reason)))
    default:
      let reason = "the server answered LSTAT with \(reply.kind)"
      directory.skipped.append((entry.name, .noAttributes(reason)))
    }
    finishIfDone(directory)
  }

  /// Takes note of an entry with whatever attributes could be learned.
  private func deliver(_ directory: OpenDirectory, _ entry: NamedEntry) {
    func skip(_ reason: SkipReason) { directory.skipped.append((entry.name, reason)) }
    if let fault = fault(directory, entry.name) { return skip(.badName(fault)) }
    switch entry.attributes.kind {
    case nil: skip(.noAttributes("the server does not say what it is"))
    case .symlink: skip(.symlink)
    case .special: skip(.special)
    case .directory: descend(directory, entry.name)
    case .file:
      if let fingerprint = entry.attributes.fingerprint {
        directory.files.append(ListedFile(name: entry.name, fingerprint: fingerprint))
      } else {
        let missing = entry.attributes.size == nil ? "size" : "modification time"
        skip(.noAttributes("the server does not say its \(missing)"))
      }
    }
  }

  private func descend(_ directory: OpenDirectory, _ name: [UInt8]) {
    // Never fails: the name has been judged. A name that is listed twice is one directory.
    guard let path = try? RemotePath(directory: directory.path, name: name),
      directory.pending.descended.insert(name).inserted
    else { return }
    if queue.tell({ $0.shouldDescend(into: path) }) { queue.add(path) }
  }

  private mutating func finishIfDone(_ directory: OpenDirectory) {
    guard directory.endedAt != .max, directory.readdirsOutstanding == 0, directory.lstatsWaiting == 0 else { return }
    finish(directory, directory.error)
  }

  /// Tells what the directory holds, and that it is listed, or why it is unknown.
  private mutating func finish(_ directory: OpenDirectory, _ error: SFTPError?) {
    guard taken.removeValue(forKey: ObjectIdentifier(directory)) != nil else { return }
    pace.note(Self.leastEntries)
    queue.tell { visitor in
      if !directory.files.isEmpty { visitor.found(directory.files, in: directory.path) }
      for entry in directory.skipped {
        visitor.skipped(directory: directory.path, name: entry.name, reason: entry.reason)
      }
      if let error {
        visitor.unknownDirectory(directory.path, error)
      } else {
        visitor.listedDirectory(directory.path)
      }
    }
    finishedCount += 1
    budget.succeeded()
    queue.finish()
  }

  private func fault(_ directory: OpenDirectory, _ name: [UInt8]) -> RemotePath.Fault? {
    RemotePath.fault(directory: directory.path, name: name)
  }

  private func child(_ directory: OpenDirectory, _ name: [UInt8]) -> [UInt8] {
    directory.absolute + (directory.absolute.last == slash ? [] : [slash]) + name
  }

  private func wrongKind(_ reply: Reply, _ directory: OpenDirectory) -> SFTPError {
    .badAnswer("list", directory.absolute, reason: "the server answered with \(reply.kind)")
  }
}
