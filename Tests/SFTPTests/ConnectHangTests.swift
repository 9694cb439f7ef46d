import Common
import Glibc
import SFTP
import Testing

/// Endless hangs before a byte has come; those after that are in HostileServerTests, PoolTests and DownloadTests.
@Suite struct ConnectHangTests {
  @Test("endless hangs: a host that never answers the connection is given up", arguments: [true, false])
  func connect(_ stops: Bool) throws {
    let listener = try FullListener()
    let stop = StopSignal()
    if stops { stop.request() }
    let settings = SFTPSettings(
      host: "127.0.0.1", port: listener.port, user: "u", password: Secret("p"), privateKey: nil,
      privateKeyPassphrase: nil, hostKeyPolicy: .pins([]), timeoutSeconds: stops ? 600 : 1)
    let begin = monotonicSeconds()
    let error = try #require(throws: SFTPError.self) {
      try SFTPConnection(settings, stop: stop, logger: quietLogger)
    }
    #expect(error.operation == "connect")
    #expect(error.code == (stops ? "stopped" : "timeout"))
    #expect(error.severity == .temporary)
    #expect(monotonicSeconds() - begin < 10)
  }
}

/// A socket that listens and has no room for anybody: whoever connects gets no answer at all.
private final class FullListener {
  let port: UInt16
  private var descriptors: [Int32]

  init() throws {
    let (listening, port) = try listen()
    self.port = port
    descriptors = [listening]
    // The room is for one; those who come later wait for ever.
    Glibc.listen(listening, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    for _ in 0..<4 {
      let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
      let descriptor = socket(AF_INET, flags, 0)
      descriptors.append(descriptor)
      _ = withUnsafeBytes(of: address) {
        Glibc.connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
      }
    }
    usleep(50_000)
  }

  deinit { for descriptor in descriptors { close(descriptor) } }
}
