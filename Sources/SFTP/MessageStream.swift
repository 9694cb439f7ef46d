internal import Common
internal import Glibc

/// SFTP packets over a byte channel: framing, request ids, coalesced writes, deadlines, and the stop request.
///
/// Nothing is sent before somebody waits for an answer, so requests made in one go leave in one piece.
/// The bytes of unanswered requests must stay below ``unansweredLimit``: then they fit into the two sockets' buffers
/// whatever the server does, and a server that is itself blocked on sending to us can never block us for good.
final class MessageStream {
  /// Bytes of requests on their way or unanswered, beyond which callers ask nothing new.
  static let unansweredLimit = 64 * 1024
  /// Largest packet accepted: OpenSSH's own limit is 256 KiB (sftp-common.h SFTP_MAX_MSG_LENGTH).
  static let packetLimit = 256 * 1024 + 4096
  /// How long a stop request can go unnoticed while nothing arrives.
  private static let sliceMilliseconds: Int32 = 250

  let timeoutSeconds: Int
  private let stop: StopSignal
  let bandwidth: BandwidthLimit?
  /// Seconds spent waiting because of it, since somebody last asked.
  private var waitedSeconds = 0.0
  private let channel: any ByteChannel
  /// The server's address: what an error of the connection is about.
  private let subject: String
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
  /// Received bytes not yet decoded are buffer[start..<end].
  private var start = 0
  private var end = 0
  private var outgoing = WireWriter()
  private var nextID: UInt32 = 0
  private var limitsID: UInt32?
  /// What the server has said of its limits, if it has.
  private(set) var limits: ServerLimits?
  /// Set once the stream cannot be used any more; everything later fails with the same error.
  private(set) var broken: SFTPError?

  /// - Parameter bandwidth: how fast bytes are taken, all connections that share it together.
  init(
    _ channel: any ByteChannel, subject: String, timeoutSeconds: Int, stop: StopSignal, bandwidth: BandwidthLimit? = nil
  ) {
    self.channel = channel
    self.bandwidth = bandwidth
    self.subject = subject
    self.timeoutSeconds = timeoutSeconds
    self.stop = stop
  }

  deinit {
    channel.close()
    buffer.deallocate()
  }

  /// Queues a request; returns the id its answer will carry and the packet's size in bytes.
  func submit(_ request: Request) -> (id: UInt32, bytes: Int) {
    let id = nextID
    nextID &+= 1
    let before = outgoing.bytes.count
    request.encode(id: id, into: &outgoing)
    return (id, outgoing.bytes.count - before)
  }

  /// Exchanges SSH_FXP_INIT and SSH_FXP_VERSION; returns the names of the server's extensions.
  func greet() throws(SFTPError) -> [[UInt8]] {
    Greeting.encode(into: &outgoing)
    let packet = try nextPacket()
    let (version, extensions): (UInt32, [[UInt8]])
    do throws(WireFault) {
      (version, extensions) = try Greeting.decode(packet)
    } catch {
      throw fail(.protocolError("the server's first packet is not a version: \(error)"))
    }
    guard version >= 3 else { throw fail(.protocolError("the server speaks only SFTP version \(version)")) }
    return extensions
  }

  /// Asks for the server's limits; nobody waits for the answer, which is picked out when it comes.
  func askForLimits() { limitsID = submit(.limits).id }

  /// The next answer, whichever request it belongs to. Sends what is queued first.
  func receive() throws(SFTPError) -> (id: UInt32, reply: Reply) {
    while true {
      let packet = try nextPacket()
      let (id, reply): (UInt32, Reply)
      do throws(WireFault) {
        (id, reply) = try Reply.decode(packet)
      } catch {
        throw fail(.protocolError("the server sent a packet that cannot be read: \(error)"))
      }
      guard id == limitsID else { return (id, reply) }
      limitsID = nil
      if case .limits(let said) = reply { limits = said }
    }
  }

  func close() {
    _ = fail(.connectionLost("SFTP", subject, reason: "the connection has been closed"))
    channel.close()
  }

  /// Makes the stream unusable and returns the error it keeps failing with.
  func fail(_ error: SFTPError) -> SFTPError {
    if let broken { return broken }
    var error = error
    if error.subject.isEmpty { error.subject = subject }
    broken = error
    channel.close()
    return error
  }

  /// The bytes of the next whole packet without its length, valid until the next call.
  private func nextPacket() throws(SFTPError) -> UnsafeRawBufferPointer {
    if let broken { throw broken }
    if stop.isRequested { throw fail(.stopped("SFTP", "")) }
    var deadline: Double?
    while true {
      let available = end - start
      var needed = 4
      if available >= 4 {
        let length = Int(UInt32(bigEndian: buffer.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
        guard length >= 5, length <= Self.packetLimit else {
          throw fail(.protocolError("the server announced a packet of \(length) bytes"))
        }
        needed = 4 + length
        if available >= needed {
          defer { start += needed }
          return UnsafeRawBufferPointer(rebasing: buffer[(start + 4)..<(start + needed)])
        }
      }
      if start == end {
        start = 0
        end = 0
      } else if start + needed > buffer.count {
        memmove(buffer.baseAddress!, buffer.baseAddress! + start, available)
        start = 0
        end = available
      }
      try fill(&deadline)
    }
  }

  /// Sends what can be sent and reads at least one byte.
  /// - Parameter deadline: when a whole packet must have come: a server that says something all the time and never
  ///   finishes a sentence is as good as silent. Set here when the waiting begins.
  private func fill(_ deadline: inout Double?) throws(SFTPError) {
    do throws(SFTPError) {
      while true {
        let left = outgoing.bytes.count
        try flush()
        if outgoing.bytes.count < left { deadline = nil }
        let room = bandwidth?.pieceBytes(milliseconds: 250, in: 4_096...buffer.count) ?? buffer.count
        let target = buffer[end..<min(buffer.count, end + room)]
        guard let count = try channel.receive(into: UnsafeMutableRawBufferPointer(rebasing: target)) else {
          throw SFTPError.connectionLost("SFTP", "", reason: "the server closed the connection")
        }
        if count > 0 {
          end += count
          let waited = try holdBack(for: count)
          if let limit = deadline { deadline = limit + waited }
          return
        }
        if stop.isRequested { throw SFTPError.stopped("SFTP", "") }
        let now = monotonicSeconds()
        let limit = deadline ?? now + Double(timeoutSeconds)
        deadline = limit
        if now >= limit { throw SFTPError.timeout("SFTP", "", seconds: timeoutSeconds) }
        let remaining = min(Double(Self.sliceMilliseconds), ((limit - now) * 1000).rounded(.up))
        channel.wait(milliseconds: Int32(remaining))
      }
    } catch {
      throw fail(error)
    }
  }

  /// Waits until bytes that have come are within the bandwidth limit.
  /// - Returns: seconds spent so; no fault of the server's.
  private func holdBack(for bytes: Int) throws(SFTPError) -> Double {
    guard let milliseconds = bandwidth?.charge(bytes), milliseconds > 0 else { return 0 }
    let begin = monotonicSeconds()
    let end = begin + Double(milliseconds) / 1000
    var now = begin
    while now < end {
      if stop.isRequested { throw SFTPError.stopped("SFTP", "") }
      pause(milliseconds: min(Int64(Self.sliceMilliseconds), Int64(((end - now) * 1000).rounded(.up))))
      now = monotonicSeconds()
    }
    waitedSeconds += now - begin
    return now - begin
  }

  /// Seconds in which bytes were not taken although they may have been there, since the last call.
  func takeWaitedSeconds() -> Double {
    defer { waitedSeconds = 0 }
    return waitedSeconds
  }

  private func flush() throws(SFTPError) {
    while !outgoing.bytes.isEmpty {
      // A loop, because an SSH channel takes at most one SSH packet's worth at a time.
      let result = outgoing.bytes.withUnsafeBytes { bytes in
        Result { () throws(SFTPError) -> Int in try channel.send(bytes) }
      }
      let sent = try result.get()
      if sent == 0 { return }
      outgoing.discard(sent)
    }
  }
}
