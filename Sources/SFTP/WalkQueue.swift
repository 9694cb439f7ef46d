internal import Common
internal import Synchronization

/// A directory that is to be listed, and what an attempt that broke off left of it.
struct PendingDirectory: Sendable {
  /// Relative to the walk's root; nil is the root itself.
  var path: RemotePath?
  /// Names of subdirectories that are in the queue already.
  var descended: Set<[UInt8]> = []
}

/// One walk of a tree that connections share: the directories that nobody has taken yet.
final class WalkQueue: SharedWork {
  /// Directories waiting for each connection at work, above which one more is of use.
  private static let backlogPerConnection = 32

  private struct State {
    /// Last in, first out, so that it stays short.
    var waiting: [PendingDirectory] = [PendingDirectory(path: nil)]
    /// Waiting or taken.
    var unfinished = 1
    var finished = 0
    var blame = Blame<RemotePath?>()
    var failure: SFTPError?
  }

  let root: [UInt8]
  private let state = Monitor(State())
  private let ended = Atomic<Bool>(false)
  /// Every call of it is made under `telling`.
  private nonisolated(unsafe) let visitor: any TreeVisitor
  private let telling = Mutex(())
  private let stop: StopSignal
  private let wantsConnections: @Sendable (Int) -> Void

  /// - Parameter wantsConnections: told how many connections would find something to do, when that is more than one.
  init(
    root: [UInt8], visitor: any TreeVisitor, stop: StopSignal,
    wantsConnections: @escaping @Sendable (Int) -> Void = { _ in }
  ) {
    self.root = root
    self.visitor = visitor
    self.stop = stop
    self.wantsConnections = wantsConnections
  }

  func work(over connection: SFTPConnection) throws(SFTPError) {
    var walk = Walk(
      queue: self, stream: connection.stream, logger: connection.logger, answersInOrder: connection.answersInOrder,
      caution: state.read { $0.blame.caution })
    do throws(SFTPError) {
      while true {
        try walk.run()
        if !waitForMore() { break }
        walk.rested()
      }
    } catch {
      giveBack(walk.unfinished, hasGained: walk.finishedCount > 0, error)
      throw error
    }
    if stop.isRequested { throw connection.stream.fail(.stopped("list", "")) }
  }

  var isOver: Bool { state.read { $0.unfinished == 0 || $0.failure != nil } }
  var progress: Int { state.read { $0.finished } }
  var failure: SFTPError? { state.read { $0.failure } }
  /// As ``isOver`` when it was ended before its end; cheap enough to ask at every answer.
  var isEnded: Bool { ended.load(ordering: .relaxed) }

  func end(_ error: SFTPError) {
    state.change { $0.failure = $0.failure ?? error }
    ended.store(true, ordering: .relaxed)
  }

  /// The next directory to list; nil when there is none now.
  func take() -> PendingDirectory? {
    state.change { $0.failure == nil ? $0.waiting.popLast() : nil }
  }

  /// Calls the visitor, one thread at a time.
  func tell<Result: Sendable>(_ body: (any TreeVisitor) -> Result) -> Result {
    telling.withLock { _ in body(visitor) }
  }

  /// A directory was found.
  func add(_ path: RemotePath) {
    let waiting = state.change { state in
      state.waiting.append(PendingDirectory(path: path))
      state.unfinished += 1
      return state.waiting.count
    }
    if waiting % Self.backlogPerConnection == 0 { wantsConnections(1 + waiting / Self.backlogPerConnection) }
  }

  /// A directory that was taken has been listed, or is unknown.
  func finish() {
    state.change {
      $0.unfinished -= 1
      $0.finished += 1
    }
  }

  private func giveBack(_ directories: [PendingDirectory], hasGained: Bool, _ error: SFTPError) {
    let isHopeless = state.change { $0.blame.lost(hasGained: hasGained, taken: directories.map(\.path)) != nil }
    if isHopeless {
      for directory in directories { tell { $0.unknownDirectory(directory.path, error) } }
      state.change { $0.unfinished -= directories.count }
    } else {
      state.change { $0.waiting += directories }
    }
  }

  /// Waits while others may still find directories; false when nothing can come any more.
  private func waitForMore() -> Bool {
    while !stop.isRequested {
      let isMore: Bool? = state.wait(milliseconds: 250) { state in
        if state.unfinished == 0 || state.failure != nil { return false }
        return state.waiting.isEmpty ? nil : true
      }
      if let isMore { return isMore }
    }
    return false
  }
}
