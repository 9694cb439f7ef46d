import Common
import Foundation
import Synchronization
import TestSupport
import Testing

/// Everything one test needs: an sshd, a folder to serve, a staging volume and a part of the bucket, all its own.
final class Rig: Sendable {
  let sshd: TestSSHD
  let home: TemporaryDirectory
  /// The bucket as the checking client reaches it, directly.
  let bucket: Bucket
  /// What the program under test reaches the bucket through, so that its requests can be counted.
  let s3: CountingProxy
  /// S3_FOLDER_NAME; every rig has another in the one bucket.
  let prefix: String
  /// What the server serves.
  var served: String { home.path + "/served" }
  var staging: String { home.path + "/staging" }

  init() throws {
    sshd = try TestSSHD()
    home = try TemporaryDirectory()
    bucket = try Rig.bucket(named: "end-to-end")
    s3 = try CountingProxy(to: Rig.bucketPort())
    prefix = "rig-\(UUID().uuidString.prefix(8).lowercased())"
    makeDirectories(served)
    makeDirectories(staging)
  }

  private static let made = Mutex<Set<String>>([])

  /// A bucket on the shared SeaweedFS; made when it is first asked for.
  static func bucket(named name: String) throws -> Bucket {
    let server = try SeaweedFS.shared
    try made.withLock { if $0.insert(name).inserted { try server.makeBucket(name) } }
    return Bucket(
      endpoint: "\(server.endpoint)", name: name, accessKey: server.accessKey, secretKey: server.secretKey)
  }

  static func bucketPort() throws -> Int { Int(try SeaweedFS.shared.endpoint.port) }

  var environment: [String: String] {
    [
      "SFTP_HOST": sshd.host, "SFTP_PORT": "\(sshd.port)", "SFTP_USER": sshd.user, "SFTP_KEY_FILE": sshd.keyFile,
      "SFTP_FOLDER_NAME": served, "S3_ENDPOINT": "http://127.0.0.1:\(s3.port)", "S3_BUCKET_NAME": bucket.name,
      "S3_FOLDER_NAME": prefix, "S3_ACCESS_KEY_ID": bucket.accessKey, "S3_SECRET_ACCESS_KEY": bucket.secretKey,
      "STAGING_DIR": staging, "STAGING_MIN_FREE": "1", "SETTLE_SECONDS": "0",
    ]
  }

  /// The environment with some variables changed, or removed where the new value is nil.
  func environment(changing changes: [String: String?]) -> [String: String] {
    environment.merging(changes.compactMapValues { $0 }) { $1 }.filter { changes[$0.key] != .some(nil) }
  }

  @discardableResult
  func run(
    _ arguments: String..., changing changes: [String: String?] = [:], timeout: Duration = .seconds(300)
  ) throws -> Child.Outcome {
    let outcome = try Binary.run(arguments, environment: environment(changing: changes), timeout: timeout)
    expectNoSecret(outcome)
    return outcome
  }

  /// `sync`, which must succeed.
  func sync(
    changing changes: [String: String?] = [:], code: ExitCode = .done, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let outcome = try run("sync", changing: changes)
    #expect(outcome.exitCode == code.rawValue, "sync said:\n\(outcome.stderr)", sourceLocation: location)
  }

  func expectNoSecret(_ outcome: Child.Outcome, _ location: SourceLocation = #_sourceLocation) {
    #expect(
      !(outcome.stdout + outcome.stderr).contains(bucket.secretKey), "a secret in plain", sourceLocation: location)
  }

  // MARK: The remote folder

  func serve(_ path: String, _ text: String, mtime: Int = 1_700_000_000) throws {
    try writeFile("\(served)/\(path)", text, mtime: mtime)
  }

  func serve(_ path: String, bytes: [UInt8], mtime: Int = 1_700_000_000) throws {
    try writeFile(Array("\(served)/\(path)".utf8), bytes, mtime: mtime)
  }

  // MARK: What must be where

  /// The key of a path in this rig's part of the bucket.
  func key(_ path: [UInt8]) -> [UInt8] { Array("\(prefix)/".utf8) + path }
  func key(_ path: String) -> [UInt8] { key(Array(path.utf8)) }

  /// The files that the default patterns leave to be mirrored.
  func mirrored() throws -> [[UInt8]] {
    try files(under: served).filter { path in
      let name = String(decoding: path.split(separator: UInt8(ascii: "/")).last ?? [], as: UTF8.self)
      return ![".part", ".filepart", ".partial", ".tmp"].contains { name.hasSuffix($0) } && !name.hasPrefix(".in.")
    }
  }

  /// Of these, the ones whose name can be a key.
  func publishable() throws -> [[UInt8]] {
    try mirrored().filter { String(validating: $0, as: UTF8.self) != nil && key($0).count <= 1_024 }
  }

  func sourceDigest(_ path: [UInt8]) throws -> SHA256Digest {
    try digest(ofFile: Array("\(served)/".utf8) + path)
  }

  /// The bucket holds exactly the source: no object more, no object less, every byte.
  func expectBucketEqualsSource(_ location: SourceLocation = #_sourceLocation) throws {
    let objects = try bucket.objects(under: prefix + "/")
    let paths = try publishable()
    let missing = paths.filter { objects[key($0)] == nil }.map { escaped($0) }.sorted()
    #expect(missing == [], "not in the bucket", sourceLocation: location)
    let foreign = Set(objects.keys).subtracting(paths.map { key($0) }).map { escaped($0) }.sorted()
    #expect(foreign == [], "in the bucket, but not in the source", sourceLocation: location)
    for path in paths {
      guard let object = objects[key(path)] else { continue }
      let digest = try sourceDigest(path)
      #expect(object.sha256 == digest, "bytes differ: \(escaped(path))", sourceLocation: location)
    }
  }

  /// Every file in staging's files/ is whole: it has the bytes that the source has under the same name.
  func expectNoPartialFile(_ location: SourceLocation = #_sourceLocation) throws {
    guard exists(staging + "/files") else { return }
    for path in try files(under: staging + "/files") {
      let staged = try digest(ofFile: Array("\(staging)/files/".utf8) + path)
      let source = try sourceDigest(path)
      #expect(staged == source, "partial: \(escaped(path))", sourceLocation: location)
    }
  }

  /// The staging volume's files/ hold every mirrored file with its bytes and time.
  func expectStagingEqualsSource(_ location: SourceLocation = #_sourceLocation) throws {
    try expectNoPartialFile(location)
    let source = try walk(served)
    let staged = try walk(staging + "/files")
    for path in try mirrored() {
      #expect(staged[path] == source[path], "\(escaped(path)) in staging", sourceLocation: location)
    }
  }

  // MARK: The journal

  /// Every file of the journal with its bytes: equal when nothing at all was written.
  func journalFiles() throws -> [[UInt8]: [UInt8]] {
    let directory = staging + "/journal"
    return try Dictionary(
      uniqueKeysWithValues: files(under: directory).map { ($0, try readFile(Array("\(directory)/".utf8) + $0)) })
  }

  var firstSegment: String { staging + "/journal/00000001.jsonl" }

  func journal() throws -> [JournalLine] {
    try readFile(firstSegment).split(separator: UInt8(ascii: "\n")).map { try JournalLine($0) }
  }
}

/// The fields of a journal record that these tests look at, read by a parser that is not the program's.
struct JournalLine: Decodable {
  let seq: Int
  let op: String
  let path: String?
  let code: String?
  let sha256: String?

  init(_ line: some Sequence<UInt8>) throws { self = try JSONDecoder().decode(Self.self, from: Data(line)) }
}

/// The lines of a log that report an error. The one place that knows how the program marks them.
func errorLines(_ stderr: String) -> [Substring] {
  stderr.split(whereSeparator: \.isNewline).filter { $0.lowercased().contains(/\b(error|fatal|critical)\b/) }
}
