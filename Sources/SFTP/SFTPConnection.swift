package import Common
package import Logging

/// One SFTP connection and everything that can be asked over it. Not Sendable: one thread makes, uses and closes it.
///
/// A connection-level failure, a stop request included, ends the connection: every later call throws the same error.
package final class SFTPConnection {
  /// What was negotiated; nil when the connection runs over a channel given by a test.
  package let facts: ConnectionFacts?
  let stream: MessageStream
  let logger: Logger
  let stop: StopSignal
  /// The server is known to carry out requests strictly one after the other, as OpenSSH does.
  let answersInOrder: Bool

  /// Connects, checks the host key, authenticates, and starts the SFTP subsystem.
  ///
  /// Throws `.temporary` for network trouble and time-outs, `.fatal` for host key and authentication,
  /// `.configuration` for a private key or known_hosts file that cannot be used.
  package convenience init(_ settings: SFTPSettings, stop: StopSignal, logger: Logger) throws(SFTPError) {
    let (channel, facts) = try SSHChannel.connect(settings, stop: stop, logger: logger)
    try self.init(
      channel: channel, facts: facts, subject: settings.address, timeoutSeconds: settings.timeoutSeconds, stop: stop,
      bandwidth: settings.bandwidth, logger: logger)
  }

  /// Speaks SFTP over a channel that is already open; `subject` is what errors of the connection are about.
  package convenience init(
    channel: any ByteChannel, subject: String = "", timeoutSeconds: Int, stop: StopSignal,
    bandwidth: BandwidthLimit? = nil, logger: Logger
  ) throws(SFTPError) {
    try self.init(
      channel: channel, facts: nil, subject: subject, timeoutSeconds: timeoutSeconds, stop: stop, bandwidth: bandwidth,
      logger: logger)
  }

  private init(
    channel: any ByteChannel, facts: ConnectionFacts?, subject: String, timeoutSeconds: Int, stop: StopSignal,
    bandwidth: BandwidthLimit?, logger: Logger
  ) throws(SFTPError) {
    stream = MessageStream(
      channel, subject: subject, timeoutSeconds: timeoutSeconds, stop: stop, bandwidth: bandwidth)
    self.logger = logger
    self.stop = stop
    let extensions = try stream.greet()
    var facts = facts
    facts?.extensions = extensions.map { escaped($0) }
    self.facts = facts
    answersInOrder = facts?.serverIdentification.hasPrefix("SSH-2.0-OpenSSH") == true
    if extensions.contains(ServerLimits.extensionName) { stream.askForLimits() }
  }

  /// The absolute path of `path`, which may be relative to the login directory (draft-ietf-secsh-filexfer-02 §6.11).
  package func realPath(_ path: [UInt8]) throws(SFTPError) -> [UInt8] {
    switch try ask(.realpath(path: path)) {
    case .names(let entries) where entries.count == 1: return entries[0].name
    case .status(let status): throw status.error("resolve", path)
    case let other: throw SFTPError.badAnswer("resolve", path, reason: "the server answered with \(other.kind)")
    }
  }

  /// Attributes of `path`, links followed (SSH_FXP_STAT, §6.8).
  package func attributes(_ path: [UInt8]) throws(SFTPError) -> FileAttributes {
    switch try ask(.stat(path: path)) {
    case .attributes(let attributes): return attributes
    case .status(let status): throw status.error("stat", path)
    case let other: throw SFTPError.badAnswer("stat", path, reason: "the server answered with \(other.kind)")
    }
  }

  /// Ends the connection. Safe to call twice.
  package func close() { stream.close() }

  /// One request and its answer, with nothing else outstanding.
  private func ask(_ request: Request) throws(SFTPError) -> Reply {
    let sent = stream.submit(request)
    let (id, reply) = try stream.receive()
    guard id == sent.id else { throw stream.fail(unknownReply(id)) }
    return reply
  }
}

/// An answer to something that was not asked: from here on no answer can be believed.
func unknownReply(_ id: UInt32) -> SFTPError {
  .protocolError("the server answered request \(id), which is not outstanding")
}

/// The absolute remote path of `path` under `root`.
package func joinRemote(_ root: [UInt8], _ path: RemotePath) -> [UInt8] {
  var joined = root
  if joined.last != slash { joined.append(slash) }
  joined.append(contentsOf: path.bytes)
  return joined
}

/// The requests of one operation that have not been answered, and what each of them was for.
struct Outstanding<Purpose> {
  private var purposes: [UInt32: (purpose: Purpose, bytes: Int)] = [:]
  /// Bytes of the requests, for ``MessageStream/unansweredLimit``.
  private(set) var bytes = 0

  var count: Int { purposes.count }
  var isEmpty: Bool { purposes.isEmpty }

  mutating func submit(_ request: Request, for purpose: Purpose, on stream: MessageStream) {
    let sent = stream.submit(request)
    purposes[sent.id] = (purpose, sent.bytes)
    bytes += sent.bytes
  }

  /// Waits for any answer and says what it answers.
  mutating func next(on stream: MessageStream) throws(SFTPError) -> (purpose: Purpose, reply: Reply) {
    let (id, reply) = try stream.receive()
    guard let found = purposes.removeValue(forKey: id) else { throw stream.fail(unknownReply(id)) }
    bytes -= found.bytes
    return (found.purpose, reply)
  }
}
