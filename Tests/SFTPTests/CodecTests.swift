import Common
import TestSupport
import Testing

@testable import SFTP

/// The wire format: draft-ietf-secsh-filexfer-02.
@Suite struct CodecTests {
  /// One packet of every kind a server sends.
  static var packets: [[UInt8]] {
    var attributes = WireWriter()
    attributes.uint32(0x8000_000f)
    attributes.uint64(123_456_789_012)
    attributes.uint32(1000)
    attributes.uint32(1001)
    attributes.uint32(0o100644)
    attributes.uint32(4_000_000_000)
    attributes.uint32(4_000_000_001)
    attributes.uint32(1)
    attributes.string(Array("who@example.com".utf8))
    attributes.string([1, 2, 3])
    return [
      packet(MessageType.status) {
        $0.uint32(2)
        $0.string(Array("no".utf8))
        $0.string([])
      },
      packet(MessageType.status) { $0.uint32(1) },
      packet(MessageType.handle) { $0.string([0, 1, 2]) },
      packet(MessageType.data) { $0.string(Array(0...255)) },
      packet(MessageType.name) {
        $0.uint32(2)
        for name in ["a", "b"] {
          $0.string(Array(name.utf8))
          $0.string(Array("-rw-r--r-- 1 \(name)".utf8))
          for byte in attributes.bytes { $0.uint8(byte) }
        }
      },
      packet(MessageType.attributes) { for byte in attributes.bytes { $0.uint8(byte) } },
    ]
  }

  static func packet(_ type: UInt8, _ body: (inout WireWriter) -> Void) -> [UInt8] {
    var writer = WireWriter()
    writer.uint8(type)
    writer.uint32(0xfffe_fdfc)
    body(&writer)
    return writer.bytes
  }

  static func decode(_ packet: [UInt8]) throws -> (id: UInt32, reply: Reply) {
    try packet.withUnsafeBytes { try Reply.decode($0) }
  }

  @Test func everyKindOfReplyIsRead() throws {
    let replies = try Self.packets.map { try Self.decode($0) }
    #expect(replies.allSatisfy { $0.id == 0xfffe_fdfc })
    #expect(replies[0].reply == .status(Status(code: 2, message: Array("no".utf8))))
    #expect(replies[1].reply == .status(Status(code: 1, message: [])))
    #expect(replies[2].reply == .handle([0, 1, 2]))
    #expect(replies[3].reply == .data(Array(0...255)))
    var expected = FileAttributes(size: 123_456_789_012, permissions: 0o100644, mtime: 4_000_000_001)
    expected.userID = 1000
    expected.groupID = 1001
    expected.accessTime = 4_000_000_000
    #expect(replies[5].reply == .attributes(expected))
    #expect(
      replies[4].reply
        == .names(["a", "b"].map { NamedEntry(name: Array($0.utf8), attributes: expected) }))
    #expect(expected.kind == .file)
  }

  @Test func attributesMayAllBeAbsent() throws {
    let reply = try Self.decode(Self.packet(MessageType.attributes) { $0.uint32(0) }).reply
    #expect(reply == .attributes(FileAttributes()))
    #expect(FileAttributes().kind == nil)
    #expect(FileAttributes(size: 1).fingerprint == nil)
    #expect(FileAttributes(permissions: 0o644).kind == nil)
  }

  @Test func aPacketCutAnywhereIsRefused() throws {
    for packet in Self.packets {
      for length in 0..<packet.count {
        // A status without its message is what old servers send, so that cut is a whole packet.
        if packet[0] == MessageType.status, length == 9 || length == 15 { continue }
        #expect(throws: WireFault.self, "\(packet[0]) cut to \(length)") {
          try Self.decode(Array(packet[..<length]))
        }
      }
    }
  }

  @Test func aCountThatCannotBeTrueReservesNothing() {
    for type in [MessageType.name, MessageType.data, MessageType.handle] {
      #expect(throws: WireFault.self) { try Self.decode(Self.packet(type) { $0.uint32(.max) }) }
    }
    #expect(throws: WireFault.self) {
      try Self.decode(
        Self.packet(MessageType.attributes) {
          $0.uint32(0x8000_0000)
          $0.uint32(.max)
        })
    }
  }

  @Test func noInputTraps() {
    var random = SeededRandom(state: 42)
    let packets = Self.packets
    var refused = 0
    for round in 0..<Scale.codecInputs {
      var packet = packets[round % packets.count]
      for _ in 0...(random.next() % 4) {
        let place = Int(random.next() % UInt64(packet.count))
        switch random.next() % 3 {
        case 0: packet[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: packet.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
        default: if packet.count > 1 { packet.remove(at: place) }
        }
      }
      do { _ = try Self.decode(packet) } catch { refused += 1 }
      _ = packet.withUnsafeBytes { try? Greeting.decode($0) }
    }
    #expect(refused > 0 && refused < Scale.codecInputs)
  }

  @Test func requestsAreFramedAsTheDraftSays() {
    var writer = WireWriter()
    Request.open(path: Array("/a".utf8)).encode(id: 1, into: &writer)
    Request.read(handle: [9], offset: 1 << 33, length: 32_768).encode(id: 2, into: &writer)
    Request.close(handle: [9]).encode(id: 3, into: &writer)
    let open: [UInt8] = [0, 0, 0, 19, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0x2f, 0x61, 0, 0, 0, 1, 0, 0, 0, 0]
    let read: [UInt8] = [0, 0, 0, 22, 5, 0, 0, 0, 2, 0, 0, 0, 1, 9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x80, 0]
    let close: [UInt8] = [0, 0, 0, 10, 4, 0, 0, 0, 3, 0, 0, 0, 1, 9]
    #expect(writer.bytes == open + read + close)
  }

  @Test func aServersWordsCannotForgeALogLine() {
    let status = Status(code: Status.failure, message: Array("oops\u{1b}[2J\nroot logged in".utf8))
    let error = status.error("open", Array("/a\nb".utf8))
    #expect(error.description == #"open /a\x0ab: the server answered status 4 (server: oops\x1b[2J\x0aroot logged in)"#)
    #expect(error.severity == .item)
  }
}

/// SplitMix64: the same sequence in every run.
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
