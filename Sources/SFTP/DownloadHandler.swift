package import Common

/// One file to download.
package struct DownloadRequest: Sendable {
  /// The handler's own name for it.
  package var token: Int
  /// Absolute remote path.
  package var path: [UInt8]
  /// What the file was when it was listed; anything else is `.changed`.
  package var expected: Fingerprint

  package init(token: Int, path: [UInt8], expected: Fingerprint) {
    self.token = token
    self.path = path
    self.expected = expected
  }
}

/// Gives files to download and takes their bytes. All calls come on the connection's thread.
package protocol DownloadHandler: AnyObject {
  /// The next file; nil when there is no more for this call of `download`, and it is not called again.
  func next() -> DownloadRequest?
  /// Bytes of a file, in file order, pieces of different files mixed. May block: the server then waits.
  func received(token: Int, bytes: [UInt8])
  /// Called exactly once for every request handed out.
  func finished(token: Int, outcome: DownloadOutcome)
}

/// What became of one download.
package enum DownloadOutcome: Sendable {
  /// The file's attributes before the first and after the last read were the expected ones, and exactly its size in
  /// bytes has been delivered.
  case complete
  /// It grew, shrank or was rewritten: what was delivered is to be discarded.
  case changed(reason: String)
  /// This file only: not there, not permitted, or answered wrongly.
  case failed(SFTPError)
  /// Not finished because the run is to stop or the connection was lost; `download` throws which of the two.
  case abandoned
}
