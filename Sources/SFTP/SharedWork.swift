/// Work that several connections do together, each taking a share of it on a thread of its own.
protocol SharedWork: AnyObject, Sendable {
  /// Does a share of it over one connection; returns when all of it is done, by whomever.
  ///
  /// Throws only for connection-level failures and a stop request; what this connection had taken and not finished has
  /// then been given back, for another to take.
  func work(over connection: SFTPConnection) throws(SFTPError)
  /// Nothing is left to do, or it has been ended.
  var isOver: Bool { get }
  /// Counts what is finished: while it grows, broken connections are worth replacing.
  var progress: Int { get }
  /// Ends it before its end; the first error counts. Nobody takes anything any more.
  func end(_ error: SFTPError)
  /// What ended it before its end.
  var failure: SFTPError? { get }
}
