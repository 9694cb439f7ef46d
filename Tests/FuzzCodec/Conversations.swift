@testable internal import SFTP

/// Inputs of ``fuzz(_:)`` in which the server says nothing wrong, by name: what the fuzzer's mutations begin with.
package let conversations: [String: [UInt8]] = [
  "status": [0] + status(1, Status.failure).dropFirst(4),
  "names": [0] + names(1).dropFirst(4),
  "attributes": [0] + attributes(1, size: 3).dropFirst(4),
  "data": [0] + data(1, bytes: 3).dropFirst(4),
  "handle": [0] + handle(1).dropFirst(4),
  "limits": [0] + limits.dropFirst(4),
  "greeting": [1] + greeting.dropFirst(4),
  "stream": [2] + greeting + limits + names(1) + status(2, Status.eof),
  "pieces": [2 + 3 * 8] + greeting + limits + names(1) + status(2, Status.eof),
  // OPENDIR of the root, READDIR, OPENDIR of the directory in it and READDIR of both, CLOSE.
  "walk": [4] + greeting + limits + handle(1) + names(2) + status(3, Status.eof) + handle(4) + status(5, Status.ok)
    + status(6, Status.eof) + status(7, Status.ok),
  // OPENs of three files, then of the others as one after the other ends. The first is empty, the second has three
  // bytes: FSTAT, READ, FSTAT, CLOSE; the others are not there.
  "download": [6] + greeting + limits + handle(1) + handle(2) + status(3, Status.noSuchFile) + attributes(4, size: 0)
    + attributes(5, size: 0) + status(6, Status.ok) + attributes(7, size: 3) + data(8, bytes: 3)
    + attributes(11, size: 3) + status(12, Status.ok) + status(9, Status.noSuchFile) + status(10, Status.noSuchFile)
    + status(13, Status.noSuchFile),
]

private func packet(_ type: UInt8, _ body: (inout WireWriter) -> Void) -> [UInt8] {
  var inner = WireWriter()
  inner.uint8(type)
  body(&inner)
  var outer = WireWriter()
  outer.string(inner.bytes)
  return outer.bytes
}

private let greeting = packet(MessageType.version) {
  $0.uint32(3)
  $0.string(ServerLimits.extensionName)
  $0.string(Array("1".utf8))
}

private let limits = packet(MessageType.extendedReply) {
  $0.uint32(0)
  for number: UInt64 in [262_144, 261_120, 261_120, 20] { $0.uint64(number) }
}

private func status(_ id: UInt32, _ code: UInt32) -> [UInt8] {
  packet(MessageType.status) {
    $0.uint32(id)
    $0.uint32(code)
    $0.string(Array("words".utf8))
    $0.string(Array("en".utf8))
  }
}

private func handle(_ id: UInt32) -> [UInt8] {
  packet(MessageType.handle) {
    $0.uint32(id)
    $0.string(Array("handle \(id)".utf8))
  }
}

private func data(_ id: UInt32, bytes: Int) -> [UInt8] {
  packet(MessageType.data) {
    $0.uint32(id)
    $0.string([UInt8](repeating: 7, count: bytes))
  }
}

private func attributes(_ id: UInt32, size: UInt64) -> [UInt8] {
  packet(MessageType.attributes) {
    $0.uint32(id)
    append(0o100644, size, to: &$0)
  }
}

private func names(_ id: UInt32) -> [UInt8] {
  packet(MessageType.name) {
    $0.uint32(id)
    let entries: [(String, UInt32)] = [
      (".", 0o040755), ("file", 0o100644), ("directory", 0o040755), ("link", 0o120777),
    ]
    $0.uint32(UInt32(entries.count))
    for (name, mode) in entries {
      $0.string(Array(name.utf8))
      $0.string(Array("drwxr-xr-x \(name)".utf8))
      append(mode, 3, to: &$0)
    }
  }
}

/// ATTRS with everything, an extended attribute included (draft-ietf-secsh-filexfer-02 §5).
private func append(_ mode: UInt32, _ size: UInt64, to writer: inout WireWriter) {
  writer.uint32(0x8000_000f)
  writer.uint64(size)
  for number: UInt32 in [0, 0, mode, 1, 1, 1] { writer.uint32(number) }
  writer.string(Array("x@example.com".utf8))
  writer.string(Array("value".utf8))
}
