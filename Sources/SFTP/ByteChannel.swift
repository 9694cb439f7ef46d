internal import Common
internal import Glibc

/// A two-way stream of bytes that never blocks: the seam between SSH and SFTP, where tests put a scripted peer.
///
/// One thread uses it. Every error means that the stream is over.
package protocol ByteChannel: AnyObject {
  /// Hands over a prefix of `bytes`; returns how many were taken, 0 when none can be now. After 0 the next call gives
  /// the same bytes again, possibly with more behind them.
  func send(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int
  /// Fills a prefix of `buffer`; returns how many bytes, 0 when there are none now, nil at the end of the stream.
  func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SFTPError) -> Int?
  /// Sleeps until `send` or `receive` may get further, at most `milliseconds`.
  func wait(milliseconds: Int32)
  /// Ends the stream and releases everything; more calls do nothing.
  func close()
}

/// A byte channel over a stream socket or pipe pair that is already open.
package final class DescriptorChannel: ByteChannel {
  private var descriptor: Int32
  private var wantsToSend = false

  /// Owns `descriptor` from here on.
  package init(adopting descriptor: Int32) {
    self.descriptor = descriptor
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
  }

  deinit { close() }

  package func send(_ bytes: UnsafeRawBufferPointer) throws(SFTPError) -> Int {
    let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
    wantsToSend = count < 0 && isTransient(errno)
    if count >= 0 { return count }
    if wantsToSend { return 0 }
    throw .connectionLost("send", "", reason: errnoText(errno))
  }

  package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SFTPError) -> Int? {
    let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
    if count > 0 { return count }
    if count == 0 { return nil }
    if isTransient(errno) { return 0 }
    throw .connectionLost("receive", "", reason: errnoText(errno))
  }

  package func wait(milliseconds: Int32) {
    sleepUntilReady(descriptor, reading: true, writing: wantsToSend, milliseconds: milliseconds)
  }

  package func close() {
    guard descriptor >= 0 else { return }
    _ = Glibc.close(descriptor)
    descriptor = -1
  }

  private func isTransient(_ number: Int32) -> Bool { number == EAGAIN || number == EINTR }
}

/// poll(2) on one descriptor; returns early on a signal, which callers treat as nothing having happened.
func sleepUntilReady(_ descriptor: Int32, reading: Bool, writing: Bool, milliseconds: Int32) {
  var events: Int16 = 0
  if reading { events |= Int16(POLLIN) }
  if writing { events |= Int16(POLLOUT) }
  var request = pollfd(fd: descriptor, events: events, revents: 0)
  _ = poll(&request, 1, milliseconds)
}
