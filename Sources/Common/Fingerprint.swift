/// What tells one state of a remote file from another without reading it: SFTP's size and modification time.
package struct Fingerprint: Hashable, Sendable {
  /// Bytes.
  package var size: UInt64
  /// Seconds since 1970, as SFTP version 3 gives them: unsigned 32 bits, no fraction (draft-ietf-secsh-filexfer-02 §5).
  package var mtime: UInt32

  package init(size: UInt64, mtime: UInt32) {
    self.size = size
    self.mtime = mtime
  }
}
