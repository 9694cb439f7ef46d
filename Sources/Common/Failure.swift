/// What a failure means for the run: it decides the exit code and whether trying again can help.
package enum Severity: Sendable {
  /// The other side or the network: the same call may succeed later.
  case temporary
  /// This one file or directory; the others go on.
  case item
  /// The configuration or the command line is wrong.
  case configuration
  /// Nothing will change until a person acts: authentication, host key, damaged journal.
  case fatal
  /// A guard refused to go on: disk space, deletions.
  case guarded
  /// Another run holds the lock.
  case locked
  /// Anything else.
  case other

  package var exitCode: ExitCode {
    switch self {
    case .temporary: .temporary
    case .item: .partial
    case .configuration: .configuration
    case .fatal: .fatal
    case .guarded: .guarded
    case .locked: .locked
    case .other: .other
    }
  }

  package var retryHelps: Bool { self == .temporary || self == .locked }
}

/// An error that a person will read: what failed, on what, why, and what to do about it.
package protocol Failure: Error, Sendable, CustomStringConvertible {
  /// Stable, short, kebab-case: the same failure has the same code in logs, journal and status.
  var code: String { get }
  /// What was being done: "open", "PUT", "authenticate".
  var operation: String { get }
  /// What it was done to, printable.
  var subject: String { get }
  /// Why it failed: the other side's words where it gave any.
  var reason: String { get }
  /// What a person can do; nil when there is nothing to say beyond the reason.
  var advice: String? { get }
  var severity: Severity { get }
}

extension Failure {
  package var advice: String? { nil }

  /// See ``PhaseFailure/overtime(_:)``.
  package var isOvertime: Bool { code == PhaseFailure.overtimeCode }

  /// One line: `operation subject: reason (advice)`.
  package var description: String {
    let head = subject.isEmpty ? operation : "\(operation) \(subject)"
    return "\(head): \(reason)" + (advice.map { " (\($0))" } ?? "")
  }
}

/// A failure of a phase that is neither the connection's, nor the bucket's, nor the volume's.
package struct PhaseFailure: Failure {
  package let code: String
  package let operation: String
  package let subject: String
  package let reason: String
  package let advice: String?
  package let severity: Severity

  package init(
    code: String, operation: String, subject: String = "", reason: String, advice: String? = nil, severity: Severity
  ) {
    self.code = code
    self.operation = operation
    self.subject = subject
    self.reason = reason
    self.advice = advice
    self.severity = severity
  }

  static let overtimeCode = "max-duration"

  /// The run's time was over before the phase was done.
  package static func overtime(_ phase: String) -> PhaseFailure {
    PhaseFailure(
      code: overtimeCode, operation: phase, reason: "the time that MAX_DURATION gives is over",
      advice: "the next run continues", severity: .temporary)
  }

  /// The run was asked to stop before the phase was done.
  package static func stopped(_ phase: String) -> PhaseFailure {
    PhaseFailure(
      code: "stopped", operation: phase, reason: "the run was asked to stop", advice: "the next run continues",
      severity: .temporary)
  }
}

/// The failure of a call to the operating system.
package struct SystemFailure: Failure {
  package let errno: Int32
  package let operation: String
  package let subject: String
  package var severity: Severity

  package init(errno: Int32, operation: String, subject: String, severity: Severity = .other) {
    self.errno = errno
    self.operation = operation
    self.subject = subject
    self.severity = severity
  }

  package var code: String { errnoName(errno) }
  package var reason: String { errnoText(errno) }
}
