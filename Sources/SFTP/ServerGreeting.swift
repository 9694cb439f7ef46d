internal import Common

/// What a server says it can do: SSH_MSG_KEXINIT (RFC 4253 §7.1). Its names are hostile input until escaped.
struct ServerOffer: Equatable {
  private let lists: [AlgorithmKind: [[String]]]

  /// - Parameter payload: of the packet, its type included.
  init(payload: UnsafeRawBufferPointer) throws(WireFault) {
    var reader = WireReader(payload)
    _ = try reader.uint8()
    // The cookie.
    for _ in 0..<2 { _ = try reader.uint64() }
    func names() throws(WireFault) -> [String] {
      String(decoding: try reader.string(), as: UTF8.self).split(separator: ",").map(String.init)
    }
    lists = [
      .keyExchange: [try names()], .hostKey: [try names()], .cipher: [try names(), try names()],
      .mac: [try names(), try names()],
    ]
  }

  /// What is offered of one kind, for each direction.
  func names(_ kind: AlgorithmKind) -> [[String]] { lists[kind, default: []] }

  /// Only clients say these, and libssh2 (to 1.11.1) would take them for key exchanges and crash.
  var isAbsurd: Bool {
    names(.keyExchange).joined().contains { $0 == "ext-info-c" || $0 == "kex-strict-c-v00@openssh.com" }
  }
}

/// Reads along what a server sends first, up to its offer, which libssh2 does not pass on: lines, the identification
/// last (RFC 4253 §4.2), then packets (§6), still in plain.
struct ServerGreeting {
  private enum Stage { case lines, packets, over }

  /// Bytes of one packet; libssh2 takes no longer ones.
  private static let packetLimit: UInt32 = 40_000

  private(set) var offer: ServerOffer?
  private var stage = Stage.lines
  /// The first bytes of a line, or packets that are not whole.
  private var pending: [UInt8] = []

  mutating func take(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes[...]
    while stage == .lines, let byte = rest.popFirst() { takeOfLine(byte) }
    guard stage == .packets else { return }
    pending.append(contentsOf: rest)
    readPackets()
    if stage == .over { pending = [] }
  }

  private mutating func takeOfLine(_ byte: UInt8) {
    if byte != 0x0a {
      if pending.count < 4 { pending.append(byte) }
      return
    }
    if pending == Array("SSH-".utf8) { stage = .packets }
    pending = []
  }

  private mutating func readPackets() {
    while stage == .packets, pending.count >= 4 {
      let length = pending.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
      guard length > 0, length <= Self.packetLimit else { return stage = .over }
      let end = 4 + Int(length)
      if pending.count < end { return }
      let payload = pending[5..<end].dropLast(Int(pending[4]))
      switch payload.first {
      case 2, 4: break  // To be ignored, or for debugging.
      case 20:
        offer = payload.withUnsafeBytes { try? ServerOffer(payload: $0) }
        stage = .over
      default: stage = .over
      }
      pending.removeFirst(end)
    }
  }
}
