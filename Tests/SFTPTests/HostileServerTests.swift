import Common
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import SFTP

/// Servers that refuse by hanging up, and servers that never come to an end.
@Suite struct HostileServerTests {
  private let keys: KeyRing

  init() throws {
    keys = try KeyRing()
    try keys.makeKey("host")
  }

  private func settings(
    _ port: UInt16, user: String = "partner", password: String? = "wrong", key: String? = nil, timeoutSeconds: Int = 30
  ) throws -> SFTPSettings {
    SFTPSettings(
      host: "127.0.0.1", port: port, user: user, password: password.map { Secret($0) },
      privateKey: key.map { Secret(try! keys.read($0)) }, privateKeyPassphrase: nil,
      hostKeyPolicy: .pins([try keys.fingerprint("host")]), timeoutSeconds: timeoutSeconds)
  }

  private func failure(_ settings: SFTPSettings, stop: StopSignal = StopSignal()) throws -> SFTPError {
    try #require(throws: SFTPError.self) { _ = try SFTPConnection(settings, stop: stop, logger: quietLogger) }
  }

  @Test(arguments: [("strict", "then it hung up: Too many authentication failures"), ("cut", "then it hung up")])
  func aServerThatHangsUpOnAWrongPasswordHasRefusedIt(_ rule: String, _ words: String) throws {
    let server = try RuleServer(keys, rule: rule, password: "right")
    let error = try failure(settings(server.port))
    #expect(error.code == "authentication-failed")
    #expect(error.severity == .fatal)
    #expect(error.reason.contains(words))
    #expect(error.subject.contains("127.0.0.1:\(server.port)"))
  }

  @Test(arguments: [1, 2, 3]) func openSSHThatAllowsFewTriesRefuses(_ tries: Int) throws {
    try keys.makeKey("unknown")
    try keys.write("authorized_keys", "")
    let server = try OpenSSHServer(keys, extra: "MaxAuthTries \(tries)\nPasswordAuthentication yes")
    for (password, key) in [("wrong", nil), (nil, "unknown"), ("wrong", "unknown")] as [(String?, String?)] {
      let error = try failure(settings(server.port, user: server.user, password: password, key: key))
      #expect(error.code == "authentication-failed")
      #expect(error.severity == .fatal)
      // With two tries the password still has its turn after the key.
      if tries > 1, password != nil { #expect(error.reason.contains("password")) }
      if tries > 1, key != nil, password != nil { #expect(error.reason.contains("tried publickey, password")) }
    }
  }

  @Test func roundsOfPromptsAreBounded() throws {
    let server = try RuleServer(keys, rule: "endless")
    let begin = monotonicSeconds()
    let error = try failure(settings(server.port, timeoutSeconds: 60))
    #expect(error.code == "authentication-failed")
    #expect(error.advice == "the server asks question after question; a key may do")
    #expect(monotonicSeconds() - begin < 30)
  }

  @Test(
    arguments: [
      (String(repeating: "x\r\n", count: 20_000), 0), (String(repeating: "x", count: 60_000), 0), ("x\r\n", 100_000),
    ] as [(String, UInt32)])
  func aGreetingWithoutEndTimesOut(_ text: String, _ pauseMicroseconds: UInt32) throws {
    let server = try BabblingServer(text, pauseMicroseconds: pauseMicroseconds)
    let begin = monotonicSeconds()
    let error = try failure(settings(server.port, timeoutSeconds: 1))
    #expect(error.code == "timeout")
    #expect(error.severity == .temporary)
    #expect(error.subject == "127.0.0.1:\(server.port)")
    #expect(monotonicSeconds() - begin < 10)
  }

  @Test func aStopRequestEndsAGreetingWithoutEnd() throws {
    let server = try BabblingServer(String(repeating: "x\r\n", count: 20_000), pauseMicroseconds: 0)
    let stop = StopSignal()
    Thread.detachNewThread {
      usleep(500_000)
      stop.request()
    }
    let begin = monotonicSeconds()
    #expect(try failure(settings(server.port, timeoutSeconds: 60), stop: stop).code == "stopped")
    #expect(monotonicSeconds() - begin < 10)
  }

  @Test(arguments: [true, false]) func packetsToBeIgnoredDoNotHoldUpTheEnd(_ stops: Bool) throws {
    let server = try RuleServer(keys, rule: "ignore", password: "right")
    let stop = StopSignal()
    let connection = try SFTPConnection(
      settings(server.port, password: "right", timeoutSeconds: stops ? 60 : 3), stop: stop, logger: quietLogger)
    Thread.detachNewThread {
      sleep(3)
      if stops { stop.request() }
    }
    let begin = monotonicSeconds()
    let error = #expect(throws: SFTPError.self) { try connection.attributes(Array("/".utf8)) }
    #expect(error?.code == (stops ? "stopped" : "timeout"))
    #expect(monotonicSeconds() - begin < 15)
  }

  @Test func anErrorOfTheConnectionNamesTheServer() throws {
    var faults = ScriptedSFTPServer.Faults()
    faults.cutAfterBytes = 100
    let server = ScriptedSFTPServer(files: [:], faults: faults)
    let connection = try SFTPConnection(
      channel: DescriptorChannel(adopting: server.connect()), subject: "partner:22", timeoutSeconds: 5,
      stop: StopSignal(), logger: quietLogger)
    let error = #expect(throws: SFTPError.self) { while true { _ = try connection.realPath([]) } }
    #expect(error?.subject == "partner:22")
    #expect(error?.description == "SFTP partner:22: the server closed the connection")
  }
}

/// Name services that do not answer.
@Suite struct ResolverTests {
  private static let settings = SFTPSettings(
    host: "partner.example", port: 22, user: "u", password: nil, privateKey: nil, privateKeyPassphrase: nil,
    hostKeyPolicy: .pins([]), timeoutSeconds: 1)

  @Test(arguments: [true, false]) func aNameServiceThatHangsHoldsNobodyUp(_ stops: Bool) throws {
    let stop = StopSignal()
    let begin = monotonicSeconds()
    Thread.detachNewThread {
      usleep(300_000)
      if stops { stop.request() }
    }
    let error = try #require(throws: SFTPError.self) {
      try Resolver.addresses(of: Self.settings, deadline: begin + (stops ? 60 : 1), stop: stop) { _, _, _ in
        sleep(20)
        return (EAI_AGAIN, nil)
      }
    }
    #expect(error.code == (stops ? "stopped" : "timeout"))
    #expect(error.severity == .temporary)
    #expect(monotonicSeconds() - begin < 10)
  }

  @Test(arguments: [(EAI_AGAIN, 1), (EAI_FAIL, 1), (EAI_NONAME, 2), (-5, 2), (-9, 2)])
  func onlyANameThatIsNotThereIsAskedForAgain(_ code: Int32, _ times: Int) throws {
    let asked = Counter()
    let error = try #require(throws: SFTPError.self) {
      try Resolver.addresses(of: Self.settings, deadline: monotonicSeconds() + 10, stop: StopSignal()) { _, _, _ in
        asked.increment()
        return (code, nil)
      }
    }
    #expect(error.code == "name-not-found")
    #expect(asked.value == times)
  }

  private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func increment() { count.withLock { $0 += 1 } }
  }
}

/// Accepts connections on a loopback port and sends each of them one text after another, reading nothing.
final class BabblingServer: Sendable {
  let port: UInt16
  private let descriptor: Int32

  init(_ text: String, pauseMicroseconds: UInt32) throws {
    (descriptor, port) = try listen()
    Thread.detachNewThread { [descriptor] in
      while case let client = accept(descriptor, nil, nil), client >= 0 {
        Thread.detachNewThread {
          let bytes = Array(text.utf8)
          while send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 {
            if pauseMicroseconds > 0 { usleep(pauseMicroseconds) }
          }
          close(client)
        }
      }
      close(descriptor)
    }
  }

  // Wakes the accepting thread, which closes the socket.
  deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
