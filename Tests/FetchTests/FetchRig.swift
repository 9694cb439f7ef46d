internal import Common
internal import Fetch
internal import Foundation
internal import Logging
internal import SFTP
internal import Staging
internal import Synchronization
internal import TestSupport

/// A scripted server, a volume, and fetch between them.
final class FetchRig {
  static let destination = try! Destination(endpoint: Endpoint(parsing: "http://s3"), bucket: "bkt", folder: "")

  let server: ScriptedSFTPServer
  let directory: TemporaryDirectory
  var stop = StopSignal()
  /// Connections that the server lets in, in one run.
  var connectionsAllowed = Int.max
  /// Settings beside the necessary ones.
  var variables: [String: String] = [:]
  /// What the configuration of the next run takes.
  var selector: PathSelector { PathSelector(try! configuration().sftp!.selection) }
  /// Called before each connection of a run, with its number from 1.
  var onConnect: (@Sendable (Int) -> Void)?
  var fileSystem: any FileSystem = LinuxFileSystem()
  /// Milliseconds that every look at the boot clock adds, so that waiting takes no time.
  private let tick: Int64
  private let now: TestClock

  private init(server: ScriptedSFTPServer, directory: TemporaryDirectory, now: TestClock, tick: Int64) {
    (self.server, self.directory, self.now, self.tick) = (server, directory, now, tick)
  }

  /// The same server, volume and clock for a process that nobody has asked to stop.
  static func again(_ rig: FetchRig, tick: Int64) -> FetchRig {
    FetchRig(server: rig.server, directory: rig.directory, now: rig.now, tick: tick)
  }

  init(_ files: [String: String], tick: Int64 = 0) throws {
    now = TestClock()
    server = ScriptedSFTPServer(files: Dictionary(uniqueKeysWithValues: files.map { ("/in/" + $0, Array($1.utf8)) }))
    directory = try TemporaryDirectory()
    self.tick = tick
  }

  func set(_ path: String, _ content: String?, mtime: UInt32 = 1_700_000_000) {
    server.set("/in/" + path, content.map { ScriptedSFTPServer.Entry(.file(Array($0.utf8)), mtime: mtime) })
  }

  /// From now on the server misbehaves as told, and only so.
  func misbehave(_ change: (inout ScriptedSFTPServer.Faults) -> Void) {
    var faults = ScriptedSFTPServer.Faults()
    change(&faults)
    server.setFaults(faults)
  }

  func refuse(_ path: String, _ status: UInt32 = 3) {
    var faults = ScriptedSFTPServer.Faults()
    faults.refused[Array(("/in/" + path).utf8)] = status
    server.setFaults(faults)
  }

  @discardableResult
  func fetch(
    _ mode: Fetcher.Mode = .incremental, settle: Int = 0, inFlight: Int = 16, connections: Int = 2,
    changing changes: [String: String] = [:]
  ) throws -> FetchReport {
    let configuration = try configuration(
      settle: settle, inFlight: inFlight, changes.merging(["SFTP_CONNECTIONS": "\(connections)"]) { own, _ in own })
    var logger = Logger(label: "fetch-tests")
    logger.logLevel = .critical
    let clock = Clock(
      wallMilliseconds: Clock.system.wallMilliseconds,
      bootMilliseconds: { [now, tick] in now.advance(tick) }, bootID: "boot")
    let volume = try StagingVolume.open(
      path: directory.path, source: VolumeSource(host: "h", port: 22, user: "u", folder: "/in"),
      runStart: RunStart(command: "fetch", version: "0"), clock: clock, fileSystem: fileSystem)
    let (server, quiet, allowed, onConnect) = (server, logger, connectionsAllowed, onConnect)
    let before = server.statistics.connections
    let fetcher = Fetcher(
      source: configuration.sftp!, settings: configuration.staging, destination: Self.destination, volume: volume,
      stop: stop, logger: logger,
      connect: { (stop) throws(SFTPError) in
        if server.statistics.connections - before >= allowed {
          throw SFTPError(code: "test", operation: "connect", subject: "", reason: "enough", severity: .fatal)
        }
        onConnect?(server.statistics.connections - before + 1)
        let descriptor: Int32
        do { descriptor = try server.connect() } catch {
          throw SFTPError(code: "test", operation: "connect", subject: "", reason: "\(error)", severity: .temporary)
        }
        return try SFTPConnection(
          channel: DescriptorChannel(adopting: descriptor), timeoutSeconds: 10, stop: stop, logger: quiet)
      })
    return fetcher.run(mode)
  }

  private func configuration(
    settle: Int = 0, inFlight: Int = 16, _ changes: [String: String] = [:]
  ) throws -> Configuration {
    let necessary = [
      "SFTP_HOST": "h", "SFTP_USER": "u", "SFTP_PASS": "p", "SFTP_FOLDER_NAME": "/in", "STAGING_DIR": directory.path,
      "SETTLE_SECONDS": "\(settle)", "SFTP_FILES_IN_FLIGHT": "\(inFlight)",
    ]
    let variables = necessary.merging(variables) { $1 }.merging(changes) { $1 }
    return try Configuration(SettingsReader(environment: variables.mapValues { Array($0.utf8) }), needs: .sftp)
  }

  func passTime(seconds: Int64) { now.advance(seconds * 1000) }

  /// Marks everything staged as published.
  func publishAll() throws {
    let volume = try StagingVolume.open(
      path: directory.path, source: nil, runStart: RunStart(command: "publish", version: "0"))
    let pending = volume.journal.withState { state in
      state.paths.filter { state.isPending($0, for: Self.destination) }.map {
        (state.paths.path(of: $0), $0.generation)
      }
    }
    try volume.journal.append(
      pending.map {
        .published(
          PublishedObject(
            path: $0.0, generation: $0.1, destination: Self.destination.description, bytesSent: 0, sha256: .of([]),
            md5: MD5Digest(bytes: [UInt8](repeating: 0, count: 16))!))
      })
  }

  func staged(_ path: String) -> String? {
    (try? Data(contentsOf: URL(filePath: directory.path + "/files/" + path))).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  /// Modification time of a staged file, seconds since 1970.
  func stagedTime(_ path: String) throws -> Int? {
    let attributes = try FileManager.default.attributesOfItem(atPath: directory.path + "/files/" + path)
    return (attributes[.modificationDate] as? Date).map { Int($0.timeIntervalSince1970) }
  }

  /// Every file in files/, by path.
  func stagedTree() throws -> [String: String] {
    var found: [String: String] = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: directory.path + "/files") {
      found[path] = staged(path)
    }
    return found
  }

  func leftovers() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory.path + "/tmp") }

  var state: MirrorState { get throws { try StagingSnapshot.take(path: directory.path).state } }

  /// The `op` of every record, in order.
  func operations() throws -> [String] {
    let text = String(
      decoding: try Data(contentsOf: URL(filePath: directory.path + "/journal/00000001.jsonl")), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      line.components(separatedBy: "\"op\":\"").dropFirst().first?.prefix { $0 != "\"" }
    }.map(String.init)
  }
}

/// A boot clock that a test moves on.
final class TestClock: Sendable {
  private let milliseconds = Atomic<Int64>(1_000_000)

  @discardableResult
  func advance(_ step: Int64) -> Int64 { milliseconds.add(step, ordering: .relaxed).newValue }
}
