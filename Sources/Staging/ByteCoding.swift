internal import Common

/// Writes fixed-width little-endian numbers and length-prefixed bytes to a file, piece by piece, and at its end the
/// SHA-256 of them all. What goes wrong is kept until ``finish()``.
struct ByteWriter {
  private static let pieceLength = 1 << 18

  private let fileSystem: any FileSystem
  private let descriptor: Int32
  private var piece: [UInt8] = []
  private var offset: UInt64 = 0
  private var hasher = ContentHasher()
  private var failure: SystemFailure?

  init(_ descriptor: Int32, _ fileSystem: any FileSystem) {
    self.fileSystem = fileSystem
    self.descriptor = descriptor
    piece.reserveCapacity(Self.pieceLength + 4096)
  }

  mutating func put(_ number: some FixedWidthInteger) {
    withUnsafeBytes(of: number.littleEndian) { put(raw: $0) }
  }

  mutating func put(raw bytes: UnsafeRawBufferPointer) {
    piece.append(contentsOf: bytes)
    if piece.count >= Self.pieceLength { flush() }
  }

  mutating func put(fixed bytes: [UInt8]) { bytes.withUnsafeBytes { put(raw: $0) } }

  mutating func put(bytes: [UInt8]) {
    put(UInt64(bytes.count))
    put(fixed: bytes)
  }

  /// Writes what is left, and the digest.
  mutating func finish() throws(SystemFailure) {
    flush()
    piece = hasher.sha256().bytes
    flush()
    if let failure { throw failure }
  }

  private mutating func flush() {
    hasher.update(piece)
    if failure == nil {
      do throws(SystemFailure) {
        try fileSystem.writeAll(descriptor, piece, at: offset)
      } catch {
        failure = error
      }
    }
    offset += UInt64(piece.count)
    piece.removeAll(keepingCapacity: true)
  }
}

/// Reads what ``ByteWriter`` wrote, piece by piece; nil at the first thing that does not fit. Nothing of it is proved
/// before ``isWhole()`` says so.
struct ByteReader {
  private static let pieceLength = 1 << 18
  private static let digestLength = 32

  private let fileSystem: any FileSystem
  private let descriptor: Int32
  /// Where the digest begins.
  private let end: UInt64
  private var piece: [UInt8] = []
  /// The next byte of the piece.
  private var position = 0
  /// Where the piece after this one begins.
  private var offset: UInt64 = 0
  private var hasher = ContentHasher()
  /// What kept the file from being read; then everything is nil.
  private(set) var failure: SystemFailure?

  /// - Parameter size: of the file.
  init(_ descriptor: Int32, size: UInt64, _ fileSystem: any FileSystem) {
    self.fileSystem = fileSystem
    self.descriptor = descriptor
    end = size - min(size, UInt64(Self.digestLength))
  }

  /// Bytes before the digest that have not been read.
  var remaining: UInt64 { end - offset + UInt64(piece.count - position) }

  mutating func number() -> UInt64? { number(UInt64.self) }

  mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
    raw(MemoryLayout<Number>.size) { Number(littleEndian: $0.loadUnaligned(as: Number.self)) }
  }

  mutating func raw<Result>(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
    if piece.count - position < count, !fill(count) { return nil }
    defer { position += count }
    return piece.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[position..<(position + count)])) }
  }

  mutating func fixed(_ count: Int) -> [UInt8]? { raw(count) { Array($0) } }

  mutating func bytes() -> [UInt8]? {
    guard let count = number(), count <= remaining else { return nil }
    return fixed(Int(count))
  }

  mutating func text() -> String? { bytes().map { String(decoding: $0, as: UTF8.self) } }

  mutating func path() -> RemotePath? { bytes().flatMap { try? RemotePath($0) } }

  /// True when everything has been read and the digest is that of it.
  mutating func isWhole() -> Bool {
    guard remaining == 0, failure == nil, let digest = read(Self.digestLength) else { return false }
    return SHA256Digest(bytes: digest) == hasher.sha256()
  }

  /// Gets at least `count` bytes into the piece.
  private mutating func fill(_ count: Int) -> Bool {
    guard failure == nil, UInt64(count) <= remaining else { return false }
    piece.removeFirst(position)
    position = 0
    let wanted = min(max(Self.pieceLength, count - piece.count), Int(end - offset))
    guard let more = read(wanted) else { return false }
    hasher.update(more)
    offset += UInt64(more.count)
    piece.append(contentsOf: more)
    return true
  }

  /// Exactly so many bytes from the offset on.
  private mutating func read(_ count: Int) -> [UInt8]? {
    do throws(SystemFailure) {
      let bytes = try fileSystem.readAll(descriptor, from: offset, count: count)
      return bytes.count == count ? bytes : nil
    } catch {
      failure = error
      return nil
    }
  }
}
