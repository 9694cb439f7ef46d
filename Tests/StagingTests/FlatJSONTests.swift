internal import Common
internal import Foundation
internal import Testing

@testable internal import Staging

@Suite struct FlatJSONTests {
  @Test func writesWhatFoundationReads() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      let text = String(
        String.UnicodeScalarView(
          (0..<Int.random(in: 0...12, using: &generator)).compactMap { _ in
            Unicode.Scalar(UInt32.random(in: 0...(Bool.random() ? 0x7f : 0x10ffff), using: &generator))
          }))
      let number = UInt64.random(in: 0...UInt64(Int64.max))
      var writer = FlatJSONWriter()
      writer.field("text", text)
      writer.field("number", number)
      let bytes = writer.finished()
      let parsed = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
      #expect((parsed["text"] as? String).map { Array($0.utf8) } == Array(text.utf8))
      #expect(parsed["number"] as? UInt64 == number)
      let own = try #require(FlatJSON(bytes))
      #expect(own.bytes("text") == Array(text.utf8))
      #expect(own.number("number") == number)
      #expect(!bytes.contains { $0 < 0x20 || $0 == 0x7f })
    }
  }

  @Test func readsWhatFoundationWrites() throws {
    let object: [String: Any] = ["path": "a/\"é\"\\\n\u{1f600}\u{7}", "size": 12, "zero": 0]
    let bytes = Array(try JSONSerialization.data(withJSONObject: object, options: .prettyPrinted))
    let own = try #require(FlatJSON(bytes))
    #expect(own.text("path") == "a/\"é\"\\\n\u{1f600}\u{7}")
    #expect(own.number("size") == 12)
    #expect(own.number("zero") == 0)
  }

  @Test func resolvesEscapes() {
    #expect(FlatJSON(Array(#"{"a":"\u0041\ud83d\ude00\/\b\f\n\r\t"}"#.utf8))?.text("a") == "A😀/\u{8}\u{c}\n\r\t")
  }

  @Test(arguments: [
    "", "{", "{}x", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":01}", "{\"a\":-1}", "{\"a\":1.5}", "{\"a\":true}",
    "{\"a\":{}}",
    "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":1,}", "{\"a\":1,\"a\":2}",
    "{\"a\":\"\n\"}", "{\"a\":18446744073709551616}", "{'a':1}", "{\"a\":\"",
  ])
  func refuses(text: String) { #expect(FlatJSON(Array(text.utf8)) == nil) }

  @Test func refusesInvalidUTF8() { #expect(FlatJSON(Array("{\"a\":\"".utf8) + [0xff] + Array("\"}".utf8)) == nil) }

  @Test func pathsThatAreNotTextAreBase64() throws {
    let path = try RemotePath([0x63, 0x61, 0x66, 0xe9])
    var writer = FlatJSONWriter()
    writer.path(path)
    let bytes = writer.finished()
    #expect(String(decoding: bytes, as: UTF8.self) == #"{"path_b64":"Y2Fm6Q=="}"#)
    #expect(FlatJSON(bytes)?.path() == path)
  }
}

@Suite struct JournalLineTests {
  static let entries: [JournalEntry] = {
    let path = try! RemotePath("dir/naïve \"name\".csv")
    let raw = try! RemotePath([0xff, 0xfe])
    let md5 = MD5Digest(bytes: Array(0..<16))!
    return [
      .volume(VolumeBinding(format: 1, volumeID: "ab", host: "h", port: 22, user: "u", folder: "/x y")),
      .run(RunStart(command: "sync", version: "1", hostKey: "SHA256:x", destination: "http://s3/b/")),
      .run(RunStart(command: "fetch", version: "1")),
      .fetched(
        FetchedFile(
          path: path, fingerprint: Fingerprint(size: .max >> 1, mtime: .max), sha256: .of([1]), md5: md5,
          temporary: "r-1", hostKey: "SHA256:x")),
      .fetched(
        FetchedFile(
          path: raw, fingerprint: Fingerprint(size: 0, mtime: 0), sha256: .of([]), temporary: "r-2")),
      .gone(path: path, generation: 4),
      .failed(FailedItem(phase: .publish, path: raw, generation: 5, code: "key-not-utf8", message: "line\nfeed")),
      .failed(FailedItem(phase: .fetch, path: path, code: "permission-denied", message: "no")),
      .published(
        PublishedObject(
          path: path, generation: 4, destination: "http://s3/b/", etag: "e", bytesSent: 9, sha256: .of([2]), md5: md5,
          versionID: "v", requestID: "r")),
      .superseded(path: path, generation: 4), .dropped(path: path, generation: 4),
      .drift(StagedDrift(path: path, generation: 4, what: "content", done: "nothing")),
      .recovered(segment: 1, offset: 2, bytes: 3, savedAs: "x.torn"), .sealed(size: 4),
      .end(
        RunEnd(
          exitCode: 6, fetched: 1, fetchedBytes: 2, published: 3, publishedBytes: 4, failed: 5, milliseconds: 6)),
    ]
  }()

  @Test(arguments: entries)
  func roundTrip(entry: JournalEntry) throws {
    let record = JournalRecord(seq: 7, wallMilliseconds: 1_794_992_400_123, run: "run", batch: 6, entry: entry)
    let (line, head) = JournalLine.encode(record, after: JournalLine.genesis)
    #expect(!line.contains(0x0a))
    #expect(line.withUnsafeBytes { JournalLine.decode($0) } == record)
    #expect(line.withUnsafeBytes { JournalLine.follows(JournalLine.genesis, $0) } == head)
    #expect(line.withUnsafeBytes { JournalLine.follows(head, $0) } == nil)
    // The documented order of fields, and one that other programs can read.
    #expect(
      String(decoding: line, as: UTF8.self).hasPrefix(
        #"{"seq":7,"at":"2026-11-18T09:00:00.123Z","run":"run","b":6,"op":""#))
    #expect(try JSONSerialization.jsonObject(with: Data(line)) is [String: Any])
  }

  /// The chain as the documentation words it, computed here from the words.
  @Test func chainIsAsDocumented() throws {
    let record = JournalRecord(seq: 1, wallMilliseconds: 0, run: "r", batch: 1, entry: .sealed(size: 1))
    let (line, head) = JournalLine.encode(record, after: JournalLine.genesis)
    let body = line.dropLast(72)
    let expected = SHA256Digest.of([UInt8](repeating: 0x30, count: 64) + body).hex
    #expect(String(decoding: head, as: UTF8.self) == expected)
    #expect(line.suffix(72) == Array(",\"h\":\"\(expected)\"}".utf8)[...])
  }
}
