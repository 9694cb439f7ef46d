// bench-sftp list: walks the remote folder as fetch does, and only counts. bench-sftp read: downloads all files, too,
// as fetch does, and drops their bytes. The settings are those of `sftp-to-s3 fetch`, from the environment. Prints
// `FILES BYTES`; exit code 1 when it did not see all.
import Common
import FoundationEssentials
import Glibc
import Logging
import SFTP

let arguments = CommandLine.arguments
guard arguments.count == 2, arguments[1] == "list" || arguments[1] == "read" else {
  complain("usage: bench-sftp list | read")
  exit(2)
}
do {
  exit(try work(reads: arguments[1] == "read") ? 0 : 1)
} catch {
  complain("bench-sftp: \(error)")
  exit(1)
}

func work(reads: Bool) throws -> Bool {
  let environment = ProcessInfo.processInfo.environment.mapValues { Array($0.utf8) }
  let configuration = try Configuration(SettingsReader(environment: environment), needs: .sftp)
  guard let source = configuration.sftp else { preconditionFailure("asked for above") }
  let settings = SFTPSettings(
    host: source.host, port: source.port, user: source.user, password: source.password, privateKey: source.key,
    privateKeyPassphrase: source.keyPassphrase, hostKeyPolicy: .pins(source.hostKeyPins),
    timeoutSeconds: source.timeoutSeconds)
  let logger = Logger(label: "bench-sftp") { StreamLogHandler.standardError(label: $0) }
  let pool = try ConnectionPool(maximum: source.connections, stop: StopSignal(), logger: logger) {
    (stop) throws(SFTPError) in try SFTPConnection(settings, stop: stop, logger: logger)
  }
  defer { pool.close() }
  let root = try pool.ask { (connection) throws(SFTPError) in try connection.realPath(Array(source.folder.utf8)) }
  let counter = Counter(keepsFiles: reads)
  try pool.walk(root, visitor: counter)
  guard reads else {
    print(counter.files, counter.bytes)
    return counter.faults == 0
  }
  let drain = Drain(counter.found, root: root)
  // As many connections as fetch finds useful.
  let large = counter.found.count { $0.fingerprint.size >= ConnectionPool.largeFileBytes }
  let useful = max(1, large, (counter.files + source.filesInFlight - 1) / source.filesInFlight)
  try pool.download(drain, filesInFlight: source.filesInFlight, usefulConnections: useful)
  print(drain.completeCount, drain.receivedBytes)
  return counter.faults == 0 && drain.completeCount == counter.files
}

func complain(_ text: String) { _ = (Array(text.utf8) + [0x0a]).withUnsafeBytes { write(2, $0.baseAddress, $0.count) } }
