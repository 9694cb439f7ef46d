package import Common

/// What a directory entry is, by the type bits of its permissions.
package enum EntryKind: Sendable {
  case file, directory, symlink, special
}

/// Attributes of a remote file; each may be absent (draft-ietf-secsh-filexfer-02 §5).
package struct FileAttributes: Sendable, Equatable {
  /// Bytes.
  package var size: UInt64?
  package var userID: UInt32?
  package var groupID: UInt32?
  /// POSIX mode, type bits included when the server sends them.
  package var permissions: UInt32?
  /// Seconds since 1970, unsigned.
  package var accessTime: UInt32?
  /// Seconds since 1970, unsigned.
  package var mtime: UInt32?

  package init(size: UInt64? = nil, permissions: UInt32? = nil, mtime: UInt32? = nil) {
    self.size = size
    self.permissions = permissions
    self.mtime = mtime
  }

  /// The kind, when permissions with type bits were sent (POSIX sys/stat.h S_IFMT).
  package var kind: EntryKind? {
    guard let permissions else { return nil }
    return switch permissions & 0o170000 {
    case 0o100000: .file
    case 0o040000: .directory
    case 0o120000: .symlink
    case 0: nil
    default: .special
    }
  }

  /// Size and mtime, when both were sent.
  package var fingerprint: Fingerprint? {
    guard let size, let mtime else { return nil }
    return Fingerprint(size: size, mtime: mtime)
  }

  /// Takes from `other` what is absent here.
  mutating func fill(from other: FileAttributes) {
    size = size ?? other.size
    permissions = permissions ?? other.permissions
    accessTime = accessTime ?? other.accessTime
    mtime = mtime ?? other.mtime
    userID = userID ?? other.userID
    groupID = groupID ?? other.groupID
  }
}

extension WireReader {
  /// ATTRS (draft-ietf-secsh-filexfer-02 §5): flags, then what the flags announce.
  mutating func attributes() throws(WireFault) -> FileAttributes {
    var result = FileAttributes()
    let flags = try uint32()
    if flags & 0x1 != 0 { result.size = try uint64() }
    if flags & 0x2 != 0 {
      result.userID = try uint32()
      result.groupID = try uint32()
    }
    if flags & 0x4 != 0 { result.permissions = try uint32() }
    if flags & 0x8 != 0 {
      result.accessTime = try uint32()
      result.mtime = try uint32()
    }
    if flags & 0x8000_0000 != 0 {
      // Nothing here uses extended attributes; they are stepped over so that what follows is read in the right place.
      let count = try uint32()
      guard UInt64(count) * 8 <= UInt64(remaining) else { throw .truncated }
      for _ in 0..<count {
        try skipString()
        try skipString()
      }
    }
    return result
  }
}
