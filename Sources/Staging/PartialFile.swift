package import Common

/// A large file of which a part has come: its first `offset` bytes are durable in tmp/`temporary`. Told by a sidecar,
/// state/partial-`temporary`.json, which is written after those bytes were synchronised.
package struct PartialFile: Sendable, Equatable {
  private static let format: UInt64 = 1
  private static let prefix = Array("partial-".utf8)
  private static let suffix = Array(".json".utf8)
  /// A sidecar holds one path and little else.
  static let sidecarLimit: UInt64 = 64 << 10

  /// Name in tmp/.
  package var temporary: String
  package var path: RemotePath
  /// What the file was when its bytes were read.
  package var fingerprint: Fingerprint
  /// The server, user and folder that they were read from.
  package var source: String
  /// Bytes, at most the size.
  package var offset: UInt64
  /// Of the first `offset` bytes.
  package var sha256: SHA256Digest

  package init(
    temporary: String, path: RemotePath, fingerprint: Fingerprint, source: String, offset: UInt64,
    sha256: SHA256Digest
  ) {
    self.temporary = temporary
    self.path = path
    self.fingerprint = fingerprint
    self.source = source
    self.offset = offset
    self.sha256 = sha256
  }

  static func sidecarName(for temporary: String) -> String { "partial-\(temporary).json" }

  /// True for a sidecar, whole or not: what a start may remove from state/.
  static func isSidecar(_ name: [UInt8]) -> Bool { name.starts(with: prefix) }

  func encoded() -> [UInt8] {
    var json = FlatJSONWriter()
    json.field("format", Self.format)
    json.path(path)
    json.field("size", fingerprint.size)
    json.field("mtime", UInt64(fingerprint.mtime))
    json.field("source", source)
    json.field("offset", offset)
    json.field("sha256", sha256.hex)
    return json.finished() + [0x0a]
  }

  /// Nil for anything that ``encoded()`` did not write whole.
  /// - Parameter name: of the sidecar, in state/.
  init?(_ content: [UInt8], sidecar name: [UInt8]) {
    guard name.starts(with: Self.prefix), name.suffix(Self.suffix.count).elementsEqual(Self.suffix),
      let temporary = String(
        validating: name.dropFirst(Self.prefix.count).dropLast(Self.suffix.count), as: UTF8.self), !temporary.isEmpty,
      content.last == 0x0a, let json = FlatJSON(content), json.number("format") == Self.format,
      let path = json.path(), let size = json.number("size"),
      let mtime = json.number("mtime").flatMap(UInt32.init(exactly:)), let source = json.text("source"),
      let offset = json.number("offset"), offset > 0, offset <= size,
      let sha256 = json.text("sha256").flatMap({ SHA256Digest(hex: $0) })
    else { return nil }
    self.init(
      temporary: temporary, path: path, fingerprint: Fingerprint(size: size, mtime: mtime), source: source,
      offset: offset, sha256: sha256)
  }
}

extension StagingVolume {
  /// What a partial file's `source` must be for this run to go on with it.
  package var sourceDescription: String { source?.binding(volumeID: "").source ?? "" }

  /// Opens the bytes of a partial file for reading and writing. The caller closes them.
  package func openPartial(_ temporary: String) throws(SystemFailure) -> Int32 {
    try fileSystem.openFile(at: directories.temporaries, Array(temporary.utf8), .readWrite)
  }

  /// Makes what has been written of a file durable, then says so in its sidecar.
  /// - Parameter isFirst: the file's name may not be durable yet.
  package func keep(_ partial: PartialFile, isFirst: Bool) throws(SystemFailure) {
    let file = Descriptor(
      try fileSystem.openFile(at: directories.temporaries, Array(partial.temporary.utf8), .read), fileSystem)
    try fileSystem.synchronize(file.number, .data)
    fileSystem.releaseCache(file.number)
    try file.close()
    if isFirst { try fileSystem.synchronize(directories.temporaries, .full) }
    try fileSystem.replaceFile(
      at: directories.state, PartialFile.sidecarName(for: partial.temporary), with: partial.encoded(), durable: true)
  }

  /// Removes the sidecar of a file that is staged, or no longer wanted. Nothing happens when there is none.
  package func removeSidecar(of temporary: String) throws(SystemFailure) {
    let name = Array(PartialFile.sidecarName(for: temporary).utf8)
    if try fileSystem.status(at: directories.state, name) != nil {
      try fileSystem.remove(at: directories.state, name, isDirectory: false)
    }
  }

  /// Removes a partial file and its sidecar.
  package func removePartial(_ temporary: String) throws(SystemFailure) {
    try removeSidecar(of: temporary)
    if try fileSystem.status(at: directories.temporaries, Array(temporary.utf8)) != nil {
      try removeTemporary(temporary)
    }
  }

  /// Gives back the space of all partial files, as on a full disk.
  /// - Parameter recorded: names in tmp/ that the journal may claim. They are no parts, though they have a sidecar.
  package func removeAllPartials(except recorded: Set<String> = []) throws(SystemFailure) {
    for name in try fileSystem.names(in: directories.state) {
      guard let partial = try fileSystem.partialFile(at: directories.state, sidecar: name),
        !recorded.contains(partial.temporary)
      else { continue }
      try removePartial(partial.temporary)
    }
  }
}

extension FileSystem {
  /// What a sidecar tells; nil for what is none, or not whole.
  func partialFile(at state: Int32, sidecar name: [UInt8]) throws(SystemFailure) -> PartialFile? {
    guard PartialFile.isSidecar(name), let there = try status(at: state, name), there.kind == .file,
      there.size <= PartialFile.sidecarLimit, let text = String(validating: name, as: UTF8.self),
      let content = try content(at: state, text)
    else { return nil }
    return PartialFile(content, sidecar: name)
  }
}
