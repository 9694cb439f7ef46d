import Common
package import Glibc

/// A TCP proxy on loopback that makes a line longer, and not thinner: every byte arrives later by half the round trip,
/// at any bandwidth, and a connection is set up as late as TCP's three-way handshake would have it.
package final class DelayProxy: Sendable {
  package let port: UInt16
  private let listening: Int32
  private let targetPort: UInt16
  private let delayNanoseconds: UInt64

  /// Listens on a free port.
  /// - Parameters:
  ///   - targetPort: on loopback.
  ///   - roundTripMilliseconds: 0 or more, half of it each way.
  /// - Throws: ``ProxyError`` when it cannot listen.
  package init(targetPort: UInt16, roundTripMilliseconds: Double) throws(ProxyError) {
    self.targetPort = targetPort
    delayNanoseconds = UInt64(roundTripMilliseconds * 500_000)
    let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard listening >= 0, withLoopback(0, { bind(listening, $0, $1) }) == 0, listen(listening, 1024) == 0 else {
      throw ProxyError(reason: "cannot listen on loopback: \(errnoText(errno))")
    }
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listening, $0, &length) }
    }
    port = UInt16(bigEndian: address.sin_port)
    self.listening = listening
  }

  /// Accepts connections for ever; a thread of its own serves each.
  package func serve() -> Never {
    while true {
      let client = accept(listening, nil, nil)
      // Out of descriptors or the like: those that are served go on, and free some.
      guard client >= 0 else {
        sleep(untilNanoseconds: monotonicNanoseconds() + 10_000_000)
        continue
      }
      let acceptedAt = monotonicNanoseconds()
      _ = Worker { self.serve(client, acceptedAt: acceptedAt) }
    }
  }

  private func serve(_ client: Int32, acceptedAt: UInt64) {
    defer { close(client) }
    setNoDelay(client)
    let toServer = DelayLine(delayNanoseconds: delayNanoseconds)
    let toClient = DelayLine(delayNanoseconds: delayNanoseconds)
    // Over a real line the client is connected, and its first byte leaves, after a whole round trip …
    sleep(untilNanoseconds: acceptedAt + 2 * delayNanoseconds)
    let fromClient = Worker { toServer.fill(from: client) }
    // … and the server knows of the connection after one and a half.
    sleep(untilNanoseconds: acceptedAt + 3 * delayNanoseconds)
    let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { if server >= 0 { close(server) } }
    guard server >= 0, withLoopback(targetPort, { connect(server, $0, $1) }) == 0 else {
      shutdown(client, Int32(SHUT_RDWR))
      fromClient.join()
      return
    }
    setNoDelay(server)
    let workers = [
      fromClient,
      Worker { toClient.fill(from: server) },
      Worker {
        toServer.drain(to: server)
        // Whoever has stopped taking bytes ends the other's sending, and the end of a line is passed on.
        shutdown(server, Int32(SHUT_WR))
        shutdown(client, Int32(SHUT_RD))
      },
      Worker {
        toClient.drain(to: client)
        shutdown(client, Int32(SHUT_WR))
        shutdown(server, Int32(SHUT_RD))
      },
    ]
    for worker in workers { worker.join() }
  }
}

/// Why the proxy cannot work.
package struct ProxyError: Error, CustomStringConvertible {
  package let reason: String
  package var description: String { reason }
}

private func setNoDelay(_ socket: Int32) {
  var yes: Int32 = 1
  setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
}

/// Calls `body` with a loopback address.
package func withLoopback<Result>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return withUnsafePointer(to: address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
}
