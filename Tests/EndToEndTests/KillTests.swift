import Common
import Glibc
import TestSupport
import Testing

/// SIGKILL, SIGTERM and a network that stops answering: nothing is lost, nothing is ever half there.
@Suite struct KillTests {
  @Test func killedAtAnyInstantTheNextRunCompletes() throws {
    let seed = variableSeed() ?? UInt64.random(in: 0...UInt64.max)
    print("seed of the kills: \(seed) (SFTP_TO_S3_SEED repeats it)")
    var random = SeededGenerator(seed: seed)
    let pattern = (0..<300_300).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var kills = 0
    var runs = 0
    while kills < Scale.kills {
      let rig = try Rig()
      for number in 0..<300 {
        let size = [0, 1, 500, 20_000, 40_000, 300_000][number % 6]
        let bytes = Array(pattern[number..<(number + size)])
        try rig.serve("directory-\(number % 7)/\(number).bin", bytes: bytes, mtime: 1_700_000_000 + number)
      }
      makeDirectories(rig.home.path + "/trial")
      // How long a whole run takes is learnt on a volume and under a prefix of its own.
      let whole = try ContinuousClock().measure {
        try rig.sync(changing: ["STAGING_DIR": rig.home.path + "/trial", "S3_FOLDER_NAME": rig.prefix + "-trial"])
      }
      let span = whole / .microseconds(1)
      var isComplete = false
      while !isComplete, kills < Scale.kills {
        runs += 1
        try #require(runs < 20 * Scale.kills, "hardly a run is killed before its end: \(kills) of \(runs)")
        let child = try Binary.start(["sync"], environment: rig.environment)
        usleep(UInt32(Double.random(in: 0...span, using: &random)))
        let outcome = try child.killAndWait()
        try rig.expectNoPartialFile()
        if outcome.exitCode == 137 {
          kills += 1
        } else {
          #expect(outcome.exitCode == 0, "a run after a kill ended by itself, and badly:\n\(outcome.stderr)")
          isComplete = true
        }
      }
      try rig.sync()
      try rig.expectStagingEqualsSource()
      try rig.expectBucketEqualsSource()
      let journal = try rig.journal()
      #expect(journal.map(\.seq) == Array(1...journal.count), "the journal has a gap")
    }
    print("\(runs) runs, \(kills) of them killed")
  }

  /// A peer that stops answering in the middle: one for each phase.
  enum Stalled: String, CaseIterable, Sendable { case sftp, s3 }

  @Test(arguments: Stalled.allCases) func terminatedItEndsWithinTenSeconds(_ stalled: Stalled) throws {
    let rig = try Rig()
    for number in 0..<40 {
      try rig.serve("\(number).bin", bytes: [UInt8](repeating: UInt8(number), count: 200_000))
    }
    let proxy: CountingProxy
    let changes: [String: String]
    switch stalled {
    case .sftp:
      proxy = try CountingProxy(to: rig.sshd.port, stallAfter: 2_000_000)
      changes = ["SFTP_PORT": "\(proxy.port)"]
    case .s3:
      proxy = try CountingProxy(to: Rig.bucketPort(), stallAfter: 2_000)
      changes = ["S3_ENDPOINT": "http://127.0.0.1:\(proxy.port)"]
    }
    let child = try Binary.start(["sync"], environment: rig.environment(changing: changes))
    let deadline = ContinuousClock.now + .seconds(20)
    while !proxy.isStalled, ContinuousClock.now < deadline { usleep(10_000) }
    try #require(proxy.isStalled, "it never got as far as to stall: \(child.stderr)")
    usleep(300_000)

    let started = ContinuousClock.now
    child.signal(SIGTERM)
    let outcome = try child.wait(timeout: .seconds(15))
    #expect(ContinuousClock.now - started < .seconds(10))
    #expect(outcome.exitCode == ExitCode.temporary.rawValue, "\(outcome.stderr)")
    try rig.expectNoPartialFile()

    // The server is reached directly again: for the volume that is another address of the same source only when S3
    // stalled, so the SFTP port is kept by a proxy that passes everything on.
    if stalled == .sftp {
      proxy.resume()
      try rig.sync(changing: changes)
    } else {
      try rig.sync()
    }
    try rig.expectStagingEqualsSource()
    try rig.expectBucketEqualsSource()
  }
}

private func variableSeed() -> UInt64? { getenv("SFTP_TO_S3_SEED").flatMap { UInt64(String(cString: $0)) } }
