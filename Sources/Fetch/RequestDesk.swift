internal import Common
internal import SFTP
internal import Synchronization

/// Says which file a connection reads next, and from where. Shared by the connections, the writers and whoever proves
/// partial files; a file is named by its token, which is its place in the plan.
///
/// A large file that goes on where it was interrupted may prove unfit when what comes again is compared; it is then
/// handed out again, from its beginning. So as long as one is under way there may be more to come.
final class RequestDesk: Sendable {
  /// Of a large file under way: bytes that the writer has been given, counted from its beginning.
  private struct Progress {
    /// Where the next bytes belong.
    var position: UInt64
    /// As far as it ever came.
    var reached: UInt64
  }

  private struct State {
    /// How much of `order` has been handed out.
    var given = 0
    /// To be read before anything else.
    var ready: [(token: Int, startAt: UInt64)] = []
    /// Partial files of earlier runs that have not been looked at.
    var unproved: Int
    /// What came again differs from what had come: no more of it is wanted.
    var refused: Set<Int> = []
    /// Of those that are proved, or handed out, until the writer has done with them.
    var progress: [Int: Progress] = [:]
  }

  private let items: ListedFileSelection
  private let order: [UInt32]
  /// From this place in `order` on nothing is read before `heldUntilSeconds`.
  private let firstHeld: Int
  private let heldUntilSeconds: Double
  private let resumes: Bool
  private let state: Mutex<State>

  /// - Parameters:
  ///   - partials: tokens whose files are handed out when they are proved, or have proved unfit.
  ///   - held: files that must not be read yet, and until when.
  ///   - resumes: interrupted large files go on; otherwise they begin anew.
  init(_ items: ListedFileSelection, partials: Set<Int>, held: HeldFiles, resumes: Bool) {
    self.items = items
    var isHeld = [Bool](repeating: false, count: items.count)
    for token in held.tokens { isHeld[token] = true }
    var order: [UInt32] = []
    order.reserveCapacity(items.count)
    for token in items.indices where !isHeld[token] && !partials.contains(token) { order.append(UInt32(token)) }
    firstHeld = order.count
    for token in held.tokens where !partials.contains(token) { order.append(UInt32(token)) }
    self.order = order
    heldUntilSeconds = held.untilSeconds
    self.resumes = resumes
    state = Mutex(State(unproved: partials.count))
  }

  func isResumable(_ token: Int) -> Bool { resumes && items.fingerprint(at: token).size >= Resumption.leastFileBytes }

  enum Next: Equatable {
    case file(token: Int, startAt: UInt64)
    case later, none
  }

  func next() -> Next {
    state.withLock { state in
      if let ready = state.ready.popLast() {
        begin(ready.token, &state)
        return .file(token: ready.token, startAt: ready.startAt)
      }
      if state.given < order.count {
        if state.given >= firstHeld, monotonicSeconds() < heldUntilSeconds { return .later }
        let token = Int(order[state.given])
        state.given += 1
        begin(token, &state)
        return .file(token: token, startAt: 0)
      }
      return state.unproved > 0 || !state.progress.isEmpty ? .later : .none
    }
  }

  private func begin(_ token: Int, _ state: inout State) {
    if isResumable(token), state.progress[token] == nil { state.progress[token] = Progress(position: 0, reached: 0) }
  }

  // MARK: Connections

  /// Takes note of bytes on their way to the writer.
  /// - Returns: false when no more are wanted.
  func hand(_ count: Int, of token: Int) -> Bool {
    guard isResumable(token) else { return true }
    return state.withLock { state in
      var progress = state.progress[token] ?? Progress(position: 0, reached: 0)
      progress.position += UInt64(count)
      progress.reached = max(progress.reached, progress.position)
      state.progress[token] = progress
      return !state.refused.contains(token)
    }
  }

  /// The connection broke.
  /// - Returns: where to go on. What the writer was given before stays, unless that is 0.
  func interrupted(_ token: Int) -> UInt64 {
    guard isResumable(token) else { return 0 }
    return state.withLock { state in
      let isRefused = state.refused.remove(token) != nil
      let start = isRefused ? 0 : Resumption.start(after: state.progress[token]?.reached ?? 0)
      if start > 0 {
        state.progress[token]?.position = start
      } else {
        state.progress[token] = Progress(position: 0, reached: 0)
      }
      return start
    }
  }

  // MARK: Writers

  /// What came again is not what had come.
  func refuse(_ token: Int) { _ = state.withLock { $0.refused.insert(token) } }

  /// The writer has done with the file, or wants it from its beginning.
  func end(_ token: Int, beginsAnew: Bool) {
    guard isResumable(token) else { return }
    state.withLock { state in
      state.refused.remove(token)
      state.progress[token] = nil
      if beginsAnew { state.ready.append((token, 0)) }
    }
  }

  // MARK: Partial files of earlier runs

  /// The first `bytes` of the file are proved.
  func resume(_ token: Int, after bytes: UInt64) {
    let start = Resumption.start(after: bytes)
    state.withLock { state in
      state.unproved -= 1
      state.progress[token] = Progress(position: start, reached: bytes)
      state.ready.append((token, start))
    }
  }

  /// What is there of the file is of no use.
  func beginAnew(_ token: Int) {
    state.withLock { state in
      state.unproved -= 1
      state.ready.append((token, 0))
    }
  }
}
