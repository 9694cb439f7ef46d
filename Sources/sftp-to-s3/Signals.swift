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
}
