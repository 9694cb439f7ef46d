// bench-list: walks the remote folder with the connections and settings of fetch, and only counts. Its settings are
// those of `sftp-to-s3 fetch`, from the environment. Prints `FILES BYTES DIRECTORIES`; exit code 1 when it did not see
// all.
import Common
import FoundationEssentials
import Glibc
import Logging
import SFTP

/// Counts what a walk finds.
final class Counter: TreeVisitor {
  private(set) var files = 0
  private(set) var bytes: UInt64 = 0
  private(set) var directories = 0
  private(set) var faults = 0

  func shouldDescend(into directory: RemotePath) -> Bool { true }

  func found(_ files: [ListedFile], in directory: RemotePath?) {
    self.files += files.count
    for file in files { bytes += file.fingerprint.size }
  }

  func listedDirectory(_ path: RemotePath?) { directories += 1 }
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) { faults += 1 }
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) { faults += 1 }
}

func list() throws -> Counter {
  let environment = ProcessInfo.processInfo.environment.mapValues { Array($0.utf8) }
  let configuration = try Configuration(SettingsReader(environment: environment), needs: .sftp)
  guard let source = configuration.sftp else { preconditionFailure("asked for above") }
  let settings = SFTPSettings(
    host: source.host, port: source.port, user: source.user, password: source.password, privateKey: source.key,
    privateKeyPassphrase: source.keyPassphrase, hostKeyPolicy: .pins(source.hostKeyPins),
    timeoutSeconds: source.timeoutSeconds)
  let logger = Logger(label: "bench-list") { StreamLogHandler.standardError(label: $0) }
  let pool = try ConnectionPool(maximum: source.connections, stop: StopSignal(), logger: logger) {
    (stop) throws(SFTPError) in try SFTPConnection(settings, stop: stop, logger: logger)
  }
  defer { pool.close() }
  let root = try pool.ask { (connection) throws(SFTPError) in try connection.realPath(Array(source.folder.utf8)) }
  let counter = Counter()
  try pool.walk(root, visitor: counter)
  return counter
}

do {
  let counter = try list()
  print(counter.files, counter.bytes, counter.directories)
  exit(counter.faults == 0 ? 0 : 1)
} catch {
  let line = Array("bench-list: \(error)\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  exit(1)
}
