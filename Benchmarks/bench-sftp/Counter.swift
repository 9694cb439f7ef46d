import Common
import SFTP
import Synchronization

/// Counts what a walk finds, and keeps the files when they are to be read.
final class Counter: TreeVisitor {
  private(set) var files = 0
  private(set) var bytes: UInt64 = 0
  /// Directories that could not be listed and entries that are neither file nor directory.
  private(set) var faults = 0
  private(set) var found: [(path: RemotePath, fingerprint: Fingerprint)] = []
  private let keepsFiles: Bool

  init(keepsFiles: Bool) { self.keepsFiles = keepsFiles }

  func shouldDescend(into directory: RemotePath) -> Bool { true }

  func found(_ files: [ListedFile], in directory: RemotePath?) {
    self.files += files.count
    for file in files {
      bytes += file.fingerprint.size
      if keepsFiles, let path = try? RemotePath(directory: directory, name: file.name) {
        found.append((path, file.fingerprint))
      }
    }
  }

  func listedDirectory(_ path: RemotePath?) {}
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) { faults += 1 }
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) { faults += 1 }
}

/// Downloads files and drops their bytes.
final class Drain: DownloadHandler {
  private struct State {
    var next = 0
    var complete = 0
    var bytes: UInt64 = 0
  }

  private let requests: [DownloadRequest]
  private let state = Mutex(State())

  init(_ files: [(path: RemotePath, fingerprint: Fingerprint)], root: [UInt8]) {
    requests = files.enumerated().map { token, file in
      DownloadRequest(token: token, path: joinRemote(root, file.path), expected: file.fingerprint)
    }
  }

  /// Files that came whole.
  var completeCount: Int { state.withLock { $0.complete } }
  var receivedBytes: UInt64 { state.withLock { $0.bytes } }

  func next() -> NextDownload {
    state.withLock { state in
      guard state.next < requests.count else { return .none }
      state.next += 1
      return .file(requests[state.next - 1])
    }
  }

  func received(token: Int, bytes: [UInt8]) -> Bool {
    state.withLock { $0.bytes += UInt64(bytes.count) }
    return true
  }

  func interrupted(token: Int) -> DownloadRequest { requests[token] }

  func finished(token: Int, outcome: DownloadOutcome) {
    if case .complete = outcome { state.withLock { $0.complete += 1 } }
  }
}
