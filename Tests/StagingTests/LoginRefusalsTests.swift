internal import Common
internal import Testing

@testable internal import Staging

@Suite struct LoginRefusalsTests {
  private static let mark = CredentialMark(salt: [1, 2, 255], digits: "0af")
  private static let wall: Int64 = 1_800_000_000_000
  private static let boot: Int64 = 5_000_000

  private static func clock(wall: Int64 = wall, boot: Int64 = boot, id: String = "first") -> Clock {
    Clock(wallMilliseconds: { wall }, bootMilliseconds: { boot }, bootID: id)
  }

  private static func refusals(_ count: UInt64 = 1, bootID: String = "first") -> LoginRefusals {
    LoginRefusals(count: count, reason: "refused; \"so\"", mark: mark, clock: clock(id: bootID))
  }

  @Test(arguments: [(1, 1), (2, 5), (3, 15), (4, 60), (5, 60), (.max, 60)] as [(UInt64, Int64)])
  func thePauseGrows(count: UInt64, minutes: Int64) {
    #expect(Self.refusals(count).pauseMilliseconds == minutes * 60_000)
  }

  struct Case: Sendable {
    var bootID = "first"
    /// Milliseconds since the refusal, as the clocks of now have it.
    var wall: Int64
    var boot: Int64
    var now = "first"
    var elapsed: Int64?
  }

  @Test(
    arguments: [
      Case(wall: 7, boot: 7, elapsed: 7),
      // The wall clock was set forward, and back.
      Case(wall: 90_000_000, boot: 7, elapsed: 7), Case(wall: -90_000_000, boot: 7, elapsed: 7),
      // Another boot, or none that can be told.
      Case(wall: 7, boot: 900, now: "second", elapsed: 7), Case(bootID: "", wall: 7, boot: 900, now: "", elapsed: 7),
      Case(wall: 7, boot: -1, elapsed: 7),
      Case(wall: -7, boot: 900, now: "second", elapsed: nil), Case(wall: -7, boot: -1, elapsed: nil),
    ])
  func timePasses(_ row: Case) {
    let now = Self.clock(wall: Self.wall + row.wall, boot: Self.boot + row.boot, id: row.now)
    #expect(Self.refusals(bootID: row.bootID).elapsedMilliseconds(now) == row.elapsed)
  }

  @Test func thePauseEnds() {
    let refusals = Self.refusals(2)
    #expect(refusals.endMilliseconds(Self.clock()) == Self.wall + 300_000)
    #expect(refusals.endMilliseconds(Self.clock(boot: Self.boot + 299_999)) == Self.wall + 1)
    #expect(refusals.endMilliseconds(Self.clock(boot: Self.boot + 300_000)) == nil)
    // Unknown: all of it is still to come.
    #expect(refusals.endMilliseconds(Self.clock(wall: 0, id: "second")) == 300_000)
  }

  @Test func theyOutliveTheRunAndDamageIsForgotten() throws {
    let rig = try VolumeRig()
    let volume = try rig.open()
    #expect(try volume.loadLoginRefusals() == nil)
    try volume.save(Self.refusals(3))
    #expect(try volume.loadLoginRefusals() == Self.refusals(3))
    #expect(try rig.snapshot().loginRefusals == Self.refusals(3))
    let whole = try rig.read("state/login-refusals")
    for damaged in [[], Array(whole.dropLast()), Array(whole.dropFirst(2)), whole + whole] {
      try rig.write("state/login-refusals", damaged)
      #expect(try volume.loadLoginRefusals() == nil)
    }
    try volume.save(nil)
    #expect(!rig.exists("state/login-refusals"))
    try volume.save(nil)
  }
}
