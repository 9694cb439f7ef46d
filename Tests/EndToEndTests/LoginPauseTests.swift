import Common
import TestSupport
import Testing

/// Accounts get locked by too many wrong passwords: scheduled runs must not go on trying them every minute.
@Suite struct LoginPauseTests {
  private static let wrong: [String: String?] = ["SFTP_KEY_FILE": nil, "SFTP_PASS": "not the password"]

  /// sshd's words come through a pipe, a moment after it has answered.
  private func expectAttempts(_ count: Int, _ rig: Rig, _ location: SourceLocation = #_sourceLocation) {
    for _ in 0..<100 where attempts(rig) < count { pause(milliseconds: 50) }
    pause(milliseconds: 100)
    #expect(attempts(rig) == count, "\(rig.sshd.log)", sourceLocation: location)
  }

  private func attempts(_ rig: Rig) -> Int {
    rig.sshd.log.split(whereSeparator: \.isNewline).filter { $0.contains("Failed password for") }.count
  }

  @Test func aWrongPasswordIsGivenOnceUntilThePauseIsOver() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    #expect(try rig.run("fetch").exitCode == 0)

    // The phases are independent: what is staged is published all the same.
    let first = try rig.run("sync", changing: Self.wrong)
    #expect(first.exitCode == ExitCode.fatal.rawValue, "\(first.stderr)")
    expectAttempts(1, rig)
    #expect(try rig.bucket.heads(under: rig.prefix).count == 1)

    for command in ["sync", "full-sync", "sync"] {
      let paused = try rig.run(command, changing: Self.wrong)
      #expect(paused.exitCode == ExitCode.fatal.rawValue)
      let lines = errorLines(paused.stderr)
      #expect(lines.count == 1 && lines[0].contains("not tried again until"), "\(paused.stderr)")
      #expect(lines[0].contains("the server accepts publickey, password"), "\(paused.stderr)")
      #expect(paused.stderr.contains("publish: "))
    }
    expectAttempts(1, rig)

    let shown = try rig.run("status").stdout
    #expect(shown.contains("refused once") && shown.contains("not tried again until"), "\(shown)")
    #expect(try rig.run("status", "--json").stdout.contains("\"pausedUntil\""))

    // By hand it is tried; another password too, and the same one again is not.
    #expect(try rig.run("fetch", changing: Self.wrong).exitCode == ExitCode.fatal.rawValue)
    expectAttempts(2, rig)
    let another = Self.wrong.merging(["SFTP_PASS": "nor this"]) { $1 }
    for _ in 1...2 { #expect(try rig.run("sync", changing: another).exitCode == ExitCode.fatal.rawValue) }
    expectAttempts(3, rig)
    for path in try files(under: rig.staging + "/state") {
      let content = String(decoding: try readFile(Array("\(rig.staging)/state/".utf8) + path), as: UTF8.self)
      #expect(!content.contains("not the password") && !content.contains("nor this"))
    }

    // The right key ends it, and no trace is left.
    try rig.sync()
    #expect(try !rig.run("status").stdout.contains("refused"))
    #expect(!exists(rig.staging + "/state/login-refusals"))
    #expect(try rig.run("sync", changing: another).exitCode == ExitCode.fatal.rawValue)
    expectAttempts(4, rig)
  }
}
