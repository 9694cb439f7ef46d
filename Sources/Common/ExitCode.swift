/// What the process says to cron, to a script and to a person. README.md has the same table.
package enum ExitCode: Int32, Sendable {
  case done = 0
  /// Any other error; for `verify`: drift was found.
  case other = 1
  /// Usage or configuration.
  case configuration = 2
  /// SFTP or S3 could not be reached or kept failing, or the run was asked to stop: run again.
  case temporary = 5
  /// Done, but some files failed or some directories are unknown.
  case partial = 6
  /// Authentication, host key, damaged journal: running again will not help.
  case fatal = 7
  /// A guard stopped it: deletions, disk space.
  case guarded = 8
  /// Another run holds the lock.
  case locked = 75

  /// The code of a run of two phases: the first of 7, 8, 5, 6 that either phase ended with, else the first not 0.
  package static func combined(_ codes: [ExitCode]) -> ExitCode {
    for code in [ExitCode.fatal, .guarded, .temporary, .partial] where codes.contains(code) { return code }
    return codes.first { $0 != .done } ?? .done
  }
}
