#if canImport(Glibc)
  import Glibc
#endif

/// The path of a file relative to the mirrored folder, as the bytes the server sent: never decoded, never normalised.
///
/// A value of this type is safe to join to a directory: it is not empty, has no empty, `.` or `..` component,
/// no NUL, no component over 255 bytes, at most ``maximumDepth`` components and at most ``maximumLength`` bytes.
package struct RemotePath: Hashable, Comparable, Sendable {
  /// Components, the file's own name included.
  package static let maximumDepth = 64
  /// Bytes, below PATH_MAX so that any POSIX tool can name the staged file.
  package static let maximumLength = 3_072
  /// Bytes a single name may have on the file systems a staging volume lives on (NAME_MAX).
  package static let maximumNameLength = 255

  package let bytes: [UInt8]

  /// Why bytes are not a usable path.
  package enum Fault: String, Error, Sendable {
    case empty = "empty name"
    case dot = "name is . or .."
    case slash = "slash in name"
    case nul = "NUL byte in name"
    case nameTooLong = "name over 255 bytes"
    case tooDeep = "more than 64 directories deep"
    case tooLong = "path over 3072 bytes"
  }

  /// Parses a whole relative path, as stored in the journal.
  package init(_ bytes: [UInt8]) throws(Fault) {
    var depth = 0
    for name in bytes.split(separator: slash, omittingEmptySubsequences: false) {
      if let fault = Self.fault(ofName: name) { throw fault }
      depth += 1
    }
    if depth > Self.maximumDepth { throw .tooDeep }
    if bytes.count > Self.maximumLength { throw .tooLong }
    self.bytes = bytes
  }

  /// Parses a whole relative path given as text.
  package init(_ text: String) throws(Fault) {
    try self.init(Array(text.utf8))
  }

  /// Joins a directory (nil is the mirrored folder itself) and a name taken from a directory listing.
  package init(directory: RemotePath?, name: [UInt8]) throws(Fault) {
    if let fault = Self.fault(directory: directory, name: name) { throw fault }
    guard let directory else {
      bytes = name
      return
    }
    var joined = [UInt8]()
    joined.reserveCapacity(directory.bytes.count + 1 + name.count)
    joined.append(contentsOf: directory.bytes)
    joined.append(slash)
    joined.append(contentsOf: name)
    bytes = joined
  }

  private init(trusted bytes: [UInt8]) { self.bytes = bytes }

  /// The bytes of a path, kept apart from it meanwhile: they are not judged again.
  package init(bytesOfPath bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

  /// The two parts of a path as ``withParts(_:)`` gives them, kept apart meanwhile: they are not judged again.
  package init(directoryOfPath directory: UnsafeRawBufferPointer, nameOfPath name: UnsafeRawBufferPointer) {
    if directory.isEmpty {
      bytes = Array(name)
      return
    }
    bytes = [UInt8](unsafeUninitializedCapacity: directory.count + 1 + name.count) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      raw.copyMemory(from: directory)
      raw[directory.count] = slash
      UnsafeMutableRawBufferPointer(rebasing: raw[(directory.count + 1)...]).copyMemory(from: name)
      count = raw.count
    }
  }

  /// The directory, empty for the mirrored folder itself, and the last component, without copying them.
  package func withParts<Result>(
    _ body: (_ directory: UnsafeRawBufferPointer, _ name: UnsafeRawBufferPointer) -> Result
  ) -> Result {
    bytes.withUnsafeBytes { raw in
      guard let cut = raw.lastIndex(of: slash) else { return body(UnsafeRawBufferPointer(rebasing: raw[..<0]), raw) }
      return body(UnsafeRawBufferPointer(rebasing: raw[..<cut]), UnsafeRawBufferPointer(rebasing: raw[(cut + 1)...]))
    }
  }

  /// What keeps a directory (nil is the mirrored folder itself) and a name from making a path; nil when nothing does.
  package static func fault(directory: RemotePath?, name: [UInt8]) -> Fault? {
    if let fault = fault(ofName: name[...]) { return fault }
    guard let directory else { return nil }
    if directory.depth >= maximumDepth { return .tooDeep }
    return directory.bytes.count + 1 + name.count > maximumLength ? .tooLong : nil
  }

  /// True for bytes that ``init(_:)-([UInt8])`` takes.
  package static func isPath(_ bytes: UnsafeRawBufferPointer) -> Bool { (try? RemotePath(Array(bytes))) != nil }

  /// True for bytes that may be a component of a path.
  package static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool { fault(ofName: bytes) == nil }

  private static func fault(ofName name: some BidirectionalCollection<UInt8>) -> Fault? {
    if name.isEmpty { return .empty }
    if name.count > maximumNameLength { return .nameTooLong }
    let dot = UInt8(ascii: ".")
    if name.first == dot, name.count == 1 || (name.count == 2 && name.last == dot) { return .dot }
    for byte in name {
      if byte == slash { return .slash }
      if byte == 0 { return .nul }
    }
    return nil
  }

  /// The directory that holds this path; nil when that is the mirrored folder itself.
  package var parent: RemotePath? {
    guard let cut = bytes.lastIndex(of: slash) else { return nil }
    return RemotePath(trusted: Array(bytes[..<cut]))
  }

  /// The last component.
  package var name: ArraySlice<UInt8> {
    guard let cut = bytes.lastIndex(of: slash) else { return bytes[...] }
    return bytes[(cut + 1)...]
  }

  package var components: [ArraySlice<UInt8>] { bytes.split(separator: slash) }

  /// Number of components, the name included.
  package var depth: Int { bytes.reduce(1) { $1 == slash ? $0 + 1 : $0 } }

  /// The directories above this path, nearest first, the mirrored folder itself excluded.
  package var ancestors: some Sequence<RemotePath> {
    sequence(state: parent) { (next: inout RemotePath?) -> RemotePath? in
      defer { next = next?.parent }
      return next
    }
  }

  /// The path as text when its bytes are valid UTF-8.
  package var text: String? { String(validating: bytes, as: UTF8.self) }

  package func hash(into hasher: inout Hasher) {
    bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
  }

  package static func == (left: RemotePath, right: RemotePath) -> Bool { left.bytes == right.bytes }

  package static func < (left: RemotePath, right: RemotePath) -> Bool {
    let shared = min(left.bytes.count, right.bytes.count)
    let order = left.bytes.withUnsafeBytes { a in
      right.bytes.withUnsafeBytes { b in shared == 0 ? 0 : memcmp(a.baseAddress!, b.baseAddress!, shared) }
    }
    return order == 0 ? left.bytes.count < right.bytes.count : order < 0
  }
}

extension RemotePath: CustomStringConvertible {
  /// Printable form: see ``escaped(_:)``.
  package var description: String { escaped(bytes) }
}

package let slash = UInt8(ascii: "/")
