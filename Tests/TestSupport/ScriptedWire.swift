// SFTP's data types as ScriptedSFTPServer reads and writes them, on purpose not by the code under test.

struct ScriptReader {
  private var bytes: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }
  mutating func word() -> UInt32 { (0..<4).reduce(0) { value, _ in value << 8 | UInt32(byte()) } }
  func peek32() -> UInt32 {
    var copy = self
    return copy.word()
  }

  mutating func string() -> [UInt8] {
    let count = Int(word())
    defer { bytes = bytes.dropFirst(count) }
    return Array(bytes.prefix(count))
  }
}

func word(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
func string(_ bytes: [UInt8]) -> [UInt8] { word(UInt32(bytes.count)) + bytes }
func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
func framed(_ body: [UInt8]) -> [UInt8] { word(UInt32(body.count)) + body }

/// ATTRS (draft-ietf-secsh-filexfer-02 §5).
func encode(_ entry: ScriptedSFTPServer.Entry, _ omitted: Set<ScriptedSFTPServer.Attribute>) -> [UInt8] {
  if omitted.contains(.all) { return word(0) }
  var flags: UInt32 = 0x8000_0002
  var body: [UInt8] = []
  let (size, mode): (Int, UInt32) =
    switch entry.kind {
    case .file(let content): (content.count, 0o100644)
    case .directory: (4096, 0o040755)
    case .symlink: (7, 0o120777)
    case .pipe: (0, 0o010644)
    }
  if !omitted.contains(.size) {
    flags |= 1
    body += word(UInt32(size >> 32)) + word(UInt32(truncatingIfNeeded: size))
  }
  body += word(1000) + word(1000)
  if !omitted.contains(.permissions) {
    flags |= 4
    body += word(mode)
  }
  if !omitted.contains(.mtime) {
    flags |= 8
    body += word(entry.mtime) + word(entry.mtime)
  }
  return word(flags) + body + word(1) + string("extended@example.com") + string("value")
}
