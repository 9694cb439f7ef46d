import Common
import Glibc
import TestSupport
import Testing

@testable import SFTP

/// What a server sends first, in whatever pieces and however spoiled.
@Suite struct ServerGreetingTests {
  private static let offer = KeyExchangeOffer(
    kex: "a,b", key: "ssh-ed25519", cipher: "c1,c2", otherCipher: "c3", mac: "m")

  private func read(_ pieces: [[UInt8]]) -> ServerOffer? {
    var greeting = ServerGreeting()
    for piece in pieces { piece.withUnsafeBytes { greeting.take($0) } }
    return greeting.offer
  }

  @Test func isReadInAnyPieces() throws {
    let ignored = packet([2, 0, 0, 0, 1, 120]) + packet([4, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    let bytes =
      Array("a notice\nSSH\r\n\n".utf8) + Array("SSH-2.0-x\r\n".utf8) + ignored + packet(Self.offer.payload) + [9, 9]
    let whole = try #require(read([bytes]))
    #expect(whole.names(.keyExchange) == [["a", "b"]])
    #expect(whole.names(.hostKey) == [["ssh-ed25519"]])
    #expect(whole.names(.cipher) == [["c1", "c2"], ["c3"]])
    #expect(whole.names(.mac) == [["m"], ["m"]])
    #expect(read(bytes.map { [$0] }) == whole)
    for cut in 0...bytes.count { #expect(read([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole) }
    let end = bytes.count - 2
    for cut in 0..<end { #expect(read([Array(bytes[..<cut])]) == nil) }
  }

  @Test(arguments: [
    packet([1, 0, 0, 0, 2]), packet([]), packet([20]), packet([20] + [UInt8](repeating: 255, count: 40)),
    [0, 0, 0, 0] + packet(offer.payload), [255, 255, 255, 255, 4, 20], [0, 0, 0, 1, 255] + packet(offer.payload),
  ])
  func whatIsNoOfferIsNone(_ packets: [UInt8]) { #expect(read([Array("SSH-2.0-x\n".utf8) + packets]) == nil) }

  @Test func spoiledBytesNeverTrap() {
    let whole = Self.offer.greeting
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<Scale.of(2_000, long: 200_000) {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: .min ... .max, using: &generator)
      }
      let cut = Int.random(in: 0...bytes.count, using: &generator)
      _ = read([Array(bytes[..<cut]), Array(bytes[cut...])])
    }
  }
}

/// A binary packet in plain (RFC 4253 §6), with four bytes of padding.
private func packet(_ payload: [UInt8]) -> [UInt8] {
  let length = UInt32(payload.count + 5)
  return withUnsafeBytes(of: length.bigEndian) { Array($0) } + [4] + payload + [0, 0, 0, 0]
}

/// A server's SSH_MSG_KEXINIT (RFC 4253 §7.1).
struct KeyExchangeOffer {
  let kex: String
  let key: String
  let cipher: String
  /// From the server; nil is the same as to it.
  var otherCipher: String?
  var mac = "hmac-sha2-256"

  var payload: [UInt8] {
    var writer = WireWriter()
    writer.uint8(20)
    for _ in 0..<2 { writer.uint64(0x0123_4567_89ab_cdef) }
    for list in [kex, key, cipher, otherCipher ?? cipher, mac, mac, "none", "none", "", ""] {
      writer.string(Array(list.utf8))
    }
    writer.uint8(0)
    writer.uint32(0)
    return writer.bytes
  }

  /// All that a server says of itself.
  var greeting: [UInt8] { Array("SSH-2.0-test\r\n".utf8) + packet(payload) }
}

/// Says the same to everyone who connects, and hangs up when they do.
final class GreetingServer: Sendable {
  let port: UInt16
  private let descriptor: Int32
  private let worker: Worker

  init(_ greeting: [UInt8]) throws {
    let (descriptor, port) = try listen()
    (self.descriptor, self.port) = (descriptor, port)
    worker = Worker {
      while true {
        let peer = accept(descriptor, nil, nil)
        if peer < 0 { return }
        _ = greeting.withUnsafeBytes { send(peer, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while recv(peer, &buffer, buffer.count, 0) > 0 {}
        close(peer)
      }
    }
  }

  deinit {
    shutdown(descriptor, Int32(SHUT_RDWR))
    worker.join()
    close(descriptor)
  }
}
