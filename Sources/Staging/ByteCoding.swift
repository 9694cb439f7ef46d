internal import Common

/// Appends fixed-width little-endian numbers and length-prefixed bytes.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ number: UInt64) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func put(fixed raw: [UInt8]) { bytes.append(contentsOf: raw) }

  mutating func put(bytes raw: [UInt8]) {
    put(UInt64(raw.count))
    bytes.append(contentsOf: raw)
  }
}

/// Reads what ``ByteWriter`` wrote; nil at the first thing that does not fit.
struct ByteReader {
  private let buffer: UnsafeRawBufferPointer
  private var position = 0

  init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

  var remaining: UInt64 { UInt64(buffer.count - position) }

  mutating func number() -> UInt64? {
    guard buffer.count - position >= 8 else { return nil }
    defer { position += 8 }
    return UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  mutating func fixed(_ count: Int) -> [UInt8]? {
    guard count <= buffer.count - position else { return nil }
    defer { position += count }
    return Array(buffer[position..<(position + count)])
  }

  mutating func bytes() -> [UInt8]? {
    guard let count = number(), count <= remaining else { return nil }
    return fixed(Int(count))
  }

  mutating func text() -> String? { bytes().map { String(decoding: $0, as: UTF8.self) } }

  mutating func path() -> RemotePath? { bytes().flatMap { try? RemotePath($0) } }
}
