import Common
import SFTP
import Testing

/// Authentication, against an SSH server whose rules the test sets.
@Suite struct LoginTests {
  private let keys: KeyRing
  private let password = "pässwörd €"

  init() throws {
    keys = try KeyRing()
    try keys.makeKey("host")
  }

  private func connect(
    _ port: UInt16, user: String = "partner", password: String? = nil, key: String? = nil, passphrase: String? = nil,
    timeoutSeconds: Int = 30
  ) throws -> SFTPConnection {
    try SFTPConnection(
      SFTPSettings(
        host: "127.0.0.1", port: port, user: user, password: password.map { Secret($0) },
        privateKey: key.map { Secret(try! keys.read($0)) }, privateKeyPassphrase: passphrase.map { Secret($0) },
        hostKeyPolicy: .pins([try keys.fingerprint("host")]), timeoutSeconds: timeoutSeconds),
      stop: StopSignal(), logger: quietLogger)
  }

  private func failure(_ body: () throws -> SFTPConnection) throws -> SFTPError {
    try #require(throws: SFTPError.self) { _ = try body() }
  }

  @Test(arguments: [("password", "password"), ("prompt", "keyboard-interactive"), ("empty", "keyboard-interactive")])
  func aPasswordLogsIn(_ rule: String, _ method: String) throws {
    let server = try RuleServer(keys, rule: rule, password: password)
    let connection = try connect(server.port, password: password)
    #expect(connection.facts?.authenticationMethod == method)
    #expect(try connection.attributes(Array("/".utf8)).kind == .directory)
    connection.close()
  }

  @Test(arguments: ["password", "prompt"])
  func aWrongPasswordIsFatalAndGivenOnce(_ rule: String) throws {
    let server = try RuleServer(keys, rule: rule, password: password)
    let error = try failure { try connect(server.port, password: "wrong") }
    #expect(error.code == "authentication-failed")
    #expect(error.severity == .fatal)
    #expect(!error.description.contains("wrong"))
    #expect(error.reason.contains(rule == "password" ? "password" : "keyboard-interactive"))
  }

  @Test func aPromptThatShowsTheAnswerDoesNotGetThePassword() throws {
    let server = try RuleServer(keys, rule: "visible", password: password)
    let error = try failure { try connect(server.port, password: password) }
    #expect(error.code == "authentication-failed")
    #expect(error.advice == "the server asks a question that is not a password; a key may do")
  }

  @Test(arguments: [("key+password", "publickey+password"), ("key+prompt", "publickey+keyboard-interactive")])
  func aKeyAndThenAPassword(_ rule: String, _ method: String) throws {
    try keys.makeKey("user")
    let server = try RuleServer(keys, rule: rule, password: password, authorizedKeys: "user.pub")
    #expect(try connect(server.port, password: password, key: "user").facts?.authenticationMethod == method)
    let error = try failure { try connect(server.port, key: "user") }
    #expect(error.code == "authentication-failed")
  }

  @Test func noCredentialOfTheKindTheServerWants() throws {
    try keys.makeKey("user")
    let server = try RuleServer(keys, rule: "password", password: password)
    let error = try failure { try connect(server.port, key: "user") }
    #expect(error.reason == "refused; the server accepts password; nothing of it is configured")
  }

  @Test func aServerThatHangsUpIsTemporary() throws {
    let server = try RuleServer(keys, rule: "hang-up")
    let error = try failure { try connect(server.port, password: password) }
    #expect(error.code == "connection-lost")
    #expect(error.severity == .temporary)
  }

  @Test(arguments: ["ed25519", "ecdsa"])
  func aKeyLogsInToOpenSSH(_ type: String) throws {
    try keys.makeKey("user", type: type)
    try keys.makeKey("locked", type: type, passphrase: "open sesame")
    try keys.write("authorized_keys", keys.read("user.pub") + keys.read("locked.pub"))
    let server = try OpenSSHServer(keys)
    #expect(try connect(server.port, user: server.user, key: "user").facts?.authenticationMethod == "publickey")
    _ = try connect(server.port, user: server.user, key: "locked", passphrase: "open sesame")
    for passphrase in ["wrong", nil] {
      let error = try failure { try connect(server.port, user: server.user, key: "locked", passphrase: passphrase) }
      #expect(error.code == "private-key-unusable")
      #expect(error.severity == .configuration)
    }
  }

  @Test func anRSAKeyLogsInOrTheErrorSaysWhyNot() throws {
    try keys.makeKey("user", type: "rsa")
    try keys.write("authorized_keys", keys.read("user.pub"))
    let server = try OpenSSHServer(keys)
    do {
      let facts = try connect(server.port, user: server.user, key: "user").facts
      #expect(facts?.authenticationMethod == "publickey")
    } catch let error as SFTPError {
      #expect(error.code == "authentication-failed")
      #expect(error.advice?.contains("ed25519") == true)
    }
  }

  @Test func anOldKeyFormatLogsInToo() throws {
    try keys.makeKey("user", type: "ecdsa", format: ["-m", "PEM"])
    try keys.write("authorized_keys", keys.read("user.pub"))
    let server = try OpenSSHServer(keys)
    #expect(try connect(server.port, user: server.user, key: "user").facts?.authenticationMethod == "publickey")
  }

  @Test func aKeyThatIsNoneIsAConfigurationError() throws {
    try keys.write("user", "not a key\n")
    try keys.write("authorized_keys", "")
    let server = try OpenSSHServer(keys)
    let error = try failure { try connect(server.port, user: server.user, key: "user") }
    #expect(error.code == "private-key-unusable")
    #expect(!error.description.contains("not a key"))
  }

  @Test func aKeyTheServerDoesNotKnowIsFatal() throws {
    try keys.makeKey("user")
    try keys.write("authorized_keys", "")
    let server = try OpenSSHServer(keys)
    let error = try failure { try connect(server.port, user: server.user, key: "user") }
    #expect(error.code == "authentication-failed")
    #expect(error.reason.contains("tried publickey"))
  }

  @Test func aServerWithoutSFTPIsFatal() throws {
    try keys.makeKey("user")
    try keys.write("authorized_keys", keys.read("user.pub"))
    let server = try OpenSSHServer(keys, subsystem: false)
    let error = try failure { try connect(server.port, user: server.user, key: "user") }
    #expect(error.code == "no-sftp-subsystem")
    #expect(error.severity == .fatal)
  }

  @Test func aServerThatSaysNothingTimesOut() throws {
    let listener = try SilentListener()
    let error = try failure { try connect(listener.port, password: password, timeoutSeconds: 1) }
    #expect(error.code == "timeout")
    #expect(error.severity == .temporary)
  }

  @Test func aClosedPortIsRefused() throws {
    let error = try failure { try connect(unusedPort(), password: password) }
    #expect(error.code == "connection-refused")
    #expect(error.severity == .temporary)
  }

  @Test func aNameThatDoesNotExistIsTemporary() throws {
    let error = try #require(throws: SFTPError.self) {
      try SFTPConnection(
        SFTPSettings(
          host: "no-such-host.invalid", port: 22, user: "u", password: Secret("p"), privateKey: nil,
          privateKeyPassphrase: nil, hostKeyPolicy: .pins([]), timeoutSeconds: 5),
        stop: StopSignal(), logger: quietLogger)
    }
    #expect(error.code == "name-not-found")
    #expect(error.severity == .temporary)
  }

  @Test func aStopRequestEndsAHandshake() throws {
    let listener = try SilentListener()
    let stop = StopSignal()
    stop.request()
    let error = try #require(throws: SFTPError.self) {
      try SFTPConnection(
        SFTPSettings(
          host: "127.0.0.1", port: listener.port, user: "u", password: Secret("p"), privateKey: nil,
          privateKeyPassphrase: nil, hostKeyPolicy: .pins([]), timeoutSeconds: 600),
        stop: stop, logger: quietLogger)
    }
    #expect(error.code == "stopped")
  }
}
