import Common
import Glibc
import Testing
import bench_proxy

/// The delay proxy of `make bench`: later, in order, whole, and not slower than the line it stands for.
@Suite struct DelayProxyTests {
  /// A proxy to a server that greets with one byte and then echoes; both live as long as the test run.
  private func proxy(roundTripMilliseconds: Double) throws -> DelayProxy {
    let (server, port) = try listener()
    _ = Worker {
      while case let client = accept(server, nil, nil), client >= 0 {
        _ = Worker {
          var buffer = [UInt8](repeating: UInt8(ascii: "!"), count: 1 << 16)
          var count = 1
          while count > 0, sendAll(buffer[..<count], to: client) { count = read(client, &buffer, buffer.count) }
          shutdown(client, Int32(SHUT_WR))
        }
      }
    }
    let proxy = try DelayProxy(targetPort: port, roundTripMilliseconds: roundTripMilliseconds)
    _ = Worker { proxy.serve() }
    return proxy
  }

  /// Only lower bounds are certain on a busy machine; the upper one is there to find a delay that is added twice.
  @Test func aRoundTripTakesAsLongAsSaidAndAHandshakeToo() throws {
    let proxy = try proxy(roundTripMilliseconds: 200)
    let start = monotonicSeconds()
    let client = try connected(to: proxy.port)
    defer { close(client) }
    #expect(receive(1, from: client) == [UInt8(ascii: "!")])
    // One round trip for SYN and SYN-ACK, half for the ACK that the server waits for, half for the greeting.
    let greeted = monotonicSeconds() - start
    #expect(greeted >= 0.4)
    var fastest = Double.infinity
    for byte: UInt8 in 0..<5 {
      let sent = monotonicSeconds()
      #expect(sendAll([byte], to: client))
      #expect(receive(1, from: client) == [byte])
      let seconds = monotonicSeconds() - sent
      #expect(seconds >= 0.2)
      fastest = min(fastest, seconds)
    }
    #expect(fastest < 0.39)
  }

  /// More than the proxy holds at a time, in both directions at once: its memory goes round, and back pressure works.
  @Test func everyByteArrivesInOrder() throws {
    let proxy = try proxy(roundTripMilliseconds: 20)
    let client = try connected(to: proxy.port)
    defer { close(client) }
    #expect(receive(1, from: client) == [UInt8(ascii: "!")])
    let total = DelayLine.capacityBytes + (16 << 20)
    // 251 divides no piece: one that is lost, doubled or moved does not fit.
    let pattern = (0..<(1 << 18) + 251).map { UInt8($0 % 251) }
    let sender = Worker {
      var sent = 0
      while sent < total {
        let count = min(200_000, total - sent)
        guard sendAll(pattern[(sent % 251)..<(sent % 251 + count)], to: client) else { return }
        sent += count
      }
      shutdown(client, Int32(SHUT_WR))
    }
    // Meanwhile the way back fills up.
    usleep(500_000)
    var received = 0
    var isRight = true
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while case let count = read(client, &buffer, buffer.count), count > 0 {
      let fits = pattern.withUnsafeBytes { memcmp(buffer, $0.baseAddress! + received % 251, count) == 0 }
      isRight = isRight && fits
      received += count
    }
    sender.join()
    #expect(received == total)
    #expect(isRight)
  }

  @Test func bandwidthTimesDelayIsOnItsWay() throws {
    // 32 MiB in one direction take a quarter of a second each way; a line that waited for each piece of 256 KiB would
    // take over a minute.
    let proxy = try proxy(roundTripMilliseconds: 500)
    let client = try connected(to: proxy.port)
    defer { close(client) }
    #expect(receive(1, from: client) == [UInt8(ascii: "!")])
    let total = 32 << 20
    let start = monotonicSeconds()
    let sender = Worker {
      let piece = [UInt8](repeating: 7, count: 1 << 20)
      for _ in 0..<(total >> 20) { guard sendAll(piece[...], to: client) else { return } }
    }
    #expect(receive(total, from: client).count == total)
    sender.join()
    let seconds = monotonicSeconds() - start
    #expect(seconds >= 0.5)
    #expect(seconds < 20)
  }

  @Test func aServerThatIsNotThereEndsTheConnection() throws {
    let (server, port) = try listener()
    close(server)
    let proxy = try DelayProxy(targetPort: port, roundTripMilliseconds: 10)
    _ = Worker { proxy.serve() }
    let client = try connected(to: proxy.port)
    defer { close(client) }
    #expect(receive(1, from: client).isEmpty)
  }
}

private struct SocketError: Error {}

private func listener() throws -> (descriptor: Int32, port: UInt16) {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  var address = sockaddr_in()
  guard descriptor >= 0, withLoopback(0, { bind(descriptor, $0, $1) }) == 0, listen(descriptor, 16) == 0 else {
    throw SocketError()
  }
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  _ = withUnsafeMutablePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
  }
  return (descriptor, UInt16(bigEndian: address.sin_port))
}

private func connected(to port: UInt16) throws -> Int32 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0, withLoopback(port, { connect(descriptor, $0, $1) }) == 0 else { throw SocketError() }
  return descriptor
}

private func receive(_ count: Int, from socket: Int32) -> [UInt8] {
  var received: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while received.count < count, case let piece = read(socket, &buffer, min(buffer.count, count - received.count)),
    piece > 0
  {
    received += buffer[..<piece]
  }
  return received
}

private func sendAll(_ bytes: ArraySlice<UInt8>, to socket: Int32) -> Bool {
  bytes.withUnsafeBytes { bytes in
    var sent = 0
    while sent < bytes.count {
      let written = send(socket, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      if written <= 0 { return false }
      sent += written
    }
    return true
  }
}
