internal import Common
internal import Logging

extension SFTPConnection {
  /// Lists a whole tree, many directories at once, in no particular order. `root` is an absolute remote path.
  ///
  /// Throws only for connection-level failures and a stop request; what fails for one directory goes to the visitor.
  package func walk(_ root: [UInt8], visitor: any TreeVisitor) throws(SFTPError) {
    var walk = Walk(root: root, visitor: visitor, stream: stream, logger: logger, readdirDepth: readdirDepth)
    try walk.run()
  }
}

/// The state of one walk: directories waiting, directories open, and entries whose attributes are being asked for.
private struct Walk {
  /// Directories open at once.
  private static let openLimit = 64
  /// Entries of one directory, beyond which a server is taken to list for ever.
  private static let entryLimit = 10_000_000
  /// Entries waiting for LSTAT, beyond which no more listing is asked for.
  private static let lstatLimit = 1024

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

    init(path: RemotePath?, absolute: [UInt8]) {
      self.path = path
      self.absolute = absolute
    }
  }

  private let root: [UInt8]
  private let visitor: any TreeVisitor
  private let stream: MessageStream
  private let logger: Logger
  private let readdirDepth: Int
  private var outstanding = Outstanding<Purpose>()
  /// Found, not yet opened; last in, first out, so that it stays short.
  private var waiting: [RemotePath?] = [nil]
  /// Refused, perhaps because too many were open.
  private var postponed: [OpenDirectory] = []
  /// Open and free to take another READDIR.
  private var listable: [OpenDirectory] = []
  private var lstatQueue: [(OpenDirectory, NamedEntry)] = []
  private var lstatsOutstanding = 0
  private var toldFewHandles = false
  private var budget = HandleBudget(maximum: Walk.openLimit)

  init(root: [UInt8], visitor: any TreeVisitor, stream: MessageStream, logger: Logger, readdirDepth: Int) {
    self.root = root
    self.visitor = visitor
    self.stream = stream
    self.logger = logger
    self.readdirDepth = readdirDepth
  }

  mutating func run() throws(SFTPError) {
    while true {
      ask()
      if outstanding.isEmpty { return }
      let (purpose, reply) = try outstanding.next(on: stream)
      switch purpose {
      case .opendir(let directory): opened(directory, reply)
      case .readdir(let directory, let number): listed(directory, number, reply)
      case .lstat(let directory, let entry): examined(directory, entry, reply)
      case .close: budget.closed()
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
    return waiting.popLast().map { path in
      OpenDirectory(path: path, absolute: path.map { joinRemote(root, $0) } ?? root)
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
      case .ownFailure: visitor.unknownDirectory(directory.path, status.error("list", directory.absolute))
      case .retry(let below):
        directory.retryBelow = below
        postponed.append(directory)
      }
      if budget.limit < before { logFewHandles() }
    case .status(let status):
      budget.failed()
      visitor.unknownDirectory(directory.path, status.error("list", directory.absolute))
    default:
      budget.failed()
      visitor.unknownDirectory(directory.path, wrongKind(reply, directory))
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
      visitor.skipped(directory: directory.path, name: entry.name, reason: .badName(fault))
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
      visitor.skipped(directory: directory.path, name: entry.name, reason: .noAttributes(error.reason))
    default:
      let reason = "the server answered LSTAT with \(reply.kind)"
      visitor.skipped(directory: directory.path, name: entry.name, reason: .noAttributes(reason))
    }
    finishIfDone(directory)
  }

  /// Passes on an entry with whatever attributes could be learned.
  private mutating func deliver(_ directory: OpenDirectory, _ entry: NamedEntry) {
    func skip(_ reason: SkipReason) {
      visitor.skipped(directory: directory.path, name: entry.name, reason: reason)
    }
    let path: RemotePath
    do throws(RemotePath.Fault) {
      path = try RemotePath(directory: directory.path, name: entry.name)
    } catch {
      return skip(.badName(error))
    }
    switch entry.attributes.kind {
    case nil: skip(.noAttributes("the server does not say what it is"))
    case .symlink: skip(.symlink)
    case .special: skip(.special)
    case .directory:
      if visitor.shouldDescend(into: path) { waiting.append(path) }
    case .file:
      if let fingerprint = entry.attributes.fingerprint {
        visitor.file(path, fingerprint)
      } else {
        let missing = entry.attributes.size == nil ? "size" : "modification time"
        skip(.noAttributes("the server does not say its \(missing)"))
      }
    }
  }

  private func finishIfDone(_ directory: OpenDirectory) {
    guard directory.endedAt != .max, directory.readdirsOutstanding == 0, directory.lstatsWaiting == 0 else { return }
    if let error = directory.error {
      visitor.unknownDirectory(directory.path, error)
    } else {
      visitor.listedDirectory(directory.path)
    }
  }

  private func fault(_ directory: OpenDirectory, _ name: [UInt8]) -> RemotePath.Fault? {
    do throws(RemotePath.Fault) {
      _ = try RemotePath(directory: directory.path, name: name)
      return nil
    } catch {
      return error
    }
  }

  private func child(_ directory: OpenDirectory, _ name: [UInt8]) -> [UInt8] {
    directory.absolute + (directory.absolute.last == slash ? [] : [slash]) + name
  }

  private func wrongKind(_ reply: Reply, _ directory: OpenDirectory) -> SFTPError {
    .badAnswer("list", directory.absolute, reason: "the server answered with \(reply.kind)")
  }
}
