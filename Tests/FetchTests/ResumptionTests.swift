internal import Common
internal import Testing

@testable internal import Fetch
@testable internal import SFTP
@testable internal import Staging

/// The decisions about large files that go on, and about files seen shortly after their last change.
@Suite struct ResumptionTests {
  private static let print = Fingerprint(size: 40 << 20, mtime: 5)
  private static let other = Fingerprint(size: 40 << 20, mtime: 6)

  struct Row: Sendable {
    var isWelcome = true
    var wanted: Fingerprint?
    var waiting: Fingerprint?
    var isUnknown = false
    var expected: PartialDecision
  }

  @Test(arguments: [
    Row(isWelcome: false, wanted: print, expected: .remove), Row(isWelcome: false, isUnknown: true, expected: .remove),
    Row(wanted: print, expected: .resume), Row(wanted: other, expected: .remove),
    Row(waiting: print, expected: .keep), Row(waiting: other, expected: .remove),
    Row(isUnknown: true, expected: .keep), Row(expected: .remove),
  ])
  func whatBecomesOfAPart(row: Row) throws {
    let partial = PartialFile(
      temporary: "t", path: try RemotePath("a"), fingerprint: Self.print, source: "s", offset: 1, sha256: .of([]))
    #expect(
      decidePartial(
        isWelcome: row.isWelcome, wanted: row.wanted, waiting: row.waiting, isUnknown: row.isUnknown, of: partial)
        == row.expected)
  }

  @Test func readsGoOnOneMebibyteBefore() {
    #expect(Resumption.start(after: 0) == 0)
    #expect(Resumption.start(after: 1 << 20) == 0)
    #expect(Resumption.start(after: 1 << 20 + 1) == 1)
    #expect(Resumption.start(after: 100 << 20) == 99 << 20)
  }

  @Test(
    "reading waits until the second of the modification time is surely over",
    arguments: [
      // seen, now, modified seconds ago, wait
      (0, 0, 86_401, 0), (0, 0, 86_400, 1_100), (0, 0, 0, 1_100), (0, 0, -1_000_000, 1_100), (0, 400, 0, 700),
      (0, 1_100, 0, 0), (5_000, 50_000, 0, 0),
    ] as [(Int64, Int64, Int64, Int64)])
  func held(seen: Int64, now: Int64, ago: Int64, wait: Int64) {
    #expect(HeldFiles.waitMilliseconds(seenSince: seen, now: now, modifiedSecondsAgo: ago) == wait)
  }

  /// Files f0, f1 …
  private static func items(_ fingerprints: [Fingerprint]) -> ListedFileSelection {
    var files = ListedFiles()
    let directory = files.insertDirectory(nil)
    for (number, fingerprint) in fingerprints.enumerated() {
      files.insert(Array("f\(number)".utf8), inDirectory: directory, fingerprint)
    }
    var items = ListedFileSelection(of: files)
    for number in files.indices { items.append(number: number) }
    return items
  }

  private func plan(_ mtimes: [UInt32]) throws -> FetchPlan {
    var plan = FetchPlan()
    plan.fetch = Self.items(mtimes.map { Fingerprint(size: 1, mtime: $0) })
    return plan
  }

  private func clock(boot: Int64, wallSeconds: Int64) -> Clock {
    Clock(wallMilliseconds: { wallSeconds * 1000 }, bootMilliseconds: { boot }, bootID: "boot")
  }

  @Test func onlyFilesThatAreNewAndJustSeenAreHeld() throws {
    var plan = try plan([1_000, 999_999, 1_000_000, 1_000_500])
    let sighting = Observations.Sighting(fingerprint: plan.fetch[2].fingerprint, sinceBootMilliseconds: 40_000)
    plan.settled.note(sighting, of: plan.fetch[2].path)
    let held = HeldFiles(plan, clock: clock(boot: 45_000, wallSeconds: 1_000_000))
    #expect(held.tokens == [1, 3])
    // What was seen since then was another version of it.
    let other = Observations.Sighting(fingerprint: Self.other, sinceBootMilliseconds: 40_000)
    plan.settled.note(other, of: plan.fetch[2].path)
    #expect(HeldFiles(plan, clock: clock(boot: 45_000, wallSeconds: 1_000_000)).tokens == [1, 2, 3])
    #expect(abs(held.untilSeconds - monotonicSeconds() - 1.1) < 0.5)
    #expect(HeldFiles(try self.plan([1, 2]), clock: clock(boot: 0, wallSeconds: 1_000_000)) == .none)
  }

  // MARK: The desk

  private func desk(
    _ sizes: [UInt64], partials: Set<Int> = [], held: HeldFiles = .none, resumes: Bool = true
  ) throws -> RequestDesk {
    RequestDesk(
      Self.items(sizes.map { Fingerprint(size: $0, mtime: 1) }), partials: partials, held: held, resumes: resumes)
  }

  @Test func filesAreHandedOutInOrderAndHeldOnesInTheirTime() throws {
    let held = HeldFiles(try plan([1_000_000]), clock: clock(boot: 0, wallSeconds: 1_000_000))
    let desk = try desk([1, 2, 3], held: held)
    #expect(desk.next() == .file(token: 1, startAt: 0))
    #expect(desk.next() == .file(token: 2, startAt: 0))
    #expect(desk.next() == .later)
    while monotonicSeconds() < held.untilSeconds { pause(milliseconds: 20) }
    #expect(desk.next() == .file(token: 0, startAt: 0))
    #expect(desk.next() == RequestDesk.Next.none)
  }

  @Test func aPartIsHandedOutWhenItIsProvedOrUnfit() throws {
    let large: UInt64 = 64 << 20
    let desk = try desk([large, 1, large], partials: [0, 2])
    #expect(desk.next() == .file(token: 1, startAt: 0))
    #expect(desk.next() == .later)
    desk.resume(0, after: 10 << 20)
    #expect(desk.next() == .file(token: 0, startAt: 9 << 20))
    desk.beginAnew(2)
    #expect(desk.next() == .file(token: 2, startAt: 0))
    #expect(desk.next() == .later, "what comes again of the first may still be refused")
    desk.end(0, beginsAnew: false)
    #expect(desk.next() == .later, "so may what comes of the other, should it be interrupted")
    desk.end(2, beginsAnew: false)
    #expect(desk.next() == RequestDesk.Next.none)
  }

  @Test func anInterruptedFileGoesOnFromTheFarthestItCame() throws {
    let desk = try desk([64 << 20])
    _ = desk.next()
    #expect(desk.next() == .later, "it may be interrupted, and then refused")
    #expect(desk.hand(20 << 20, of: 0))
    #expect(desk.interrupted(0) == 19 << 20)
    // Interrupted again within what is compared: the file has still come as far.
    #expect(desk.hand(1000, of: 0))
    #expect(desk.interrupted(0) == 19 << 20)
    #expect(desk.hand(3 << 20, of: 0))
    #expect(desk.interrupted(0) == 21 << 20)
    #expect(desk.next() == .later)
    desk.end(0, beginsAnew: false)
    #expect(desk.next() == RequestDesk.Next.none)
  }

  @Test func aRefusedFileIsNotWantedAndBeginsAnew() throws {
    let desk = try desk([64 << 20, 64 << 20])
    for token in 0...1 {
      _ = desk.next()
      #expect(desk.hand(20 << 20, of: token))
      #expect(desk.interrupted(token) > 0)
      desk.refuse(token)
      #expect(!desk.hand(1000, of: token))
    }
    // Either the connection ends it, or it breaks before.
    desk.end(0, beginsAnew: true)
    #expect(desk.next() == .file(token: 0, startAt: 0))
    #expect(desk.hand(1000, of: 0))
    #expect(desk.interrupted(1) == 0)
    #expect(desk.hand(1000, of: 1))
    #expect(desk.interrupted(1) == 0, "too little to go on with")
    #expect(desk.next() == .later)
    for token in 0...1 { desk.end(token, beginsAnew: false) }
    #expect(desk.next() == RequestDesk.Next.none)
  }

  @Test func smallFilesAndAllFilesWhenSwitchedOffBeginAnew() throws {
    for desk in [try desk([32 << 20 - 1]), try desk([64 << 20], resumes: false)] {
      _ = desk.next()
      #expect(desk.hand(20 << 20, of: 0))
      #expect(desk.interrupted(0) == 0)
      desk.end(0, beginsAnew: false)
      #expect(desk.next() == RequestDesk.Next.none)
    }
  }

  @Test func whatTheConnectionLostStaysAndWhatTheFileIsToBlameForGoes() {
    func leaves(_ code: String, _ severity: Severity) -> Bool {
      SFTPError(code: code, operation: "read", subject: "", reason: "", severity: severity).leavesWhatCame
    }
    for code in ["connection-lost", "timeout", "stalled", "protocol-error"] { #expect(leaves(code, .item)) }
    #expect(leaves("server-lost-backend", .temporary))
    for code in ["no-such-file", "permission-denied", "sftp-status-4", "bad-answer"] { #expect(!leaves(code, .item)) }
  }
}
