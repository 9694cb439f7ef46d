internal import CLibSSH2
internal import Common
internal import Glibc
internal import Logging

/// The byte channel of the SFTP subsystem inside an SSH session (RFC 4254 §5, §6.5).
///
/// libssh2 up to 1.11 refuses (LIBSSH2_ERROR_BAD_USE) to send anything while an earlier packet is half sent, even
/// a window adjustment made on behalf of a read. So whichever side was stopped by a full socket goes on first.
final class SSHChannel: ByteChannel {
  /// Bytes the server may send before we adjust the window; as much as is ever requested at once.
  private static let windowBytes: UInt32 = 16 << 20
  /// Bytes in one SSH packet; libssh2's own limit is little above.
  private static let packetBytes: UInt32 = 32_768

  /// Seconds that libssh2 may go on reading what is not for us before the stop signal and the deadline are looked at.
  private static let sliceSeconds = 0.25

  private enum HalfSent { case nothing, ours, libssh2s }

  private var session: SSHSession?
  private let channel: OpaquePointer
  private var halfSent = HalfSent.nothing

  private init(_ session: consuming SSHSession, channel: OpaquePointer) {
    self.session = consume session
    self.channel = channel
  }

  deinit { close() }

  /// From nothing to a running SFTP subsystem, and what was negotiated on the way.
  static func connect(
    _ settings: SFTPSettings, stop: StopSignal, logger: Logger
  ) throws(SFTPError) -> (SSHChannel, ConnectionFacts) {
    var check = try HostKeyCheck(settings)
    while true {
      let session = try SSHSession(
        try Socket.connect(settings, stop: stop), address: settings.address, timeoutSeconds: settings.timeoutSeconds,
        stop: stop)
      let choice = session.algorithms(allowingOld: settings.allowsOldAlgorithms)
      let hostKeyAlgorithms = try check.algorithms(choice)
      do throws(SFTPError) {
        try session.handshake(choice, hostKeyAlgorithms: hostKeyAlgorithms)
      } catch {
        throw check.failure(ofHandshake: error, choice)
      }
      let key = try session.hostKey()
      // Without trust nothing is said to this server; it may have another key, which is the one that is pinned.
      guard let trust = try check.verify(key, choice) else { continue }
      return try logIn(session, settings, key, trust, logger)
    }
  }

  private static func logIn(
    _ session: consuming SSHSession, _ settings: SFTPSettings, _ key: HostKey, _ trust: HostKeyTrust, _ logger: Logger
  ) throws(SFTPError) -> (SSHChannel, ConnectionFacts) {
    var authenticator = Authenticator(settings, logger: logger)
    let method = try authenticator.authenticate(session)
    let facts = ConnectionFacts(
      hostKeyFingerprint: key.fingerprint, hostKeyType: key.type, hostKeyTrust: trust, authenticationMethod: method,
      cipher: session.method(LIBSSH2_METHOD_CRYPT_SC), mac: session.method(LIBSSH2_METHOD_MAC_SC),
      keyExchange: session.method(LIBSSH2_METHOD_KEX), oldAlgorithms: session.oldAlgorithms,
      serverIdentification: libssh2_session_banner_get(session.handle).map { escaped(String(cString: $0)) } ?? "",
      libssh2Version: libssh2Version(), extensions: [])
    let channel = try openSubsystem(session)
    return (SSHChannel(session, channel: channel), facts)
  }

  private static func openSubsystem(_ session: borrowing SSHSession) throws(SFTPError) -> OpaquePointer {
    let handle = session.handle
    let opened: OpaquePointer? = try session.wait("open channel") { () -> OpaquePointer?? in
      let type = "session"
      if let channel = libssh2_channel_open_ex(
        handle, type, UInt32(type.utf8.count), windowBytes, packetBytes, nil, 0)
      {
        return channel
      }
      return libssh2_session_last_errno(handle) == LIBSSH2_ERROR_EAGAIN ? .none : .some(nil)
    }
    guard let opened else {
      let code = session.lastErrorCode
      if code == LIBSSH2_ERROR_CHANNEL_FAILURE {
        throw SFTPError(
          code: "channel-refused", operation: "open channel", subject: session.address, reason: session.lastErrorText,
          advice: "the server may allow fewer sessions: lower SFTP_CONNECTIONS", severity: .temporary)
      }
      throw session.transportError("open channel", code)
    }
    let request = "subsystem"
    let name = "sftp"
    let code = try session.call("start SFTP") {
      libssh2_channel_process_startup(
        opened, request, UInt32(request.utf8.count), name, UInt32(name.utf8.count))
    }
    switch code {
    case 0: break
    case LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED, LIBSSH2_ERROR_CHANNEL_FAILURE:
      throw SFTPError(
        code: "no-sftp-subsystem", operation: "start SFTP", subject: session.address,
        reason: "the server refused the SFTP subsystem", advice: "SFTP must be enabled there for this user",
        severity: .fatal)
    default: throw session.transportError("start SFTP", code)
    }
    // What a server writes to standard error would fill the window and stop everything.
    _ = try session.call("start SFTP") {
      libssh2_channel_handle_extended_data2(opened, LIBSSH2_CHANNEL_EXTENDED_DATA_IGNORE)
    }
    return opened
  }

  func send(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int {
    guard session != nil else { throw Self.closed }
    if halfSent == .libssh2s || bytes.isEmpty { return 0 }
    limitReading()
    let count = libssh2_channel_write_ex(channel, 0, bytes.baseAddress!, bytes.count)
    halfSent = .nothing
    if count >= 0 { return count }
    guard count == Int(LIBSSH2_ERROR_EAGAIN) else { throw failure("send", Int32(truncatingIfNeeded: count)) }
    if isBlockedOutward { halfSent = .ours }
    return 0
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SFTPError) -> Int? {
    guard session != nil else { throw Self.closed }
    if halfSent == .ours { return 0 }
    limitReading()
    let count = libssh2_channel_read_ex(channel, 0, buffer.baseAddress!, buffer.count)
    halfSent = .nothing
    if count > 0 { return count }
    if count == 0 { return libssh2_channel_eof(channel) != 0 ? nil : 0 }
    guard count == Int(LIBSSH2_ERROR_EAGAIN) else { throw failure("receive", Int32(truncatingIfNeeded: count)) }
    if isBlockedOutward { halfSent = .libssh2s }
    return 0
  }

  private func limitReading() { session?.context.deadline = monotonicSeconds() + Self.sliceSeconds }

  func wait(milliseconds: Int32) { session?.sleep(milliseconds: milliseconds) }

  func close() { session = nil }

  private var isBlockedOutward: Bool {
    (session?.directions ?? 0) & LIBSSH2_SESSION_BLOCK_OUTBOUND != 0
  }

  private func failure(_ operation: String, _ code: Int32) -> SFTPError {
    session?.transportError(operation, code) ?? Self.closed
  }

  private static var closed: SFTPError { .connectionLost("SFTP", "", reason: "the connection has been closed") }
}
