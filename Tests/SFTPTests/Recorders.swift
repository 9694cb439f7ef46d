import Common
import Logging
import SFTP
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

  func shouldDescend(into directory: RemotePath) -> Bool { !avoided.contains(directory.description) }

  func file(_ path: RemotePath, _ fingerprint: Fingerprint) {
    if listed.contains(path.parent?.description ?? "") { late.append(path.description) }
    files[path.description] = fingerprint
  }

  func listedDirectory(_ path: RemotePath?) { listed.append(path?.description ?? "") }

  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) { unknown[path?.description ?? ""] = error }

  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) {
    skipped[(directory.map { $0.description + "/" } ?? "") + escaped(name)] = reason
  }
}

/// Asks for files and keeps their bytes.
final class RecordingHandler: DownloadHandler {
  var requests: [DownloadRequest]
  var bytes: [Int: [UInt8]] = [:]
  var outcomes: [Int: DownloadOutcome] = [:]
  var finishedTwice: [Int] = []
  var onReceive: (() -> Void)?

  init(_ requests: [DownloadRequest]) { self.requests = requests.reversed() }

  /// One request for each file, its token its place.
  convenience init(_ files: [(path: String, size: Int)], mtime: UInt32 = 1_700_000_000) {
    self.init(
      files.enumerated().map { token, file in
        DownloadRequest(
          token: token, path: Array(file.path.utf8), expected: Fingerprint(size: UInt64(file.size), mtime: mtime))
      })
  }

  func next() -> DownloadRequest? { requests.popLast() }

  func received(token: Int, bytes: [UInt8]) {
    self.bytes[token, default: []] += bytes
    onReceive?()
  }

  func finished(token: Int, outcome: DownloadOutcome) {
    if outcomes.updateValue(outcome, forKey: token) != nil { finishedTwice.append(token) }
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
  func client(timeoutSeconds: Int = 20, stop: StopSignal = StopSignal()) throws -> SFTPConnection {
    try SFTPConnection(
      channel: DescriptorChannel(adopting: connect()), timeoutSeconds: timeoutSeconds, stop: stop,
      logger: quietLogger)
  }
}

let quietLogger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// Bytes that differ from place to place, so that a part in the wrong place shows.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(state: seed)
  return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}
