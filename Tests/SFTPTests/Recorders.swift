import Common
import Logging
import SFTP
import Synchronization
import TestSupport

/// Remembers what a walk told it.
final class RecordingVisitor: TreeVisitor {
  var files: [String: Fingerprint] = [:]
  var listed: [String] = []
  var unknown: [String: SFTPError] = [:]
  var skipped: [String: SkipReason] = [:]
  var avoided: Set<String> = []
  /// Calls for a directory's entries that came after it was reported as listed.
  var late: [String] = []
  /// Files that were told more than once.
  var twice: [String] = []

  func shouldDescend(into directory: RemotePath) -> Bool { !avoided.contains(directory.description) }

  func found(_ files: [ListedFile], in directory: RemotePath?) {
    for file in files {
      let path = try! RemotePath(directory: directory, name: file.name)
      if listed.contains(directory?.description ?? "") { late.append(path.description) }
      if self.files.updateValue(file.fingerprint, forKey: path.description) != nil { twice.append(path.description) }
    }
  }

  func listedDirectory(_ path: RemotePath?) { listed.append(path?.description ?? "") }

  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) { unknown[path?.description ?? ""] = error }

  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) {
    skipped[(directory.map { $0.description + "/" } ?? "") + escaped(name)] = reason
  }
}

/// Asks for files and keeps their bytes.
final class RecordingHandler: DownloadHandler {
  private struct State {
    var requests: [DownloadRequest]
    var given: [Int: DownloadRequest] = [:]
    var bytes: [Int: [UInt8]] = [:]
    var outcomes: [Int: DownloadOutcome] = [:]
    var finishedTwice: [Int] = []
    var interruptions = 0
    var asksBeforeNext = 0
  }

  private let state: Mutex<State>
  private let onReceive: (@Sendable () -> Void)?
  /// No more of a file is wanted when so many bytes of it have come.
  private let enough: Int
  /// How often it says `.later` before each file but the first, and before it says that there is no more.
  private let laters: Int

  init(
    _ requests: [DownloadRequest], enough: Int = .max, laters: Int = 0, onReceive: (@Sendable () -> Void)? = nil
  ) {
    state = Mutex(State(requests: requests.reversed()))
    self.enough = enough
    self.laters = laters
    self.onReceive = onReceive
  }

  /// One request for each file, its token its place.
  convenience init(
    _ files: [(path: String, size: Int)], mtime: UInt32 = 1_700_000_000, enough: Int = .max, laters: Int = 0,
    onReceive: (@Sendable () -> Void)? = nil
  ) {
    self.init(
      files.enumerated().map { token, file in
        DownloadRequest(
          token: token, path: Array(file.path.utf8), expected: Fingerprint(size: UInt64(file.size), mtime: mtime))
      }, enough: enough, laters: laters, onReceive: onReceive)
  }

  var bytes: [Int: [UInt8]] { state.withLock { $0.bytes } }
  var outcomes: [Int: DownloadOutcome] { state.withLock { $0.outcomes } }
  var finishedTwice: [Int] { state.withLock { $0.finishedTwice } }
  var interruptions: Int { state.withLock { $0.interruptions } }

  func next() -> NextDownload {
    state.withLock { state in
      if state.asksBeforeNext > 0 {
        state.asksBeforeNext -= 1
        return .later
      }
      guard let next = state.requests.popLast() else { return .none }
      state.given[next.token] = next
      state.asksBeforeNext = laters
      return .file(next)
    }
  }

  func received(token: Int, bytes: [UInt8]) -> Bool {
    let count = state.withLock { state in
      state.bytes[token, default: []] += bytes
      return state.bytes[token]!.count
    }
    onReceive?()
    return count < enough
  }

  func interrupted(token: Int) -> DownloadRequest {
    state.withLock { state in
      state.bytes[token] = nil
      state.interruptions += 1
      return state.given[token]!
    }
  }

  func finished(token: Int, outcome: DownloadOutcome) {
    state.withLock { state in
      if state.outcomes.updateValue(outcome, forKey: token) != nil { state.finishedTwice.append(token) }
    }
  }

  func isComplete(_ token: Int) -> Bool {
    if case .complete = outcomes[token] { true } else { false }
  }

  func changeReason(_ token: Int) -> String? {
    if case .changed(let reason) = outcomes[token] { reason } else { nil }
  }

  func failure(_ token: Int) -> SFTPError? {
    if case .failed(let error) = outcomes[token] { error } else { nil }
  }

  func isAbandoned(_ token: Int) -> Bool {
    if case .abandoned = outcomes[token] { true } else { false }
  }
}

extension ScriptedSFTPServer {
  /// A connection to this server.
  func client(
    timeoutSeconds: Int = 20, stop: StopSignal = StopSignal(), bandwidth: BandwidthLimit? = nil
  ) throws -> SFTPConnection {
    try SFTPConnection(
      channel: DescriptorChannel(adopting: connect()), timeoutSeconds: timeoutSeconds, stop: stop,
      bandwidth: bandwidth, logger: quietLogger)
  }
}

let quietLogger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// Bytes that differ from place to place, so that a part in the wrong place shows.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(state: seed)
  return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}
