internal import Common
internal import Foundation
internal import Logging
internal import SFTP
internal import Synchronization
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

@Suite struct LoginGuardTests {
  private static let wall: Int64 = 1_800_000_000_000

  /// The table of ``LoginDecision``. A pause of five minutes; nil: the wall clock went back and it is another boot.
  @Test(
    arguments: [
      (2, false, 0, true, .pause(untilMilliseconds: wall + 300_000)),
      (2, false, 299, true, .pause(untilMilliseconds: wall + 300_000)), (2, false, 300, true, .attempt),
      (2, false, 0, false, .attempt), (2, true, 0, true, .attempt), (2, false, nil, true, .pauseAnew),
      (2, false, nil, false, .attempt), (2, true, nil, true, .attempt), (0, false, 0, true, .attempt),
    ] as [(UInt64, Bool, Int64?, Bool, LoginDecision)])
  func decides(count: UInt64, isByHand: Bool, seconds: Int64?, isSame: Bool, expected: LoginDecision) {
    let mark = CredentialMark(salt: [], digits: "abc")
    let then = Clock(wallMilliseconds: { Self.wall }, bootMilliseconds: { 1_000 }, bootID: "first")
    let passed = (seconds ?? -1) * 1000
    let now = Clock(
      wallMilliseconds: { Self.wall + passed }, bootMilliseconds: { 1_000 + passed },
      bootID: seconds == nil ? "second" : "first")
    let refusals = count == 0 ? nil : LoginRefusals(count: count, reason: "", mark: mark, clock: then)
    var asked = 0
    let decision = LoginDecision.about(refusals, isByHand: isByHand, clock: now) {
      asked += 1
      return $0 == mark && isSame
    }
    #expect(decision == expected)
    // The slow question is not asked for nothing.
    #expect(asked == (count == 0 || isByHand || seconds == 300 ? 0 : 1))
  }

  @Test func scheduledRunsTryLessAndLess() throws {
    let rig = try LoginRig()
    #expect(rig.run().failure?.code == "authentication-failed")
    #expect(rig.attempts == 1)
    for (seconds, attempts) in [(59, 1), (1, 2), (299, 2), (1, 3), (899, 3), (1, 4), (3_599, 4), (1, 5), (3_599, 5)] {
      rig.pass(seconds: Int64(seconds))
      let report = rig.run()
      #expect(rig.attempts == attempts)
      #expect(report.exitCode == .fatal)
      #expect(report.failure?.code == (seconds == 1 ? "authentication-failed" : "login-paused"))
    }
    let words = try #require(rig.run().failure?.description)
    #expect(words.contains("refused 5 times in a row") && words.contains("the server accepts password"), "\(words)")
    #expect(words.contains(timestamp(wallMilliseconds: rig.wall + 1_000)), "\(words)")
  }

  @Test func aPersonMayTryAndPaysWithALongerPause() throws {
    let rig = try LoginRig()
    for attempts in 1...3 {
      #expect(rig.run(isByHand: true).failure?.code == "authentication-failed")
      #expect(rig.attempts == attempts)
    }
    rig.pass(seconds: 899)
    #expect(rig.run().failure?.code == "login-paused")
  }

  @Test func otherCredentialsAreTriedAtOnceAndCountAnew() throws {
    let rig = try LoginRig()
    for _ in 1...4 { _ = rig.run(isByHand: true) }
    rig.password = "another"
    #expect(rig.run().failure?.code == "authentication-failed")
    #expect(rig.attempts == 5)
    rig.pass(seconds: 60)
    #expect(rig.run().failure?.code == "authentication-failed")
  }

  @Test func aLogInThatSucceedsEndsIt() throws {
    let rig = try LoginRig()
    for _ in 1...4 { _ = rig.run(isByHand: true) }
    rig.refusal = nil
    #expect(rig.run(isByHand: true).failure == nil)
    rig.refusal = LoginRig.refused
    #expect(rig.run().failure?.code == "authentication-failed")
    rig.pass(seconds: 60)
    #expect(rig.run().failure?.code == "authentication-failed")
  }

  @Test func otherFailuresNeitherPauseNorEndAPause() throws {
    let rig = try LoginRig()
    for code in ["connection-refused", "host-key-mismatch", "private-key-unusable", "timeout"] {
      rig.refusal = SFTPError(code: code, operation: "connect", subject: "", reason: "", severity: .fatal)
      #expect(rig.run().failure?.code == code)
    }
    #expect(rig.attempts == 4)
    rig.refusal = LoginRig.refused
    for _ in 1...2 { _ = rig.run(isByHand: true) }
    rig.refusal = SFTPError(code: "timeout", operation: "connect", subject: "", reason: "", severity: .temporary)
    #expect(rig.run(isByHand: true).failure?.code == "timeout")
    rig.pass(seconds: 299)
    #expect(rig.run().failure?.code == "login-paused")
  }

  @Test func aClockThatCannotBeTrustedBeginsThePauseAnew() throws {
    let rig = try LoginRig()
    _ = rig.run()
    rig.bootID = "second"
    rig.wall -= 90_000_000
    #expect(rig.run().failure?.code == "login-paused")
    rig.pass(seconds: 59)
    #expect(rig.run().failure?.code == "login-paused")
    rig.pass(seconds: 1)
    #expect(rig.run().failure?.code == "authentication-failed")
  }
}

/// Fetch on one volume against a server that answers every log-in the same way, with clocks that the test moves.
private final class LoginRig {
  static let refused = SFTPError(
    code: "authentication-failed", operation: "authenticate", subject: "u@h:22",
    reason: "refused; the server accepts password; tried password", severity: .fatal)

  /// Nil lets everyone in.
  var refusal: SFTPError? = LoginRig.refused
  var password = "p"
  var bootID = "first"
  var wall: Int64 = 1_800_000_000_000
  private(set) var attempts = 0
  private var boot: Int64 = 1_000_000
  private let directory: TemporaryDirectory
  private let server = ScriptedSFTPServer(files: ["/in/a": [1]])

  init() throws { directory = try TemporaryDirectory() }

  func pass(seconds: Int64) {
    wall += seconds * 1_000
    boot += seconds * 1_000
  }

  func run(isByHand: Bool = false) -> FetchReport { try! attempt(isByHand) }

  private func attempt(_ isByHand: Bool) throws -> FetchReport {
    let variables = [
      "SFTP_HOST": "h", "SFTP_USER": "u", "SFTP_PASS": password, "SFTP_FOLDER_NAME": "/in",
      "STAGING_DIR": directory.path, "SETTLE_SECONDS": "0",
    ]
    let configuration = try Configuration(
      SettingsReader(environment: variables.mapValues { Array($0.utf8) }), needs: .sftp)
    var logger = Logger(label: "login-tests")
    logger.logLevel = .critical
    let (wall, boot) = (wall, boot)
    let volume = try StagingVolume.open(
      path: directory.path, source: VolumeSource(host: "h", port: 22, user: "u", folder: "/in"),
      runStart: RunStart(command: "sync", version: "0"),
      clock: Clock(wallMilliseconds: { wall }, bootMilliseconds: { boot }, bootID: bootID))
    let attempted = Box(0)
    let (server, refusal, quiet) = (server, refusal, logger)
    let report = Fetcher(
      source: configuration.sftp!, settings: configuration.staging, destination: nil, volume: volume,
      stop: StopSignal(), logger: logger,
      connect: { (stop) throws(SFTPError) in
        attempted.current += 1
        if let refusal { throw refusal }
        let descriptor: Int32
        do { descriptor = try server.connect() } catch {
          throw SFTPError(code: "test", operation: "connect", subject: "", reason: "\(error)", severity: .temporary)
        }
        return try SFTPConnection(
          channel: DescriptorChannel(adopting: descriptor), timeoutSeconds: 10, stop: stop, logger: quiet)
      }
    ).run(.incremental, isByHand: isByHand)
    attempts += attempted.current
    return report
  }
}

/// A number that a connecting thread may change.
private final class Box: Sendable {
  private let value: Mutex<Int>
  init(_ value: Int) { self.value = Mutex(value) }
  var current: Int {
    get { value.withLock { $0 } }
    set { value.withLock { $0 = newValue } }
  }
}
