internal import Common
internal import Staging

/// A file on its way into tmp/.
struct ArrivingFile: Sendable {
  /// Name in tmp/.
  let temporary: String
  let descriptor: Int32
  /// Bytes that are written, and digested.
  private(set) var size: UInt64 = 0
  private var hasher: ContentHasher
  /// Where the next bytes belong: before `size` while bytes come again.
  private(set) var position: UInt64 = 0
  /// As far as the keeper has been told of it, bytes.
  private(set) var marked: UInt64 = 0

  init(temporary: String, descriptor: Int32, withMD5: Bool) {
    self.temporary = temporary
    self.descriptor = descriptor
    hasher = ContentHasher(withMD5: withMD5)
  }

  /// A file of which a part was there: `partial`, whose bytes gave `hasher`.
  init(_ partial: PartialFile, descriptor: Int32, hasher: ContentHasher) {
    temporary = partial.temporary
    self.descriptor = descriptor
    self.hasher = hasher
    size = partial.offset
    marked = partial.offset
    position = Resumption.start(after: partial.offset)
  }

  /// Bytes come again, to be compared with what is there.
  var isComparing: Bool { position < size }

  var sha256: SHA256Digest { hasher.sha256() }
  var md5: MD5Digest? { hasher.md5Digest() }

  /// The next bytes begin at `offset` again.
  mutating func goBack(to offset: UInt64) { position = offset }

  mutating func noteMark() { marked = size }

  /// Takes the next bytes: writes them, and compares those that were there.
  /// - Returns: false when they are not what was there: the file is of no more use.
  mutating func take(_ bytes: [UInt8], _ fileSystem: any FileSystem) throws(SystemFailure) -> Bool {
    var new = bytes
    if isComparing {
      let count = Int(min(UInt64(bytes.count), size - position))
      guard try fileSystem.readAll(descriptor, from: position, count: count) == Array(bytes[..<count]) else {
        return false
      }
      position += UInt64(count)
      new.removeFirst(count)
    }
    if new.isEmpty { return true }
    try fileSystem.writeAll(descriptor, new, at: size)
    hasher.update(new)
    size += UInt64(new.count)
    position = size
    return true
  }
}
