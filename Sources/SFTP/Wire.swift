/// Why bytes could not be read as SFTP data.
enum WireFault: Error {
  case truncated
  case trailingBytes
  case unknownType(UInt8)
}

/// Reads SFTP's data types from borrowed bytes, never past their end (draft-ietf-secsh-filexfer-02 §3, RFC 4251 §5).
struct WireReader {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  /// `bytes` must outlive the reader.
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - offset }

  mutating func uint8() throws(WireFault) -> UInt8 {
    guard remaining >= 1 else { throw .truncated }
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func uint32() throws(WireFault) -> UInt32 {
    guard remaining >= 4 else { throw .truncated }
    defer { offset += 4 }
    return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  mutating func uint64() throws(WireFault) -> UInt64 {
    guard remaining >= 8 else { throw .truncated }
    defer { offset += 8 }
    return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// A string: 32-bit length, then that many bytes of any value.
  mutating func string() throws(WireFault) -> [UInt8] {
    let count = Int(try uint32())
    guard count <= remaining else { throw .truncated }
    defer { offset += count }
    return [UInt8](bytes[offset..<(offset + count)])
  }

  mutating func skipString() throws(WireFault) {
    let count = Int(try uint32())
    guard count <= remaining else { throw .truncated }
    offset += count
  }
}

/// Appends SFTP's data types to a buffer of outgoing bytes.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func uint8(_ value: UInt8) { bytes.append(value) }

  mutating func uint32(_ value: UInt32) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func uint64(_ value: UInt64) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func string(_ value: [UInt8]) {
    uint32(UInt32(value.count))
    bytes.append(contentsOf: value)
  }

  /// Removes the first `count` bytes: they have been sent.
  mutating func discard(_ count: Int) {
    if count == bytes.count {
      bytes.removeAll(keepingCapacity: true)
    } else {
      bytes.removeFirst(count)
    }
  }
}
