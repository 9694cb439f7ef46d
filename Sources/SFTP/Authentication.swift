internal import CLibSSH2
internal import Common
internal import Glibc
internal import Logging

/// Proves who we are (RFC 4252): asks the server what it accepts and gives each credential once, because accounts get
/// locked. It asks again only when the first list has no use for what is left, since a server may want a key and then a
/// password: OpenSSH counts the question as one more failure, and libssh2 keeps no list from an answer.
///
/// | the server hangs up | is |
/// |---|---|
/// | before any credential was given | the server's trouble: temporary |
/// | instead of an answer to one, or after refusing one | a refusal: fatal, for trying again may lock the account |
struct Authenticator {
  private enum Credential: String {
    case privateKey = "private key"
    case password
  }

  private enum Outcome {
    case accepted
    /// Refused, or accepted as one step of several: libssh2 cannot tell, the server's next list can.
    case refused
  }

  private let settings: SFTPSettings
  private let logger: Logger
  private var untried: [Credential] = []
  /// Methods that were tried, in order.
  private var tried: [String] = []
  /// Methods the server listed last.
  private var offered: [String] = []

  init(_ settings: SFTPSettings, logger: Logger) {
    self.settings = settings
    self.logger = logger
    if settings.privateKey != nil { untried.append(.privateKey) }
    if settings.password != nil { untried.append(.password) }
  }

  /// Returns the method or methods that let us in, joined with `+`.
  mutating func authenticate(_ session: borrowing SSHSession) throws(SFTPError) -> String {
    guard let methods = try list(session) else { return "none" }
    offered = methods
    var isCurrent = true
    while true {
      guard let (credential, method) = next() else {
        if isCurrent || untried.isEmpty { throw refusal(session) }
        guard let methods = try list(session) else { return tried.joined(separator: "+") }
        offered = methods
        isCurrent = true
        continue
      }
      isCurrent = false
      untried.removeAll { $0 == credential }
      tried.append(method)
      logger.debug("authenticating", metadata: ["method": "\(method)"])
      switch try attempt(method, session) {
      case .accepted: return accepted(by: method)
      case .refused: logger.debug("not accepted, or not enough", metadata: ["method": "\(method)"])
      }
    }
  }

  /// The methods the server will accept next; nil when no more proof is needed.
  private func list(_ session: borrowing SSHSession) throws(SFTPError) -> [String]? {
    let user = settings.user
    let handle = session.handle
    let text: String? = try session.wait("authenticate") { () -> String?? in
      if let list = libssh2_userauth_list(handle, user, UInt32(user.utf8.count)) { return String(cString: list) }
      return libssh2_session_last_errno(handle) == LIBSSH2_ERROR_EAGAIN ? .none : .some(nil)
    }
    if let text { return text.split(separator: ",").map { escaped(String($0)) } }
    if libssh2_userauth_authenticated(handle) != 0 { return nil }
    throw disconnected(session, session.lastErrorCode)
  }

  /// The next credential that the server has a use for.
  private func next() -> (Credential, String)? {
    for credential in untried {
      switch credential {
      case .privateKey where offered.contains("publickey"): return (credential, "publickey")
      case .password where offered.contains("password"): return (credential, "password")
      case .password where offered.contains("keyboard-interactive"): return (credential, "keyboard-interactive")
      default: continue
      }
    }
    return nil
  }

  private func attempt(_ method: String, _ session: borrowing SSHSession) throws(SFTPError) -> Outcome {
    let handle = session.handle
    let user = settings.user
    let userLength = UInt32(user.utf8.count)
    let code: Int32
    switch method {
    case "publickey":
      let key = settings.privateKey?.reveal() ?? ""
      let passphrase = settings.privateKeyPassphrase?.reveal()
      code = try session.call("authenticate") {
        libssh2_userauth_publickey_frommemory(
          handle, user, Int(userLength), nil, 0, key, key.utf8.count, passphrase)
      }
    case "password":
      let password = settings.password?.reveal() ?? ""
      code = try session.call("authenticate") {
        libssh2_userauth_password_ex(handle, user, userLength, password, UInt32(password.utf8.count), nil)
      }
    default:
      session.context.password = settings.password
      defer { session.context.password = nil }
      code = try session.call("authenticate") {
        libssh2_userauth_keyboard_interactive_ex(handle, user, userLength, answerPrompts)
      }
    }
    return try outcome(code, method, session)
  }

  private func outcome(_ code: Int32, _ method: String, _ session: borrowing SSHSession) throws(SFTPError) -> Outcome {
    if code == 0 { return .accepted }
    // libssh2 has one of several codes for it, some of them those of a refusal.
    let hungUp = [LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_RECV, LIBSSH2_ERROR_SOCKET_SEND].contains(code)
    if hungUp || session.context.hasEnded || session.context.asksWithoutEnd { throw refusal(session) }
    switch code {
    case LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED: return .refused
    case LIBSSH2_ERROR_PASSWORD_EXPIRED:
      throw SFTPError(
        code: "password-expired", operation: "authenticate", subject: subject, reason: "the password has expired",
        advice: "set a new one with the server's operator", severity: .fatal)
    case LIBSSH2_ERROR_FILE, LIBSSH2_ERROR_KEYFILE_AUTH_FAILED, LIBSSH2_ERROR_METHOD_NOT_SUPPORTED,
      LIBSSH2_ERROR_ALLOC, LIBSSH2_ERROR_PROTO:
      guard method == "publickey" else { throw disconnected(session, code) }
      let advice =
        settings.privateKeyPassphrase == nil
        ? "is SFTP_KEY a whole private key file, and does it need SFTP_KEY_PASSPHRASE?"
        : "is SFTP_KEY a whole private key file, and SFTP_KEY_PASSPHRASE right?"
      throw SFTPError(
        code: "private-key-unusable", operation: "authenticate", subject: subject,
        reason: "the private key cannot be read", advice: advice,
        severity: .configuration)
    default: throw disconnected(session, code)
    }
  }

  /// libssh2 reports the last step only; what was offered before and no longer is was a step too.
  private func accepted(by method: String) -> String {
    let steps = tried.dropLast().filter { !offered.contains($0) } + [method]
    return steps.joined(separator: "+")
  }

  private var subject: String { "\(escaped(settings.user))@\(settings.address)" }

  /// The failure of a question for the list.
  private func disconnected(_ session: borrowing SSHSession, _ code: Int32) -> SFTPError {
    tried.isEmpty ? session.transportError("authenticate", code) : refusal(session)
  }

  private func refusal(_ session: borrowing SSHSession) -> SFTPError {
    let server = offered.isEmpty ? "nothing" : offered.joined(separator: ", ")
    let ours = tried.isEmpty ? "nothing of it is configured" : "tried \(tried.joined(separator: ", "))"
    var advice = "check SFTP_USER, SFTP_PASS and SFTP_KEY"
    var end = ""
    if session.context.hasEnded {
      end = "; then it hung up" + (session.context.farewell.map { ": \($0)" } ?? "")
    }
    if session.context.asksWithoutEnd {
      advice = "the server asks question after question; a key may do"
    } else if session.context.sawVisiblePrompt {
      advice = "the server asks a question that is not a password; a key may do"
    } else if tried.contains("publickey"), !libssh2IsAtLeast(0x010b00), looksLikeRSA {
      advice =
        "libssh2 \(libssh2Version()) signs RSA keys with SHA-1 only, which servers refuse: use ed25519, or libssh2 1.11"
    }
    return SFTPError(
      code: "authentication-failed", operation: "authenticate", subject: subject,
      reason: "refused; the server accepts \(server); \(ours)\(end)", advice: advice, severity: .fatal)
  }

  /// An RSA key, by PEM's first line, or by the type name near the start of an OpenSSH key.
  private var looksLikeRSA: Bool {
    let text = settings.privateKey?.reveal() ?? ""
    if text.contains("BEGIN RSA PRIVATE KEY") { return true }
    let body = text.split(separator: "\n").dropFirst().prefix { !$0.hasPrefix("-----") }.joined()
    guard let blob = bytes(fromBase64: body.filter { $0 != "\r" }) else { return false }
    let name = Array("ssh-rsa".utf8)
    return blob.prefix(200).indices.contains { blob[$0...].starts(with: name) }
  }
}

/// Whether the first prompt would show what is typed. The header compiled against may be of another libssh2 than the
/// one in use, under the same name: from 1.11.0 on the length before this flag is as wide as a pointer. Read in the
/// wrong place, every prompt would be a hidden one and get the password.
private func showsAnswer(_ prompts: UnsafePointer<LIBSSH2_USERAUTH_KBDINT_PROMPT>) -> Bool {
  let lengthBytes = libssh2IsAtLeast(0x010b00) ? MemoryLayout<Int>.size : MemoryLayout<UInt32>.size
  let offset = MemoryLayout<UnsafeRawPointer>.size + lengthBytes
  return UnsafeRawPointer(prompts).load(fromByteOffset: offset, as: UInt8.self) != 0
}

/// Answers one round of keyboard-interactive prompts (RFC 4256 §3.2): exactly one hidden prompt gets the password,
/// once; anything else gets empty answers. libssh2 frees the answers with free(3).
private let answerPrompts:
  @convention(c) (
    UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, Int32,
    UnsafePointer<LIBSSH2_USERAUTH_KBDINT_PROMPT>?, UnsafeMutablePointer<LIBSSH2_USERAUTH_KBDINT_RESPONSE>?,
    UnsafeMutablePointer<UnsafeMutableRawPointer?>?
  ) -> Void = { _, _, _, _, count, prompts, responses, abstract in
    guard let pointer = abstract?.pointee else { return }
    let context = Unmanaged<SessionContext>.fromOpaque(pointer).takeUnretainedValue()
    context.promptRounds += 1
    // libssh2 would answer for ever; only the end of the stream stops it.
    if context.asksWithoutEnd { context.isCutOff = true }
    guard count > 0, let prompts, let responses else { return }
    if count != 1 || showsAnswer(prompts) {
      context.sawVisiblePrompt = true
      return
    }
    guard let password = context.password?.reveal() else { return }
    context.password = nil
    responses[0].text = strdup(password)
    responses[0].length = UInt32(password.utf8.count)
  }
