import Common
import Synchronization
import TestSupport
import Testing

/// One thing that is wrong, what the program must say about it, and how it is put right.
struct Fault: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let code: ExitCode
  /// Whether the volume has seen a good run before; otherwise the fault is the first thing it sees.
  var afterAGoodRun = true
  /// Breaks something. Returns the changes of configuration and the words that the one error line must have.
  let breakIt: @Sendable (Rig) throws -> (changes: [String: String?], words: [String])
  /// Puts right what a change of configuration back does not.
  var mendIt: @Sendable (Rig) throws -> Void = { _ in }
}

@Suite struct FaultTests {
  @Test(arguments: sftpFaults + s3Faults + stagingFaults) func isToldInOneLineAndLosesNothing(_ fault: Fault) throws {
    let rig = try Rig()
    for number in 1...3 { try rig.serve("\(number).txt", "file \(number)") }
    if fault.afterAGoodRun {
      try rig.sync()
      try rig.serve("1.txt", "changed", mtime: 1_700_000_500)
    }
    let (changes, words) = try fault.breakIt(rig)
    let outcome = try rig.run("sync", changing: changes, timeout: .seconds(100))
    #expect(outcome.exitCode == fault.code.rawValue, "\(outcome.stderr)")
    let lines = errorLines(outcome.stderr)
    #expect(lines.count == 1, "one error line is wanted:\n\(outcome.stderr)")
    for word in words {
      #expect(lines.contains { $0.lowercased().contains(word.lowercased()) }, "no \(word) in:\n\(outcome.stderr)")
    }
    try fault.mendIt(rig)
    try rig.sync()
    try rig.expectStagingEqualsSource()
    try rig.expectBucketEqualsSource()
  }

  static let sftpFaults = [
    Fault(testDescription: "wrong key", code: .fatal) {
      (["SFTP_KEY_FILE": try $0.sshd.makeUnknownKey()], ["authentication", $0.sshd.user])
    },
    Fault(testDescription: "wrong password", code: .fatal) {
      (["SFTP_KEY_FILE": nil, "SFTP_PASS": "not the password"], ["authentication", $0.sshd.user])
    },
    Fault(testDescription: "changed host key", code: .fatal) { rig in
      let old = try rig.sshd.hostKeyFingerprint()
      try rig.sshd.changeHostKey()
      return ([:], ["host key", old, try rig.sshd.hostKeyFingerprint()])
    } mendIt: {
      removeTree($0.staging + "/known_hosts")
    },
    Fault(testDescription: "pinned host key is another", code: .fatal) { rig in
      let pin = "SHA256:" + String(repeating: "A", count: 43)
      return (["SFTP_HOST_KEY": pin], ["host key", pin, try rig.sshd.hostKeyFingerprint()])
    },
    Fault(testDescription: "no such folder", code: .configuration, afterAGoodRun: false) {
      (["SFTP_FOLDER_NAME": $0.served + "/nowhere"], [$0.served + "/nowhere"])
    },
    Fault(testDescription: "SFTP server down", code: .temporary) {
      try $0.sshd.stop()
      return ([:], ["\($0.sshd.port)", "refused"])
    } mendIt: {
      try $0.sshd.start()
    },
    Fault(testDescription: "SFTP server down at the very first run", code: .temporary, afterAGoodRun: false) { _ in
      (["SFTP_PORT": "\(refusing.port)"], ["refused"])
    },
  ]

  private static let refusing = try! RefusingPort()

  static let s3Faults = [
    Fault(testDescription: "bucket missing", code: .configuration) { _ in
      (["S3_BUCKET_NAME": "there-is-no-such-bucket"], ["there-is-no-such-bucket"])
    },
    Fault(testDescription: "wrong secret", code: .fatal) { _ in
      (["S3_SECRET_ACCESS_KEY": "not-the-secret"], ["S3_SECRET_ACCESS_KEY"])
    },
    Fault(testDescription: "unknown access key", code: .fatal) { _ in
      (["S3_ACCESS_KEY_ID": "not-the-key"], ["S3_ACCESS_KEY_ID"])
    },
    Fault(testDescription: "endpoint refused", code: .temporary) { _ in
      (["S3_ENDPOINT": "http://127.0.0.1:\(refusing.port)"], ["127.0.0.1:\(refusing.port)", "refused"])
    },
  ]

  private static let holder = Mutex<[String: Child]>([:])

  static let stagingFaults = [
    Fault(testDescription: "staging directory is a file", code: .configuration) { rig in
      try writeFile(rig.home.path + "/a-file", "not a directory")
      return (["STAGING_DIR": rig.home.path + "/a-file"], [rig.home.path + "/a-file"])
    },
    Fault(testDescription: "staging cannot be written to", code: .configuration) { _ in
      // A place where even root cannot make anything.
      (["STAGING_DIR": "/proc/self/staging"], ["/proc/self/staging"])
    },
    Fault(testDescription: "lock held", code: .locked) { rig in
      // -o: only flock holds the lock, not the sleep, so that killing it lets go of it.
      let child = try Child(["flock", "-o", rig.staging + "/lock", "sh", "-c", "echo held >&2; exec sleep 20"])
      while child.isRunning, !child.stderr.contains("held") {}
      holder.withLock { $0[rig.staging] = child }
      return ([:], ["lock"])
    } mendIt: { rig in
      _ = try holder.withLock { try $0.removeValue(forKey: rig.staging)?.killAndWait() }
    },
    Fault(testDescription: "damaged journal", code: .fatal) { rig in
      try rig.sync()
      try flipAByte(in: rig.firstSegment)
      return ([:], ["00000001.jsonl", "line 2"])
    } mendIt: {
      try flipAByte(in: $0.firstSegment)
    },
  ]

  /// Flips one bit in the middle of the second line; the same call again puts it right.
  private static func flipAByte(in path: String) throws {
    var bytes = try readFile(path)
    let lines = bytes.split(separator: UInt8(ascii: "\n"))
    let second = lines[1]
    bytes[second.startIndex + second.count / 2] ^= 1
    try writeFile(Array(path.utf8), bytes)
  }

  // MARK: Configuration

  @Test func everythingWrongInTheConfigurationIsNamedAtOnce() throws {
    let rig = try Rig()
    let outcome = try rig.run(
      "sync",
      changing: [
        "SFTP_HOST": nil, "SFTP_PORT": "many", "S3_BUCKET_NAME": nil, "SETTLE_SECONDS": "-1", "S3_ENDPOINT": "ftp://x",
      ])
    #expect(outcome.exitCode == ExitCode.configuration.rawValue)
    for name in ["SFTP_HOST", "SFTP_PORT", "S3_BUCKET_NAME", "SETTLE_SECONDS", "S3_ENDPOINT"] {
      #expect(outcome.stderr.contains(name), "\(name) is not named:\n\(outcome.stderr)")
    }
    #expect(try files(under: rig.staging) == [], "nothing is touched before the configuration is right")
  }

  @Test func aNameAndItsFileTogetherAreRefused() throws {
    let rig = try Rig()
    try writeFile(rig.home.path + "/user", rig.sshd.user + "\n")
    let both = try rig.run("sync", changing: ["SFTP_USER_FILE": rig.home.path + "/user"])
    #expect(both.exitCode == ExitCode.configuration.rawValue)
    #expect(both.stderr.contains("SFTP_USER_FILE"), "\(both.stderr)")
    try rig.serve("a.txt", "a")
    try writeFile(rig.home.path + "/secret", rig.bucket.secretKey + "\n")
    try rig.sync(
      changing: [
        "SFTP_USER": nil, "SFTP_USER_FILE": rig.home.path + "/user", "S3_SECRET_ACCESS_KEY": nil,
        "S3_SECRET_ACCESS_KEY_FILE": rig.home.path + "/secret",
      ])
    try rig.expectBucketEqualsSource()
  }

  @Test(arguments: [["no-such-command"], ["sync", "--no-such-flag"], []]) func wrongUsageIsCode2(
    _ arguments: [String]
  ) throws {
    let outcome = try Binary.run(arguments, environment: [:])
    let isHelp = arguments.isEmpty && outcome.exitCode == 0
    #expect(isHelp || outcome.exitCode == ExitCode.configuration.rawValue, "\(outcome.stderr)")
    #expect((outcome.stdout + outcome.stderr).lowercased().contains("usage"))
  }

  @Test func anS3OutageNeverStopsFetch() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "a")
    let outcome = try rig.run("sync", changing: ["S3_ENDPOINT": "http://127.0.0.1:\(Self.refusing.port)"])
    #expect(outcome.exitCode == ExitCode.temporary.rawValue, "\(outcome.stderr)")
    #expect(exists(rig.staging + "/files/a.txt"))
    try rig.sshd.stop()
    // And the other way round: what is staged is published while the SFTP server is down.
    let published = try rig.run("sync")
    #expect(published.exitCode == ExitCode.temporary.rawValue)
    try rig.expectBucketEqualsSource()
  }
}
