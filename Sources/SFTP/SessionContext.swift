internal import CLibSSH2
internal import Common
internal import Glibc

/// What the callbacks of one session need; libssh2 hands its address back to them.
final class SessionContext {
  /// Answers keyboard-interactive prompts, while that method is being tried.
  var password: Secret?
  /// A prompt that would have shown the password was met, and left without an answer.
  var sawVisiblePrompt = false
  /// Rounds of keyboard-interactive prompts so far; an honest server is done after two or three.
  var promptRounds = 0
  /// From then on libssh2 gets nothing more to read until somebody looks again; on the monotonic clock.
  var deadline = Double.infinity
  /// The stream is over for libssh2, whatever the server still sends.
  var isCutOff = false
  /// What the server said first.
  private(set) var greeting = ServerGreeting()
  /// The server ended the stream, in whatever way.
  private(set) var hasEnded = false
  /// What the server said when it hung up, escaped.
  private(set) var farewell: String?
  private let stop: StopSignal

  static let promptRoundLimit = 16

  init(stop: StopSignal) { self.stop = stop }

  func install(in session: OpaquePointer) { session_set_callbacks(session, receiveCallback, disconnectCallback) }

  var asksWithoutEnd: Bool { promptRounds > Self.promptRoundLimit }

  /// Reads for libssh2, which goes on reading as long as there is something: through identification lines, ignored
  /// packets and the like a server could keep it busy for ever. So it is told that there is nothing, once time is up.
  fileprivate func receive(_ socket: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ flags: Int32) -> Int {
    if isCutOff { return 0 }
    if stop.isRequested || monotonicSeconds() >= deadline { return -Int(EAGAIN) }
    let count = recv(socket, buffer, length, flags)
    if count > 0 {
      greeting.take(UnsafeRawBufferPointer(start: buffer, count: count))
      isCutOff = greeting.offer?.isAbsurd == true
      return isCutOff ? 0 : count
    }
    if count < 0, errno == EAGAIN || errno == EINTR { return -Int(EAGAIN) }
    hasEnded = true
    return count < 0 ? -Int(errno) : 0
  }

  fileprivate func disconnected(_ message: UnsafePointer<CChar>?, _ length: Int32) {
    hasEnded = true
    guard let message, length > 0 else { return }
    // A server's words are shown shortened: they are for a person.
    farewell = escaped(UnsafeRawBufferPointer(start: message, count: min(Int(length), 200)))
  }
}

private func context(_ abstract: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> SessionContext? {
  abstract?.pointee.map { Unmanaged<SessionContext>.fromOpaque($0).takeUnretainedValue() }
}

private let receiveCallback:
  @convention(c) (
    libssh2_socket_t, UnsafeMutableRawPointer?, Int, Int32, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
  ) -> Int = { socket, buffer, length, flags, abstract in
    context(abstract)?.receive(socket, buffer, length, flags) ?? -Int(EBADF)
  }

private let disconnectCallback:
  @convention(c) (
    OpaquePointer?, Int32, UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32,
    UnsafeMutablePointer<UnsafeMutableRawPointer?>?
  ) -> Void = { _, _, message, length, _, _, abstract in context(abstract)?.disconnected(message, length) }
