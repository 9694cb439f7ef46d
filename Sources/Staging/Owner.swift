internal import Common
internal import Glibc

/// Who this process is to the volume.
package enum VolumeOwner {
  /// When root runs the program on a volume that belongs to someone else, becomes that user, so that no file is left
  /// behind that the volume's own jobs cannot open. Call it before anything is opened.
  /// - Returns: the user id taken on; nil when nothing had to change.
  /// - Throws: ``StagingError`` when the ids cannot be changed.
  package static func becomeOwner(ofVolumeAt path: String) throws(StagingError) -> UInt32? {
    guard geteuid() == 0 else { return nil }
    var status = stat()
    // A volume that cannot be looked at is reported when it is opened.
    guard stat(path, &status) == 0, status.st_uid != 0 else { return nil }
    guard setgroups(0, nil) == 0, setgid(status.st_gid) == 0, setuid(status.st_uid) == 0 else {
      throw StagingError(
        code: "cannot-become-owner", operation: "become the owner of", subject: escaped(path),
        reason: errnoText(errno),
        advice: "run as user \(status.st_uid), or give the container the capabilities SETUID and SETGID",
        severity: .configuration)
    }
    return status.st_uid
  }
}
