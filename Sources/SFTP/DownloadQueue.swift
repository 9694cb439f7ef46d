internal import Common
internal import Synchronization

/// Downloads that connections share: the files that nobody has taken yet.
final class DownloadQueue: SharedWork {
  /// A connection reads one file of this size or more at a time, so that large files spread over the connections.
  static let largeBytes: UInt64 = 16 << 20
  /// A connection that got files so much further was worth having. Bytes that must be read again do not count: else a
  /// file whose end is never reached would be read for ever.
  private static let gainBytes: UInt64 = 8 << 20

  private struct State {
    /// Given back by broken connections.
    var returned: [DownloadRequest] = []
    /// Passed over by connections that had a large one already, last come, last out.
    var large: [DownloadRequest] = []
    var firstLarge = 0
    var underWay = 0
    var finished = 0
    var blame = Blame<Int>()
    var isHandlerEmpty = false
    /// The handler had nothing when it was last asked, and may have something by now.
    var isHandlerWaiting = false
    var failure: SFTPError?

    var isHoldingFiles: Bool { !returned.isEmpty || firstLarge < large.count }
    var isDrained: Bool { !isHoldingFiles && isHandlerEmpty }
  }

  private let handler: any DownloadHandler
  private let filesInFlight: Int
  private let stop: StopSignal
  private let state = Monitor(State())
  private let ended = Atomic<Bool>(false)

  /// - Parameter filesInFlight: open at once over one connection, at most.
  init(_ handler: any DownloadHandler, filesInFlight: Int, stop: StopSignal) {
    self.handler = handler
    self.filesInFlight = filesInFlight
    self.stop = stop
  }

  func work(over connection: SFTPConnection) throws(SFTPError) {
    var download = Download(
      handler: handler, queue: self, stream: connection.stream, logger: connection.logger,
      answersInOrder: connection.answersInOrder,
      filesInFlight: filesInFlight, caution: state.read { $0.blame.caution })
    do throws(SFTPError) {
      while true {
        try download.run()
        if !waitForMore() { break }
        download.rested()
      }
    } catch {
      giveBack(download.unfinished, hasFinished: download.hasFinished, error)
      throw error
    }
    if stop.isRequested { throw connection.stream.fail(.stopped("download", "")) }
  }

  var isOver: Bool { state.read { $0.failure != nil || ($0.isDrained && $0.underWay == 0) } }
  var progress: Int { state.read { $0.finished } }
  var failure: SFTPError? { state.read { $0.failure } }
  /// As ``isOver`` when it was ended before its end; cheap enough to ask at every answer.
  var isEnded: Bool { ended.load(ordering: .relaxed) }

  func end(_ error: SFTPError) {
    let left = state.change { state in
      state.failure = state.failure ?? error
      defer {
        state.returned = []
        state.large = []
        state.firstLarge = 0
      }
      return state.returned + state.large[state.firstLarge...]
    }
    ended.store(true, ordering: .relaxed)
    for request in left { handler.finished(token: request.token, outcome: .abandoned) }
  }

  /// The next file to read; nil when there is none now.
  /// - Parameter large: a large one is welcome too.
  func take(large isLargeWelcome: Bool) -> DownloadRequest? {
    state.change { state in
      guard state.failure == nil else { return nil }
      if isLargeWelcome, state.firstLarge < state.large.count {
        state.underWay += 1
        state.firstLarge += 1
        return state.large[state.firstLarge - 1]
      }
      if let index = state.returned.lastIndex(where: { isLargeWelcome || !Self.isLarge($0) }) {
        state.underWay += 1
        return state.returned.remove(at: index)
      }
      while !state.isHandlerEmpty {
        let next = handler.next()
        guard case .file(let request) = next else {
          if case .later = next { state.isHandlerWaiting = true } else { state.isHandlerEmpty = true }
          return nil
        }
        state.isHandlerWaiting = false
        if isLargeWelcome || !Self.isLarge(request) {
          state.underWay += 1
          return request
        }
        state.large.append(request)
      }
      return nil
    }
  }

  static func isLarge(_ request: DownloadRequest) -> Bool { request.expected.size - request.startAt >= largeBytes }

  /// A file that was taken has ended.
  func finish(_ request: DownloadRequest, _ outcome: DownloadOutcome) {
    handler.finished(token: request.token, outcome: outcome)
    state.change {
      $0.underWay -= 1
      $0.finished += 1
    }
  }

  /// Files that a broken connection had under way go to the others, or to its successor.
  private func giveBack(_ requests: [DownloadRequest], hasFinished: Bool, _ error: SFTPError) {
    if stop.isRequested || failure != nil {
      for request in requests {
        handler.finished(token: request.token, outcome: .abandoned)
        state.change { $0.underWay -= 1 }
      }
      return
    }
    let again = requests.map { handler.interrupted(token: $0.token) }
    let gained = zip(requests, again).reduce(0) { $0 + ($1.1.startAt - min($1.0.startAt, $1.1.startAt)) }
    let hasGained = hasFinished || gained >= Self.gainBytes
    let hopeless = state.change { state in
      if hasGained { state.finished += 1 }
      return state.blame.lost(hasGained: hasGained, taken: requests.map(\.token))
    }
    for request in again {
      if request.token == hopeless {
        handler.finished(token: request.token, outcome: .failed(Self.hopeless(error)))
        state.change { $0.underWay -= 1 }
        continue
      }
      let isTooLate = state.change { state in
        state.underWay -= 1
        if state.failure == nil { state.returned.append(request) }
        return state.failure != nil
      }
      if isTooLate { handler.finished(token: request.token, outcome: .abandoned) }
    }
  }

  private static func hopeless(_ error: SFTPError) -> SFTPError {
    var failure = error
    failure.severity = .item
    failure.advice = "the connection broke each of the \(Blame<Int>.limit) times that nothing but this file was read"
    return failure
  }

  /// Waits while others may still give files back, or the handler may have more; false when nothing can come any more.
  private func waitForMore() -> Bool {
    while !stop.isRequested {
      let isMore: Bool? = state.wait(milliseconds: 100) { state in
        if state.failure != nil || (state.isDrained && state.underWay == 0) { return false }
        return state.isHoldingFiles || !(state.isHandlerEmpty || state.isHandlerWaiting) ? true : nil
      }
      if let isMore { return isMore }
      // Nobody tells when a handler has more: it is to be asked.
      if state.read({ $0.isHandlerWaiting && !$0.isHandlerEmpty }) { return true }
    }
    return false
  }
}
