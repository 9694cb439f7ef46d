internal import Common

/// The line of a record and back. The chain: `h` is SHA-256 over the previous record's `h` as 64 ASCII bytes (64 zeros
/// before the first) and this line up to `,"h":"`.
package enum JournalLine {
  /// Length of `,"h":"<64 hexadecimal digits>"}`.
  package static let tailLength = 72
  /// The head before the first record.
  package static let genesis = [UInt8](repeating: UInt8(ascii: "0"), count: 64)

  /// The line, without a line feed, and its `h`, which is the head of the journal after it.
  package static func encode(_ record: JournalRecord, after head: [UInt8]) -> (line: [UInt8], head: [UInt8]) {
    var writer = FlatJSONWriter()
    writer.field("seq", record.seq)
    writer.field("at", timestamp(wallMilliseconds: record.wallMilliseconds))
    writer.field("run", record.run)
    writer.field("b", record.batch)
    record.entry.encode(into: &writer)
    var line = writer.bytes
    let next = chain(head, line[...])
    line.append(contentsOf: ",\"h\":\"".utf8)
    line.append(contentsOf: next)
    line.append(contentsOf: "\"}".utf8)
    return (line, next)
  }

  /// The head that a line claims, when it has the form of one: no chain is checked.
  package static func claimedHead(_ line: UnsafeRawBufferPointer) -> [UInt8]? {
    guard line.count > tailLength else { return nil }
    let tail = line[(line.count - tailLength)...]
    guard tail.starts(with: ",\"h\":\"".utf8), tail.suffix(2).elementsEqual("\"}".utf8) else { return nil }
    return Array(tail.dropFirst(6).dropLast(2))
  }

  /// True when the line follows `head` in the chain.
  package static func follows(_ head: [UInt8], _ line: UnsafeRawBufferPointer) -> [UInt8]? {
    guard let claimed = claimedHead(line) else { return nil }
    var hasher = ContentHasher()
    hasher.update(head)
    hasher.update(UnsafeRawBufferPointer(rebasing: line[..<(line.count - tailLength)]))
    return asciiHex(hasher.sha256()) == claimed ? claimed : nil
  }

  private static func chain(_ head: [UInt8], _ body: ArraySlice<UInt8>) -> [UInt8] {
    var hasher = ContentHasher()
    hasher.update(head)
    body.withUnsafeBytes { hasher.update($0) }
    return asciiHex(hasher.sha256())
  }

  private static func asciiHex(_ digest: SHA256Digest) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 64) { out, count in
      for (index, byte) in digest.bytes.enumerated() {
        out[2 * index] = hexDigits[Int(byte >> 4)]
        out[2 * index + 1] = hexDigits[Int(byte & 15)]
      }
      count = 64
    }
  }

  /// Reads a line; nil when it is not a record of a format this program knows. The chain is not checked here.
  package static func decode(_ line: UnsafeRawBufferPointer) -> JournalRecord? {
    guard let json = FlatJSON(line), let seq = json.number("seq"), let batch = json.number("b"),
      let run = json.text("run"),
      let at = json.text("at").flatMap(wallMilliseconds(fromTimestamp:)), let entry = JournalEntry(json)
    else { return nil }
    return JournalRecord(seq: seq, wallMilliseconds: at, run: run, batch: batch, entry: entry)
  }
}

extension JournalEntry {
  func encode(into json: inout FlatJSONWriter) {
    switch self {
    case .volume(let volume):
      json.field("op", "volume")
      json.field("format", volume.format)
      json.field("volume", volume.volumeID)
      json.field("host", volume.host)
      json.field("port", volume.port)
      json.field("user", volume.user)
      json.field("folder", volume.folder)
    case .run(let run):
      json.field("op", "run")
      json.field("command", run.command)
      json.field("version", run.version)
      json.field("host_key", run.hostKey)
      json.field("destination", run.destination)
    case .fetched(let file):
      json.field("op", "fetched")
      json.path(file.path)
      json.field("size", file.fingerprint.size)
      json.field("mtime", UInt64(file.fingerprint.mtime))
      json.field("sha256", file.sha256.hex)
      json.field("md5", file.md5?.hex)
      json.field("tmp", file.temporary)
      json.field("host_key", file.hostKey)
    case .gone(let path, let generation): encode("gone", path, generation, into: &json)
    case .failed(let item):
      json.field("op", "failed")
      json.field("phase", item.phase.rawValue)
      json.path(item.path)
      json.field("gen", item.generation)
      json.field("code", item.code)
      json.field("message", item.message)
    case .published(let object):
      encode("published", object.path, object.generation, into: &json)
      json.field("destination", object.destination)
      json.field("etag", object.etag)
      json.field("bytes", object.bytesSent)
      json.field("sha256", object.sha256.hex)
      json.field("md5", object.md5.hex)
      json.field("version", object.versionID)
      json.field("request", object.requestID)
    case .superseded(let path, let generation): encode("superseded", path, generation, into: &json)
    case .drift(let drift):
      encode("drift", drift.path, drift.generation, into: &json)
      json.field("what", drift.what)
      json.field("done", drift.done)
    case .dropped(let path, let generation): encode("dropped", path, generation, into: &json)
    case .touched(let path, let generation, let mtime):
      encode("touched", path, generation, into: &json)
      json.field("mtime", UInt64(mtime))
    case .proven(let path, let generation): encode("proven", path, generation, into: &json)
    case .recovered(let segment, let offset, let bytes, let savedAs):
      json.field("op", "recovered")
      json.field("segment", segment)
      json.field("offset", offset)
      json.field("bytes", bytes)
      json.field("saved_as", savedAs)
    case .sealed(let size):
      json.field("op", "sealed")
      json.field("size", size)
    case .end(let end):
      json.field("op", "end")
      json.field("exit", end.exitCode)
      json.field("fetched", end.fetched)
      json.field("fetched_bytes", end.fetchedBytes)
      json.field("published", end.published)
      json.field("published_bytes", end.publishedBytes)
      json.field("failed", end.failed)
      json.field("ms", end.milliseconds)
    }
  }

  private func encode(
    _ operation: String, _ path: RemotePath, _ generation: UInt64, into json: inout FlatJSONWriter
  ) {
    json.field("op", operation)
    json.path(path)
    json.field("gen", generation)
  }

  init?(_ json: FlatJSON) {
    guard let operation = json.text("op"), let entry = Self.readers[operation]?(json) else { return nil }
    self = entry
  }

  private static let readers: [String: @Sendable (FlatJSON) -> JournalEntry?] = [
    "volume": { json in
      guard let format = json.number("format"), let id = json.text("volume"), let host = json.text("host"),
        let port = json.number("port"), let user = json.text("user"), let folder = json.text("folder")
      else { return nil }
      return .volume(VolumeBinding(format: format, volumeID: id, host: host, port: port, user: user, folder: folder))
    },
    "run": { json in
      guard let command = json.text("command"), let version = json.text("version") else { return nil }
      return .run(
        RunStart(
          command: command, version: version, hostKey: json.text("host_key"), destination: json.text("destination")))
    },
    "fetched": { json in
      guard let path = json.path(), let size = json.number("size"),
        let mtime = json.number("mtime").flatMap(UInt32.init(exactly:)),
        let sha256 = json.bytes("sha256").flatMap({ SHA256Digest(hex: $0) }), let temporary = json.text("tmp")
      else { return nil }
      let md5 = json.bytes("md5").flatMap { Common.bytes(fromHex: $0) }.flatMap(MD5Digest.init(bytes:))
      return .fetched(
        FetchedFile(
          path: path, fingerprint: Fingerprint(size: size, mtime: mtime), sha256: sha256, md5: md5,
          temporary: temporary, hostKey: json.text("host_key")))
    },
    "gone": { json in json.pathAndGeneration.map { .gone(path: $0, generation: $1) } },
    "failed": { json in
      guard let phase = json.text("phase").flatMap(FailedItem.Phase.init(rawValue:)), let path = json.path(),
        let code = json.text("code"), let message = json.text("message")
      else { return nil }
      return .failed(
        FailedItem(phase: phase, path: path, generation: json.number("gen"), code: code, message: message))
    },
    "published": { json in
      guard let (path, generation) = json.pathAndGeneration, let destination = json.text("destination"),
        let sent = json.number("bytes"), let sha256 = json.bytes("sha256").flatMap({ SHA256Digest(hex: $0) }),
        let md5 = json.bytes("md5").flatMap({ Common.bytes(fromHex: $0) }).flatMap(MD5Digest.init(bytes:))
      else { return nil }
      return .published(
        PublishedObject(
          path: path, generation: generation, destination: destination, etag: json.text("etag"), bytesSent: sent,
          sha256: sha256, md5: md5, versionID: json.text("version"), requestID: json.text("request")))
    },
    "superseded": { json in json.pathAndGeneration.map { .superseded(path: $0, generation: $1) } },
    "drift": { json in
      guard let (path, generation) = json.pathAndGeneration, let what = json.text("what"), let done = json.text("done")
      else { return nil }
      return .drift(StagedDrift(path: path, generation: generation, what: what, done: done))
    },
    "dropped": { json in json.pathAndGeneration.map { .dropped(path: $0, generation: $1) } },
    "touched": { json in
      guard let (path, generation) = json.pathAndGeneration,
        let mtime = json.number("mtime").flatMap(UInt32.init(exactly:))
      else { return nil }
      return .touched(path: path, generation: generation, mtime: mtime)
    },
    "proven": { json in json.pathAndGeneration.map { .proven(path: $0, generation: $1) } },
    "recovered": { json in
      guard let segment = json.number("segment"), let offset = json.number("offset"), let bytes = json.number("bytes"),
        let savedAs = json.text("saved_as")
      else { return nil }
      return .recovered(segment: segment, offset: offset, bytes: bytes, savedAs: savedAs)
    },
    "sealed": { json in json.number("size").map { .sealed(size: $0) } },
    "end": { json in
      guard let exit = json.number("exit"), let fetched = json.number("fetched"),
        let fetchedBytes = json.number("fetched_bytes"), let published = json.number("published"),
        let publishedBytes = json.number("published_bytes"), let failed = json.number("failed"),
        let milliseconds = json.number("ms")
      else { return nil }
      return .end(
        RunEnd(
          exitCode: exit, fetched: fetched, fetchedBytes: fetchedBytes, published: published,
          publishedBytes: publishedBytes, failed: failed, milliseconds: milliseconds))
    },
  ]
}

extension FlatJSON {
  fileprivate var pathAndGeneration: (RemotePath, UInt64)? {
    guard let path = path(), let generation = number("gen") else { return nil }
    return (path, generation)
  }
}
