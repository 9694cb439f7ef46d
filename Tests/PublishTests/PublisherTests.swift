internal import Common
internal import Foundation
internal import Logging
internal import TestSupport
internal import Testing

@testable internal import Publish
@testable internal import Staging

/// A volume with staged files, and publish to a bucket.
final class PublishRig {
  let directory: TemporaryDirectory
  var stop = StopSignal()
  var bandwidth: BandwidthLimit?
  let endpoint: String
  let bucket: String
  private let keys: (id: String, secret: String)

  /// - Parameter endpoint: nil means a new bucket on the shared SeaweedFS.
  init(endpoint: String? = nil) throws {
    directory = try TemporaryDirectory()
    if let endpoint {
      (self.endpoint, bucket, keys) = (endpoint, "bkt", ("id", "secret"))
    } else {
      let server = try SeaweedFS.shared
      bucket = "publish-\(UUID().uuidString.prefix(8).lowercased())"
      try server.makeBucket(bucket)
      (self.endpoint, keys) = (server.endpoint.description, (server.accessKey, server.secretKey))
    }
  }

  func open() throws -> StagingVolume {
    let volume = try StagingVolume.open(
      path: directory.path, source: VolumeSource(host: "h", port: 22, user: "u", folder: "f"),
      runStart: RunStart(command: "test", version: "0"))
    try volume.bind()
    return volume
  }

  @discardableResult
  func stage(_ path: [UInt8], _ content: [UInt8]) throws -> UInt64 {
    let volume = try open()
    let (name, descriptor) = try volume.makeTemporary()
    try volume.fileSystem.writeAll(descriptor, content, at: 0)
    try volume.fileSystem.close(descriptor)
    let path = try RemotePath(path)
    let file = FetchedFile(
      path: path, fingerprint: Fingerprint(size: UInt64(content.count), mtime: 1_700_000_000), sha256: .of(content),
      temporary: name)
    let seq = try volume.journal.append([.fetched(file)])
    let staged = volume.makeStagedFiles()
    try staged.install(temporary: name, as: path)
    return seq
  }

  func stage(_ path: String, _ content: String) throws { try stage(Array(path.utf8), Array(content.utf8)) }

  func publish(bucket: String? = nil, folder: String = "in") throws -> PublishReport {
    let variables = [
      "S3_ENDPOINT": endpoint, "S3_BUCKET_NAME": bucket ?? self.bucket, "S3_FOLDER_NAME": folder,
      "S3_ACCESS_KEY_ID": keys.id, "S3_SECRET_ACCESS_KEY": keys.secret,
    ]
    let configuration = try Configuration(
      SettingsReader(environment: variables.mapValues { Array($0.utf8) }), needs: .s3)
    var logger = Logger(label: "publish-tests")
    logger.logLevel = .critical
    return Publisher(
      target: configuration.s3!, volume: try open(), stop: stop, bandwidth: bandwidth, logger: logger
    ).run()
  }

  /// What another client finds in the bucket.
  func objects() throws -> [[UInt8]: Bucket.Object] {
    try Bucket(endpoint: endpoint, name: bucket, accessKey: keys.id, secretKey: keys.secret).objects()
  }

  func operations() throws -> [String] {
    let text = String(
      decoding: try Data(contentsOf: URL(filePath: directory.path + "/journal/00000001.jsonl")), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      line.components(separatedBy: "\"op\":\"").dropFirst().first?.prefix { $0 != "\"" }
    }.map(String.init)
  }
}

@Suite struct PublisherTests {
  @Test func filesThatAreReadTwiceArriveWhole() throws {
    let rig = try PublishRig()
    for number in 0..<80 { try rig.stage(Array("f\(number)".utf8), [UInt8](repeating: UInt8(number), count: 600_000)) }
    #expect(try rig.publish().published == 80)
    for (key, object) in try rig.objects() {
      let number = try #require(UInt8(String(decoding: key.dropFirst(4), as: UTF8.self)))
      #expect(object.sha256 == .of([UInt8](repeating: number, count: 600_000)))
    }
  }

  @Test func sendsWhatIsPendingOnceWithItsMetadata() throws {
    let rig = try PublishRig()
    try rig.stage("a b/+%&é.csv", "x,y\n")
    let large = (0..<6_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try rig.stage(Array("large.bin".utf8), large)
    let report = try rig.publish()
    #expect(report.exitCode == .done)
    #expect(report.published == 2 && report.requests == 2)
    let objects = try rig.objects()
    #expect(Set(objects.keys) == [Array("in/a b/+%&é.csv".utf8), Array("in/large.bin".utf8)])
    let object = try #require(objects[Array("in/a b/+%&é.csv".utf8)])
    #expect(object.metadata["sha256"] == SHA256Digest.of(Array("x,y\n".utf8)).hex)
    #expect(object.metadata["mtime"] == "1700000000")
    #expect(object.contentType == "text/csv")
    #expect(try #require(objects[Array("in/large.bin".utf8)]).sha256 == .of(large))

    let before = try rig.operations()
    let again = try rig.publish()
    #expect(again.published == 0 && again.requests == 0)
    #expect(try rig.operations() == before)
  }

  @Test func eachDestinationHasItsOwnState() throws {
    let rig = try PublishRig()
    try rig.stage("a", "1")
    #expect(try rig.publish(folder: "one").published == 1)
    #expect(try rig.publish(folder: "two").published == 1)
    #expect(try rig.publish(folder: "one").published == 0)
    #expect(Set(try rig.objects().keys) == [Array("one/a".utf8), Array("two/a".utf8)])
  }

  @Test(
    "staged bytes that are not the record's are never published",
    arguments: [("size", "longer than it was"), ("content", "altered"), ("missing", nil)] as [(String, String?)])
  func drift(what: String, content: String?) throws {
    let rig = try PublishRig()
    try rig.stage("a", "correct")
    try rig.stage("b", "fine")
    let path = rig.directory.path + "/files/a"
    if let content { try Data(content.utf8).write(to: URL(filePath: path)) } else { removeTree(path) }
    for _ in 0..<2 {
      let report = try rig.publish()
      #expect(report.drifted == 1 && report.exitCode == .partial)
    }
    #expect(try rig.operations().filter { $0 == "drift" }.count == 1)
    #expect(Set(try rig.objects().keys) == [Array("in/b".utf8)])
    let state = try StagingSnapshot.take(path: rig.directory.path).state
    #expect(try #require(state.paths[RemotePath("a")]).hasDrifted)
  }

  @Test func anAlteredLargeFileIsNeverPublished() throws {
    let rig = try PublishRig()
    try rig.stage(Array("large".utf8), [UInt8](repeating: 1, count: 5_000_000))
    let handle = try #require(FileHandle(forUpdatingAtPath: rig.directory.path + "/files/large"))
    try handle.seek(toOffset: 4_999_999)
    try handle.write(contentsOf: Data([2]))
    #expect(try rig.publish().drifted == 1)
    #expect(try rig.objects().isEmpty)
  }

  @Test func whatCannotBeAKeyIsRecordedOnce() throws {
    let rig = try PublishRig()
    try rig.stage([0x63, 0xe9], Array("1".utf8))
    try rig.stage("fine", "2")
    for round in 0..<2 {
      let report = try rig.publish()
      #expect(report.failed == 1 && report.exitCode == .partial && report.published == (round == 0 ? 1 : 0))
    }
    #expect(try rig.operations().filter { $0 == "failed" }.count == 1)
  }

  @Test func anOutageEndsThePhaseAndTheNextRunContinues() throws {
    let refusing = try PublishRig(endpoint: "http://127.0.0.1:\(try freePorts(1)[0])")
    for number in 0..<20 { try refusing.stage("f\(number)", "\(number)") }
    let report = try refusing.publish()
    #expect(report.exitCode == .temporary && report.published == 0)
    #expect(report.failure?.description.contains(refusing.endpoint) == true, "\(String(describing: report.failure))")
    #expect(try !refusing.operations().contains("failed"), "an outage says nothing about a file")
  }

  @Test func aFileTheServerRefusesHoldsUpNothing() throws {
    let server = try ScriptedHTTPServer { request in
      request.target.contains("bad")
        ? .response(status: 400, body: "<Error><Code>InvalidArgument</Code><Message>no such name</Message></Error>")
        : .response(status: 200)
    }
    let rig = try PublishRig(endpoint: server.endpoint.description)
    for name in ["a", "bad", "c"] { try rig.stage(name, name) }
    for _ in 0..<2 {
      let report = try rig.publish()
      #expect(report.failed == 1 && report.exitCode == .partial)
    }
    let state = try StagingSnapshot.take(path: rig.directory.path).state
    #expect(state.failures.values.map(\.code) == ["InvalidArgument"])
    #expect(try rig.operations().filter { $0 == "failed" }.count == 1)
    #expect(try rig.operations().filter { $0 == "published" }.count == 2)
  }

  @Test func theFileTypeDecidesTheContentType() throws {
    let types = try ["a.csv", "a.CSV", "a.tar.gz", "a", ".csv", "a.unknown", "d.csv/a"].map {
      contentType(of: try RemotePath($0))
    }
    #expect(
      types == [
        "text/csv", "text/csv", "application/gzip", "application/octet-stream", "application/octet-stream",
        "application/octet-stream", "application/octet-stream",
      ])
  }
}

/// Sending no faster than allowed, and no longer than there is time.
@Suite struct PublishLimitTests {
  @Test func allRequestsTogetherKeepTheBandwidth() throws {
    let rig = try PublishRig()
    // Read whole, and read in pieces.
    for number in 0..<4 { try rig.stage(Array("f\(number)".utf8), [UInt8](repeating: UInt8(number), count: 250_000)) }
    try rig.stage(Array("large".utf8), [UInt8](repeating: 9, count: 1_000_000))
    rig.bandwidth = BandwidthLimit(bytesPerSecond: 1_000_000)
    let report = try rig.publish()
    #expect(report.published == 5 && report.exitCode == .done)
    // Two seconds, but for the burst.
    #expect(report.seconds > 1.4)
    let objects = try rig.objects()
    #expect(objects[Array("in/large".utf8)]?.sha256 == .of([UInt8](repeating: 9, count: 1_000_000)))
    #expect(objects[Array("in/f3".utf8)]?.sha256 == .of([UInt8](repeating: 3, count: 250_000)))
  }

  @Test func aRunWhoseTimeIsOverSaysSo() throws {
    let rig = try PublishRig()
    try rig.stage("a", "1")
    rig.stop = StopSignal(deadlineSeconds: monotonicSeconds() - 1)
    let report = try rig.publish()
    #expect(report.failure?.code == "max-duration" && report.exitCode == .temporary && report.published == 0)
    rig.stop = StopSignal()
    #expect(try rig.publish().published == 1)
  }
}
