internal import CLibSSH2
internal import Common
internal import Glibc

/// libssh2's global state, set up once a process and never torn down: another thread may still use it.
private let library: Int32 = libssh2_init(0)

/// The version of the libssh2 in use, which is not always the one compiled against.
package func libssh2Version() -> String {
  libssh2_version(0).map { String(cString: $0) } ?? "unknown"
}

/// True from `version` on, given as libssh2 numbers it: 0x010b00 is 1.11.0.
func libssh2IsAtLeast(_ version: Int32) -> Bool { libssh2_version(version) != nil }

/// One SSH session on one socket (RFC 4253), non-blocking underneath and with deadlines on top.
struct SSHSession: ~Copyable {
  let handle: OpaquePointer
  let socket: Socket
  let context: SessionContext
  let address: String
  let timeoutSeconds: Int
  let stop: StopSignal

  init(
    _ socket: consuming Socket, address: String, timeoutSeconds: Int, stop: StopSignal
  ) throws(SFTPError) {
    let context = SessionContext(stop: stop)
    guard library == 0,
      let handle = libssh2_session_init_ex(nil, nil, nil, Unmanaged.passUnretained(context).toOpaque())
    else {
      throw SFTPError(
        code: "libssh2", operation: "connect", subject: address, reason: "libssh2 could not be started",
        severity: .other)
    }
    libssh2_session_set_blocking(handle, 0)
    context.install(in: handle)
    self.handle = handle
    self.socket = socket
    self.context = context
    self.address = address
    self.timeoutSeconds = timeoutSeconds
    self.stop = stop
  }

  deinit {
    // One attempt to say good-bye; then the socket goes first, so that nothing below can wait for the server, or read
    // what it still sends.
    context.deadline = 0
    _ = libssh2_session_disconnect_ex(handle, Int32(SSH_DISCONNECT_BY_APPLICATION), "done", "")
    socket.shutDown()
    context.isCutOff = true
    for _ in 0..<100 where libssh2_session_free(handle) != LIBSSH2_ERROR_EAGAIN { return }
  }

  /// Repeats a libssh2 call until it no longer says "again".
  func call(_ operation: String, _ body: () -> Int32) throws(SFTPError) -> Int32 {
    try wait(operation) {
      let code = body()
      return code == LIBSSH2_ERROR_EAGAIN ? nil : code
    }
  }

  /// Repeats `body` until it gives a value, sleeping on the socket in between. It gets `timeoutSeconds` in all, however
  /// much the server sends.
  func wait<T>(_ operation: String, _ body: () -> T?) throws(SFTPError) -> T {
    let deadline = monotonicSeconds() + Double(timeoutSeconds)
    context.deadline = deadline
    while true {
      if let result = body() { return result }
      if stop.isRequested { throw .stopped(operation, address) }
      if monotonicSeconds() >= deadline {
        throw .late(operation, address, seconds: timeoutSeconds)
      }
      sleep(milliseconds: 250)
    }
  }

  /// What libssh2 waits for on the socket (LIBSSH2_SESSION_BLOCK_…).
  var directions: Int32 { libssh2_session_block_directions(handle) }

  /// Sleeps until the socket is ready for what libssh2 waits for.
  func sleep(milliseconds: Int32) {
    let directions = directions
    socket.acknowledge()
    sleepUntilReady(
      socket.descriptor, reading: directions & LIBSSH2_SESSION_BLOCK_INBOUND != 0 || directions == 0,
      writing: directions & LIBSSH2_SESSION_BLOCK_OUTBOUND != 0, milliseconds: milliseconds)
  }

  /// The code of the last libssh2 failure.
  var lastErrorCode: Int32 { libssh2_session_last_errno(handle) }

  /// libssh2's words for its last failure, escaped.
  var lastErrorText: String {
    var text: UnsafeMutablePointer<CChar>?
    var length: Int32 = 0
    _ = libssh2_session_last_error(handle, &text, &length, 0)
    guard let text, length > 0 else { return "unknown error" }
    return escaped(UnsafeRawBufferPointer(start: text, count: Int(length)))
  }

  /// The negotiated algorithm of one kind (LIBSSH2_METHOD_…).
  func method(_ kind: Int32) -> String {
    libssh2_session_methods(handle, kind).map { escaped(String(cString: $0)) } ?? "unknown"
  }

  /// The negotiated algorithms that are old.
  var oldAlgorithms: [String] {
    var found: [String] = []
    for kind in AlgorithmKind.allCases {
      for direction in kind.methods {
        let name = method(direction)
        if AlgorithmChoice.old(kind).contains(name), !found.contains(name) { found.append(name) }
      }
    }
    return found
  }

  /// The algorithms of one kind that this libssh2 can do, in its order of preference.
  func supportedMethods(_ kind: Int32) -> [String] {
    var list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
    let count = libssh2_session_supported_algs(handle, kind, &list)
    guard count > 0, let list else { return [] }
    defer { libssh2_free(handle, list) }
    return (0..<Int(count)).compactMap { list[$0].map { String(cString: $0) } }
  }

  /// What may be agreed on with the server, of all that this libssh2 can do.
  func algorithms(allowingOld: Bool) -> AlgorithmChoice {
    AlgorithmChoice(
      allowsOld: allowingOld,
      supported: Dictionary(
        uniqueKeysWithValues: AlgorithmKind.allCases.map { ($0, supportedMethods($0.methods[0])) }))
  }

  /// Exchanges identifications and keys (RFC 4253 §4.2, §7).
  /// - Parameter hostKeyAlgorithms: those of the choice that are wanted, in order of preference.
  func handshake(_ choice: AlgorithmChoice, hostKeyAlgorithms: [String]) throws(SFTPError) {
    _ = libssh2_session_flag(handle, LIBSSH2_FLAG_COMPRESS, 0)
    for kind in AlgorithmKind.allCases {
      var names = kind == .hostKey ? hostKeyAlgorithms : choice.offered(kind)
      // What a client can do beyond; libssh2 adds it of itself since 1.11.1, and else forgets it with a choice (#1326).
      if kind == .keyExchange, !libssh2IsAtLeast(0x010b01) {
        names += supportedMethods(LIBSSH2_METHOD_KEX).filter(["ext-info-c", "kex-strict-c-v00@openssh.com"].contains)
      }
      for method in kind.methods { try prefer(names, for: kind, method) }
    }
    let code = try call("handshake") { libssh2_session_handshake(handle, socket.descriptor) }
    if code == 0 { return }
    if let offer = context.greeting.offer {
      if offer.isAbsurd {
        throw SFTPError(
          code: "protocol-error", operation: "handshake", subject: address,
          reason: "the server offers a key exchange that only clients may name", severity: .temporary)
      }
      if let mismatch = choice.mismatch(with: offer, hostKeyAlgorithms: hostKeyAlgorithms, address: address) {
        throw mismatch
      }
    }
    switch code {
    case LIBSSH2_ERROR_KEX_FAILURE, LIBSSH2_ERROR_METHOD_NONE:
      throw SFTPError(
        code: "no-common-algorithm", operation: "handshake", subject: address, reason: lastErrorText,
        advice: "libssh2 \(libssh2Version()) and the server found no algorithm in common, or one end is too old",
        severity: .fatal)
    default: throw transportError("handshake", code)
    }
  }

  private func prefer(_ names: [String], for kind: AlgorithmKind, _ method: Int32) throws(SFTPError) {
    if libssh2_session_method_pref(handle, method, names.joined(separator: ",")) == 0 { return }
    throw SFTPError(
      code: "libssh2", operation: "handshake", subject: address,
      reason: "libssh2 \(libssh2Version()) has no \(kind.rawValue) that may be used", severity: .other)
  }

  /// The server's public key: its type name and its whole blob (RFC 4253 §6.6).
  func hostKey() throws(SFTPError) -> HostKey {
    var length = 0
    var type: Int32 = 0
    guard let bytes = libssh2_session_hostkey(handle, &length, &type),
      let key = HostKey(blob: Array(UnsafeRawBufferPointer(start: bytes, count: length)))
    else {
      throw SFTPError(
        code: "protocol-error", operation: "handshake", subject: address, reason: "the server sent no usable host key",
        severity: .temporary)
    }
    return key
  }

  /// A failure below authentication and SFTP: the connection is gone or its bytes make no sense.
  func transportError(_ operation: String, _ code: Int32) -> SFTPError {
    let said = context.farewell.map { "the server hung up: \($0)" } ?? lastErrorText.lowercased()
    let reason = "\(said) (libssh2 error \(code))"
    return switch code {
    case LIBSSH2_ERROR_TIMEOUT, LIBSSH2_ERROR_SOCKET_TIMEOUT:
      .timeout(operation, address, seconds: timeoutSeconds)
    case LIBSSH2_ERROR_PROTO, LIBSSH2_ERROR_INVALID_MAC, LIBSSH2_ERROR_DECRYPT:
      SFTPError(
        code: "protocol-error", operation: operation, subject: address, reason: reason, severity: .temporary)
    default: .connectionLost(operation, address, reason: reason)
    }
  }
}
