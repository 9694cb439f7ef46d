import Common
import Foundation
import Logging
import SFTP
import Synchronization
import TestSupport

/// Remembers what a walk told it, by the bytes of the paths.
final class PathVisitor: TreeVisitor {
  var files: [RemotePath: Fingerprint] = [:]
  var listed = 0
  var unknown: [RemotePath: SFTPError] = [:]
  var skipped: [SkipReason] = []

  func shouldDescend(into directory: RemotePath) -> Bool { true }
  func found(_ found: [ListedFile], in directory: RemotePath?) {
    for file in found { files[try! RemotePath(directory: directory, name: file.name)] = file.fingerprint }
  }
  func listedDirectory(_ path: RemotePath?) { listed += 1 }
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) {
    unknown[path ?? (try! RemotePath("the root"))] = error
  }
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) { skipped.append(reason) }

  /// The files in a fixed order, which is that of ``requests(under:)``.
  var paths: [RemotePath] { files.keys.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) } }

  func requests(under root: [UInt8]) -> [DownloadRequest] {
    paths.enumerated().map { DownloadRequest(token: $0, path: joinRemote(root, $1), expected: files[$1]!) }
  }
}

extension RealSFTPServer {
  func settings(by credential: Credential) throws -> SFTPSettings {
    SFTPSettings(
      host: host, port: UInt16(port), user: user, password: credential == .password ? Secret(password) : nil,
      privateKey: credential == .key ? Secret(String(decoding: try readFile(keyFile), as: UTF8.self)) : nil,
      privateKeyPassphrase: nil, hostKeyPolicy: .pins([try hostKeyFingerprint()]), timeoutSeconds: 60)
  }

  func connect(by credential: Credential = .key) throws -> SFTPConnection {
    try SFTPConnection(settings(by: credential), stop: StopSignal(), logger: quietLogger)
  }

  /// The absolute path of what is served.
  func root(_ connection: SFTPConnection) throws -> [UInt8] { try connection.realPath(Array(folder.utf8)) }

  /// Puts a file into what is served, with its directories.
  func serve(_ path: [UInt8], _ content: [UInt8], mtime: Int = 1_700_000_000) throws {
    try writeFile(Array("\(served)/".utf8) + path, content, mtime: mtime)
  }

  /// Lists everything: what was found, and a request for each file.
  func list(_ connection: SFTPConnection) throws -> (PathVisitor, [DownloadRequest]) {
    let root = try root(connection)
    let visitor = PathVisitor()
    try connection.walk(root, visitor: visitor)
    return (visitor, visitor.requests(under: root))
  }
}

/// Keeps log lines, each with its metadata as `name=value`.
final class RecordingLog: Sendable {
  private let kept = Mutex<[String]>([])

  func lines(with words: String) -> [String] { kept.withLock { $0.filter { $0.contains(words) } } }

  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

  private struct Handler: LogHandler {
    let log: RecordingLog
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.debug

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let fields = (event.metadata ?? [:]).map { "\($0)=\($1)" }.sorted()
      log.kept.withLock { $0.append(([event.message.description] + fields).joined(separator: " ")) }
    }
  }
}
