package import Common

/// One file to download.
package struct DownloadRequest: Sendable {
  /// The handler's own name for it.
  package var token: Int
  /// Absolute remote path.
  package var path: [UInt8]
  /// What the file was when it was listed; anything else is `.changed`.
  package var expected: Fingerprint
  /// Bytes before this offset are not read; at most the expected size.
  package var startAt: UInt64

  package init(token: Int, path: [UInt8], expected: Fingerprint, startAt: UInt64 = 0) {
    self.token = token
    self.path = path
    self.expected = expected
    self.startAt = startAt
  }
}

/// What a handler has to download.
package enum NextDownload: Sendable {
  case file(DownloadRequest)
  /// Nothing now, perhaps something soon: the handler is asked again.
  case later
  /// No more for this call of `download`.
  case none
}

/// Gives files to download and takes their bytes. Several connections call it, each from a thread of its own; the calls
/// for one file never overlap.
package protocol DownloadHandler: AnyObject, Sendable {
  /// The next file. Must not block: all connections wait meanwhile.
  func next() -> NextDownload
  /// Bytes of a file, in file order, pieces of different files mixed. May block: the server then waits.
  /// - Returns: false when no more of this file is wanted; it then ends as `.changed`.
  func received(token: Int, bytes: [UInt8]) -> Bool
  /// The connection broke while the file was under way. How to go on with it, over whatever connection comes: its bytes
  /// then begin anew at `startAt`.
  func interrupted(token: Int) -> DownloadRequest
  /// Called exactly once for every request that `next` handed out; the same token may be handed out again after that.
  func finished(token: Int, outcome: DownloadOutcome)
}

/// What became of one download.
package enum DownloadOutcome: Sendable {
  /// The file's attributes before the first and after the last read were the expected ones, and exactly its bytes from
  /// `startAt` to its end have been delivered.
  case complete
  /// It grew, shrank or was rewritten, or the handler wanted no more of it: what was delivered is to be discarded.
  case changed(reason: String)
  /// This file only: not there, not permitted, or answered wrongly.
  case failed(SFTPError)
  /// Not finished because the run is to stop or no connection was left; `download` throws which of the two.
  case abandoned
}
