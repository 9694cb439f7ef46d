internal import Common
internal import Glibc

/// SIGTERM and SIGINT ask the run to stop; a second one ends the process at once. SIGPIPE is an error code instead.
enum Signals {
  static let stop = StopSignal()

  static func install() {
    // Made before any signal can come: a handler must not be the first to touch a lazy global.
    _ = stop.isRequested
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in
      if Signals.stop.isRequested { _exit(Common.ExitCode.temporary.rawValue) }
      Signals.stop.request()
    }
    action.sa_flags = SA_RESTART
    sigaction(SIGTERM, &action, nil)
    sigaction(SIGINT, &action, nil)
    signal(SIGPIPE, SIG_IGN)
  }

  /// Connections, staged files and the journal share the limit of open files; the usual soft one is small.
  static func raiseFileLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = min(limit.rlim_max, 65_536)
    // Where it cannot be raised, the limit that is there must do.
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
