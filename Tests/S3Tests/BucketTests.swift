import Common
import Foundation
import S3
import TestSupport
import Testing

/// Against a real server, which checks signatures and digests.
@Suite struct BucketTests {
  @Test func anObjectComesBackAsItWasSent() throws {
    let client = try freshBucket("roundtrip")
    let body = Array("hello, bucket\n".utf8)
    let queue = ListQueue([
      putRequest(
        7, Array("dir/a file+100%.txt".utf8), body,
        headers: [("content-type", "text/plain"), ("x-amz-meta-mtime", "1700000000"), ("x-amz-meta-sha256", "ab  cd")])
    ])
    try client.put(queue)
    let result = try #require(queue.results[7])
    let receipt = try result.outcome.get()
    #expect(result.attempts == 1)
    #expect(receipt.etag == putRequest(0, [], body).md5.hex)
    #expect(try client.get(key: Array("dir/a file+100%.txt".utf8)) == body)
    let facts = try #require(try client.head(key: Array("dir/a file+100%.txt".utf8)))
    #expect(facts.size == UInt64(body.count))
    #expect(facts.etag == receipt.etag)
    #expect(facts.contentType == "text/plain")
    #expect(facts.metadata["mtime"] == "1700000000")
    try client.delete(key: Array("dir/a file+100%.txt".utf8))
    #expect(try client.head(key: Array("dir/a file+100%.txt".utf8)) == nil)
    #expect(client.requestCount == 5)
  }

  @Test func aThousandRandomKeysAreAccepted() throws {
    let client = try freshBucket("keys")
    var random = SeededGenerator(seed: 1)
    // Two texts that look alike are two keys; String would take some of them for one.
    var bodies = [[UInt8]: [UInt8]]()
    while bodies.count < 1000 {
      let key = storable(randomText(1...40, &random))
      if !key.isEmpty { bodies[key] = (0..<20).map { _ in UInt8.random(in: 0...255, using: &random) } }
    }
    let keys = Array(bodies.keys)
    let queue = ListQueue(keys.enumerated().map { putRequest($0, $1, bodies[$1]!) })
    try client.put(queue)
    #expect(queue.successes == 1000)
    for error in queue.errors.prefix(5) { Issue.record("\(error)") }
    for key in keys.prefix(60) { #expect(try client.get(key: key) == bodies[key], "\(escaped(key))") }
    var listed = Set<[UInt8]>()
    try client.list(prefix: []) { listed.insert($0.key) }
    #expect(listed == Set(keys))
  }

  /// What SeaweedFS stores under the key it is given: its keys are paths of files, with `\` another slash.
  private func storable(_ text: String) -> [UInt8] {
    Array(text.utf8.filter { $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "/") && $0 >= 0x20 && $0 != 0x7f })
  }

  @Test func everyPageOfAListIsVisited() throws {
    let client = try freshBucket("pages")
    let keys = (0..<2500).map { Array("some dir/\($0)+é".utf8) }
    let queue = ListQueue((keys + [Array("other".utf8)]).enumerated().map { putRequest($0, $1, [1, 2, 3]) })
    try client.put(queue)
    #expect(queue.successes == 2501)
    var listed = [[UInt8]]()
    try client.list(prefix: Array("some dir/".utf8)) {
      listed.append($0.key)
      if $0.size != 3 || $0.etag == nil { Issue.record("\($0)") }
    }
    #expect(listed.count == 2500)
    #expect(Set(listed) == Set(keys))
    var none = 0
    try client.list(prefix: Array("nothing".utf8)) { _ in none += 1 }
    #expect(none == 0)
  }

  @Test func aBodyAlteredOnTheWayIsRefused() throws {
    let client = try freshBucket("digest")
    var altered = putRequest(1, Array("a".utf8), Array("what was meant".utf8))
    altered.md5 = putRequest(0, [], Array("something else".utf8)).md5
    let queue = ListQueue([altered])
    try client.put(queue)
    #expect(queue.results[1]?.attempts == 3)
    guard case .failure(let error)? = queue.results[1]?.outcome else { return }
    #expect(error.code == "BadDigest")
    #expect(error.severity == .item)
    #expect(try client.head(key: Array("a".utf8)) == nil)
  }

  @Test func aWrongSecretEndsThePhase() throws {
    let server = try SeaweedFS.shared
    let client = try client(settings(server, bucket: "ready", secret: "wrong"))
    let queue = ListQueue((0..<300).map { putRequest($0, Array("\($0)".utf8), [1]) })
    let thrown = #expect(throws: S3Error.self) { try client.put(queue) }
    #expect(thrown?.code == "SignatureDoesNotMatch")
    #expect(thrown?.severity == .fatal)
    #expect(thrown?.description.contains("S3_SECRET_ACCESS_KEY") == true)
    #expect(queue.results.count == queue.handedOut && queue.handedOut < 300)
    #expect(throws: S3Error.self) { try client.headBucket() }
  }

  @Test func aMissingBucketIsSaidPlainly() throws {
    let server = try SeaweedFS.shared
    let missing = try client(settings(server, bucket: "not-there"))
    let thrown = #expect(throws: S3Error.self) { try missing.headBucket() }
    #expect(thrown?.code == "NoSuchBucket")
    #expect(thrown?.severity == .configuration)
    #expect(thrown?.advice?.contains("S3_BUCKET_NAME") == true)
    let queue = ListQueue([putRequest(1, [0x61], [1])])
    #expect(throws: S3Error.self) { try missing.put(queue) }
    #expect(queue.errors.first?.code == "NoSuchBucket")
    try client(settings(server, bucket: "ready")).headBucket()
  }

  @Test func aLargeBodyIsReadFromItsDescriptor() throws {
    let client = try freshBucket("large")
    let size = 64 << 20
    var random = SeededGenerator(seed: 2)
    let words = (0..<(size / 8)).map { _ in random.next() }
    let file = FileManager.default.temporaryDirectory.appending(path: "large-\(UUID().uuidString)")
    try words.withUnsafeBytes { try Data($0).write(to: file) }
    defer { try? FileManager.default.removeItem(at: file) }
    let handle = try FileHandle(forReadingFrom: file)
    // The position of the descriptor does not matter.
    try handle.seek(toOffset: 1000)
    var hasher = ContentHasher(withMD5: true)
    words.withUnsafeBytes { hasher.update($0) }
    func request(_ token: Int, size: Int) -> PutRequest {
      PutRequest(
        token: token, key: Array("large\(token)".utf8),
        body: .file(descriptor: handle.fileDescriptor, size: UInt64(size)), sha256: hasher.sha256(),
        md5: hasher.md5Digest()!)
    }
    let queue = ListQueue([request(1, size: size), request(2, size: size), request(3, size: size + 1)])
    try client.put(queue)
    #expect(queue.successes == 2)
    #expect(queue.errors.map(\.code) == ["body-unreadable"])
    let stored = try client.get(key: Array("large1".utf8), maximumBytes: size)
    #expect(SHA256Digest.of(stored) == hasher.sha256())
    #expect(try client.head(key: Array("large2".utf8))?.size == UInt64(size))
    let thrown = #expect(throws: S3Error.self) { try client.get(key: Array("large2".utf8), maximumBytes: 1000) }
    #expect(thrown?.code == "response-too-large")
  }

  @Test func anEmptyBodyIsAnObject() throws {
    let client = try freshBucket("empty")
    let queue = ListQueue([putRequest(1, Array("nothing".utf8), [], headers: [("x-amz-meta-empty", "")])])
    try client.put(queue)
    #expect(queue.successes == 1)
    #expect(try client.head(key: Array("nothing".utf8))?.size == 0)
    #expect(try client.get(key: Array("nothing".utf8)) == [])
  }
}
