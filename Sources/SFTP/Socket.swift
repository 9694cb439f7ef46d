internal import Common
internal import Glibc

/// A connected TCP socket, closed when its owner is gone.
struct Socket: ~Copyable {
  let descriptor: Int32

  deinit { _ = Glibc.close(descriptor) }

  /// Ends the stream in both directions, so that nothing that is still called on it can wait.
  func shutDown() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Connects to the first address of `host` that answers; each address gets its own share of the time.
  static func connect(_ settings: SFTPSettings, stop: StopSignal) throws(SFTPError) -> Socket {
    let address = settings.address
    let deadline = monotonicSeconds() + Double(settings.timeoutSeconds)
    let list = try Resolver.addresses(of: settings, deadline: deadline, stop: stop)
    defer { withExtendedLifetime(list) {} }
    var left = list.entries.reduce(0) { count, _ in count + 1 }
    var firstFailure: SFTPError?
    for entry in list.entries {
      let now = monotonicSeconds()
      let limit = now + max(1, (deadline - now) / Double(left))
      left -= 1
      do throws(SFTPError) {
        return try connect(entry.pointee, address, deadline: limit, settings, stop)
      } catch {
        if error.code == "stopped" { throw error }
        firstFailure = firstFailure ?? error
      }
    }
    throw firstFailure
      ?? SFTPError(
        code: "name-not-found", operation: "connect", subject: address, reason: "the name has no address",
        severity: .temporary)
  }

  private static func connect(
    _ entry: addrinfo, _ address: String, deadline: Double, _ settings: SFTPSettings, _ stop: StopSignal
  ) throws(SFTPError) -> Socket {
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(entry.ai_family, flags, 0)
    guard descriptor >= 0 else { throw failure(errno, address) }
    let socket = Socket(descriptor: descriptor)
    // Requests are small and answers are waited for; and a partner's firewall may forget a silent connection.
    socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    socket.set(SOL_SOCKET, SO_KEEPALIVE, 1)
    if Glibc.connect(descriptor, entry.ai_addr, entry.ai_addrlen) != 0 {
      guard errno == EINPROGRESS else { throw failure(errno, address) }
      try socket.awaitConnection(address, deadline: deadline, seconds: settings.timeoutSeconds, stop)
    }
    return socket
  }

  private func awaitConnection(
    _ address: String, deadline: Double, seconds: Int, _ stop: StopSignal
  ) throws(SFTPError) {
    while true {
      if stop.isRequested { throw .stopped("connect", address) }
      var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      if poll(&request, 1, 250) > 0 { break }
      if monotonicSeconds() >= deadline {
        throw SFTPError(
          code: "timeout", operation: "connect", subject: address, reason: "no answer within \(seconds) s",
          advice: "is a firewall in between? see SFTP_TIMEOUT", severity: .temporary)
      }
    }
    var number: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size)
    if number != 0 { throw Self.failure(number, address) }
  }

  /// Acknowledges at once what has come. A server that leaves Nagle's algorithm on, as sshd does, keeps a small packet
  /// back until the one before is acknowledged, and the kernel takes up to 40 ms for that when it has nothing to send.
  /// The kernel forgets this soon (tcp(7), TCP_QUICKACK), so it is said before every wait.
  func acknowledge() { set(Int32(IPPROTO_TCP), TCP_QUICKACK, 1) }

  private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func failure(_ number: Int32, _ address: String) -> SFTPError {
    let refused = number == ECONNREFUSED
    return SFTPError(
      code: refused ? "connection-refused" : errnoName(number), operation: "connect", subject: address,
      reason: errnoText(number).lowercased(),
      advice: refused ? "check SFTP_HOST and SFTP_PORT, and that the server is up" : nil, severity: .temporary)
  }
}
