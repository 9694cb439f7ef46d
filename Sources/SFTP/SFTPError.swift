package import Common

/// What went wrong between us and the SFTP server: the one error type at this room's edge.
package struct SFTPError: Failure, Equatable {
  package var code: String
  package var operation: String
  package var subject: String
  package var reason: String
  package var advice: String?
  package var severity: Severity
  /// The server's status code when it refused one request (draft-ietf-secsh-filexfer-02 §7).
  package var status: UInt32?

  package init(
    code: String, operation: String, subject: String, reason: String, advice: String? = nil, severity: Severity,
    status: UInt32? = nil
  ) {
    self.code = code
    self.operation = operation
    self.subject = subject
    self.reason = reason
    self.advice = advice
    self.severity = severity
    self.status = status
  }
}

extension SFTPError {
  /// The server has seen our credentials and does not want them: trying again may lock the account.
  package var isRefusedLogin: Bool { code == "authentication-failed" || code == "password-expired" }

  /// The run was asked to stop.
  static func stopped(_ operation: String, _ subject: String) -> SFTPError {
    SFTPError(
      code: "stopped", operation: operation, subject: subject, reason: "the run was asked to stop", severity: .temporary
    )
  }

  /// Nothing whole came for `seconds`.
  static func timeout(_ operation: String, _ subject: String, seconds: Int) -> SFTPError {
    SFTPError(
      code: "timeout", operation: operation, subject: subject, reason: "the server answered nothing for \(seconds) s",
      advice: "see SFTP_TIMEOUT", severity: .temporary)
  }

  /// Whatever the server said meanwhile, the step was not done in its time.
  static func late(_ operation: String, _ subject: String, seconds: Int) -> SFTPError {
    SFTPError(
      code: "timeout", operation: operation, subject: subject, reason: "not done within \(seconds) s",
      advice: "see SFTP_TIMEOUT", severity: .temporary)
  }

  /// Something came all the time, and as good as nothing in all.
  static func stalled(_ operation: String, seconds: Int) -> SFTPError {
    SFTPError(
      code: "stalled", operation: operation, subject: "", reason: "the server got nowhere for \(seconds) s",
      advice: "see SFTP_TIMEOUT", severity: .temporary)
  }

  /// The connection ended or broke.
  static func connectionLost(_ operation: String, _ subject: String, reason: String) -> SFTPError {
    SFTPError(
      code: "connection-lost", operation: operation, subject: subject, reason: reason, severity: .temporary)
  }

  /// The peer sent bytes that are not SFTP version 3. Temporary: a broken transfer looks the same as a broken server.
  static func protocolError(_ reason: String) -> SFTPError {
    SFTPError(
      code: "protocol-error", operation: "SFTP", subject: "", reason: reason,
      advice: "the server does not speak SFTP version 3 as it should", severity: .temporary)
  }

  /// An answer about one file that cannot be right, such as more bytes than were asked for.
  static func badAnswer(_ operation: String, _ path: [UInt8], reason: String) -> SFTPError {
    SFTPError(code: "bad-answer", operation: operation, subject: escaped(path), reason: reason, severity: .item)
  }
}

/// SSH_FXP_STATUS: a code and the server's words, which are hostile input until escaped
/// (draft-ietf-secsh-filexfer-02 §7).
struct Status: Equatable, Sendable {
  static let ok: UInt32 = 0
  static let eof: UInt32 = 1
  static let noSuchFile: UInt32 = 2
  static let permissionDenied: UInt32 = 3
  static let failure: UInt32 = 4
  static let badMessage: UInt32 = 5
  static let noConnection: UInt32 = 6
  static let connectionLost: UInt32 = 7
  static let unsupported: UInt32 = 8

  var code: UInt32
  var message: [UInt8]

  /// The failure of `operation` on `path`.
  ///
  /// | status | code | severity |
  /// |---|---|---|
  /// | 2 | no-such-file | item |
  /// | 3 | permission-denied | item |
  /// | 6, 7 | server-lost-backend | temporary |
  /// | 8 | unsupported | item |
  /// | any other | sftp-status-N | item |
  func error(_ operation: String, _ path: [UInt8]) -> SFTPError {
    let (name, words, severity): (String, String, Severity) =
      switch code {
      case Status.noSuchFile: ("no-such-file", "no such file", .item)
      case Status.permissionDenied: ("permission-denied", "permission denied", .item)
      case Status.noConnection, Status.connectionLost:
        ("server-lost-backend", "the server lost its own storage", .temporary)
      case Status.unsupported: ("unsupported", "the server does not support this", .item)
      default: ("sftp-status-\(code)", "the server answered status \(code)", .item)
      }
    // A server's words are shown shortened: they are for a person, and a megabyte of them helps nobody.
    let said = escaped(message.prefix(200))
    let reason = said.isEmpty || said.lowercased() == words ? words : "\(words) (server: \(said))"
    return SFTPError(
      code: name, operation: operation, subject: escaped(path), reason: reason,
      advice: code == Status.permissionDenied ? "the SFTP user may not read it" : nil, severity: severity, status: code)
  }
}
