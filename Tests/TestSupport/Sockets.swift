internal import Foundation
internal import Glibc
internal import Synchronization

/// A loopback port that was free a moment ago.
package func freePort() throws -> Int { Int(try freePorts(1)[0]) }

/// A loopback port that refuses connections and that nobody else gets as long as this lives.
package final class RefusingPort: Sendable {
  package let port: Int
  private let descriptor: Int32

  package init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    port = Int(try bindLoopback(descriptor))
  }

  deinit { close(descriptor) }
}

/// A TCP proxy on loopback that counts what passes, and can stop passing it on: what a network does at its worst.
package final class CountingProxy: Sendable {
  package struct Counts: Equatable, Sendable {
    package var connections = 0
    package var bytesToServer = 0
    package var bytesToClient = 0
  }

  package let port: Int
  private let target: Int
  private let listening: Int32
  private let stallAfter: Mutex<Int?>
  private let state = Mutex(Counts())

  /// - Parameter stallAfter: once so many bytes went to the client, nothing more is passed on either way.
  package init(to target: Int, stallAfter: Int? = nil) throws {
    self.target = target
    self.stallAfter = Mutex(stallAfter)
    (listening, port) = try listener()
    Thread.detachNewThread { [listening, weak self] in
      while true {
        let client = accept(listening, nil, nil)
        guard client >= 0, let self else {
          if client >= 0 { close(client) }
          close(listening)
          return
        }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        self.serve(client)
      }
    }
  }

  // Wakes the accepting thread, which closes the socket.
  deinit { shutdown(listening, Int32(SHUT_RDWR)) }

  package var counts: Counts { state.withLock { $0 } }

  package var isStalled: Bool {
    let passed = counts.bytesToClient
    return stallAfter.withLock { limit in limit.map { passed >= $0 } ?? false }
  }

  /// From now on connections pass everything; what was swallowed stays lost.
  package func resume() { stallAfter.withLock { $0 = nil } }

  private func serve(_ client: Int32) {
    state.withLock { $0.connections += 1 }
    let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard withLoopback(target, { connect(server, $0, $1) }) == 0 else {
      close(server)
      close(client)
      return
    }
    let pair = Pair(client: client, server: server)
    Thread.detachNewThread { [self] in pump(pair, from: client, to: server) { $0.bytesToServer += $1 } }
    Thread.detachNewThread { [self] in pump(pair, from: server, to: client) { $0.bytesToClient += $1 } }
  }

  private func pump(
    _ pair: Pair, from: Int32, to target: Int32, count: (inout Counts, Int) -> Void
  ) {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let received = read(from, &buffer, buffer.count)
      if received <= 0 { break }
      state.withLock { count(&$0, received) }
      // The bytes that reach the limit, and all that follow, are swallowed: the other end waits for an answer.
      if isStalled { continue }
      var sent = 0
      while sent < received {
        let written = buffer.withUnsafeBytes {
          send(target, $0.baseAddress! + sent, received - sent, Int32(MSG_NOSIGNAL))
        }
        if written <= 0 { break }
        sent += written
      }
      if sent < received { break }
    }
    shutdown(target, Int32(SHUT_WR))
    shutdown(from, Int32(SHUT_RD))
  }
}

/// Both ends of one proxied connection: closed when neither direction needs them any more.
private final class Pair: Sendable {
  let client: Int32
  let server: Int32

  init(client: Int32, server: Int32) {
    self.client = client
    self.server = server
  }

  deinit {
    close(client)
    close(server)
  }
}

private func listener() throws -> (descriptor: Int32, port: Int) {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0, withLoopback(0, { bind(descriptor, $0, $1) }) == 0, listen(descriptor, 256) == 0 else {
    throw HarnessError("cannot listen on loopback: errno \(errno)")
  }
  var address = sockaddr_in()
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  _ = withUnsafeMutablePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
  }
  return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
}

private func withLoopback<Result>(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return withUnsafePointer(to: address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
}
