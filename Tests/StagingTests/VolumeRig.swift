internal import Common
internal import Foundation
internal import Staging
internal import Synchronization
internal import TestSupport

/// A volume in a temporary directory, and short words for what tests do with it.
final class VolumeRig {
  static let source = VolumeSource(host: "h", port: 22, user: "u", folder: "f")
  static let destination = try! Destination(endpoint: Endpoint(parsing: "http://s3"), bucket: "bucket", folder: "")

  let directory: TemporaryDirectory
  var path: String { directory.path }

  init() throws { directory = try TemporaryDirectory() }

  func open(
    source: VolumeSource? = VolumeRig.source, rebind: Bool = false, fileSystem: any FileSystem = LinuxFileSystem(),
    segmentLimit: UInt64 = Journal.segmentLimit
  ) throws -> StagingVolume {
    let volume = try StagingVolume.open(
      path: path, source: source, rebind: rebind, runStart: RunStart(command: "test", version: "0"),
      fileSystem: fileSystem, segmentLimit: segmentLimit)
    try volume.bind()
    return volume
  }

  /// Stages a file the way fetch does.
  @discardableResult
  func stage(_ volume: StagingVolume, _ path: String, _ content: String, install: Bool = true) throws -> UInt64 {
    let bytes = Array(content.utf8)
    let (name, descriptor) = try volume.makeTemporary()
    try volume.fileSystem.writeAll(descriptor, bytes, at: 0)
    try volume.fileSystem.close(descriptor)
    try volume.synchronizeTemporaries([name])
    let seq = try volume.journal.append([
      .fetched(
        FetchedFile(
          path: RemotePath(path), fingerprint: Fingerprint(size: UInt64(bytes.count), mtime: 1_000),
          sha256: .of(bytes), temporary: name))
    ])
    if install {
      let staged = volume.makeStagedFiles()
      try staged.install(temporary: name, as: RemotePath(path))
      try staged.synchronizeChanges()
    }
    return seq
  }

  func published(_ path: String, _ generation: UInt64) throws -> JournalEntry {
    .published(
      PublishedObject(
        path: try RemotePath(path), generation: generation, destination: Self.destination.description, bytesSent: 1,
        sha256: .of([1]), md5: MD5Digest(bytes: [UInt8](repeating: 7, count: 16))!))
  }

  func file(_ name: String) -> String { path + "/" + name }
  func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file(name)))) }
  func write(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(filePath: file(name))) }
  func names(_ directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: file(directory)).sorted()
  }
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }

  static let segment = "journal/00000001.jsonl"
  func lines() throws -> [[UInt8]] { try read(Self.segment).split(separator: 0x0a).map { Array($0) } }

  func snapshot() throws -> StagingSnapshot { try StagingSnapshot.take(path: path) }
}

/// Something that threads of a test may change.
final class Box<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  var current: Value {
    get { value.withLock { $0 } }
    set { value.withLock { $0 = newValue } }
  }
}
