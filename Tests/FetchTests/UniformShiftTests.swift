internal import Common
internal import Foundation
internal import SFTP
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

/// The daylight-saving rule: what it takes for a shift, what becomes of the files, and how they are proven.
@Suite struct UniformShiftTests {
  static let day: Int64 = 86_400
  static let now: Int64 = 10_000_000

  private static func known(_ change: (inout PathState) -> Void = { _ in }) -> PathState {
    var state = PathState()
    state.generation = 1
    state.fingerprint = Fingerprint(size: 5, mtime: 1_000_000)
    change(&state)
    return state
  }

  @Test(
    arguments: [
      (known(), Fingerprint(size: 5, mtime: 1_003_600), 3_600), (known(), Fingerprint(size: 5, mtime: 996_400), -3_600),
      (known(), Fingerprint(size: 5, mtime: 1_003_599), 3_599), (known(), Fingerprint(size: 5, mtime: 1_000_000), 0),
      (known(), Fingerprint(size: 6, mtime: 1_003_600), 0),
      (known { $0.isGone = true }, Fingerprint(size: 5, mtime: 1_003_600), nil),
      (known { $0.isDropped = true }, Fingerprint(size: 5, mtime: 1_003_600), nil),
      (known { $0.hasDrifted = true }, Fingerprint(size: 5, mtime: 1_003_600), nil),
      (known { $0.isUnproven = true }, Fingerprint(size: 5, mtime: 1_000_000), nil),
      (known { $0.isUnproven = true }, Fingerprint(size: 5, mtime: 996_400), -3_600),
      (known { $0.fingerprint.mtime = 9_910_000 }, Fingerprint(size: 5, mtime: 9_913_600), 3_600),
      (known { $0.fingerprint.mtime = 9_910_001 }, Fingerprint(size: 5, mtime: 9_913_601), nil),
      (known { $0.fingerprint.mtime = 10_000_000 }, Fingerprint(size: 5, mtime: 10_003_600), nil),
    ] as [(PathState, Fingerprint, Int64?)])
  func oneFile(known: PathState, remote: Fingerprint, shift: Int64?) {
    #expect(UniformShift.judge(remote, known, wallSeconds: Self.now) == shift)
  }

  @Test(
    arguments: [
      (8, 0, 8, 3_600), (0, 8, 8, -3_600), (7, 0, 7, nil), (0, 7, 7, nil), (8, 0, 9, nil), (9, 0, 10, 3_600),
      (90, 0, 100, 3_600), (89, 0, 100, nil), (0, 90, 100, -3_600), (0, 89, 100, nil), (50, 50, 100, nil),
      (0, 0, 0, nil), (0, 0, 1_000, nil),
    ] as [(Int, Int, Int, Int64?)])
  func theListing(later: Int, earlier: Int, judged: Int, shift: Int64?) {
    #expect(UniformShift.decide(later: later, earlier: earlier, judged: judged) == shift)
  }

  // MARK: From the server into the volume

  private static let before: UInt32 = 1_700_000_000

  /// So many staged and published files of three bytes in two directories.
  private func rig(files: Int) throws -> FetchRig {
    let rig = try FetchRig(Dictionary(uniqueKeysWithValues: (0..<files).map { (Self.name($0), Self.content($0)) }))
    try rig.fetch()
    try rig.publishAll()
    return rig
  }

  private static func name(_ number: Int) -> String { "d\(number % 2)/f\(number)" }
  private static func content(_ number: Int) -> String { "\(100 + number)" }

  private func shift(_ rig: FetchRig, _ numbers: Range<Int>, to mtime: UInt32 = before + 3_600) {
    for number in numbers { rig.set(Self.name(number), Self.content(number), mtime: mtime) }
  }

  private func filesOpened(_ rig: FetchRig) -> Int {
    (0..<20).reduce(0) { $0 + rig.server.statistics.opens[Array("/in/\(Self.name($1))".utf8), default: 0] }
  }

  private func pending(_ rig: FetchRig) throws -> Int {
    let state = try rig.state
    return state.paths.count { state.isPending($0, for: FetchRig.destination) }
  }

  private func unproven(_ rig: FetchRig) throws -> Int { try rig.state.paths.count(where: \.isUnproven) }

  @Test("a uniform shift of an hour fetches nothing (sarracenia #45)", arguments: [3_600, -3_600])
  func uniformShift(by seconds: Int) throws {
    let rig = try rig(files: 20)
    let mtime = UInt32(Int(Self.before) + seconds)
    shift(rig, 0..<20, to: mtime)
    let opens = filesOpened(rig)
    let report = try rig.fetch(settle: 45)
    #expect(report.exitCode == .done && report.counts == TransferCounts())
    #expect(report.touched == 20 && report.waiting == 0 && report.unchanged == 0)
    #expect(filesOpened(rig) == opens, "no file is opened")
    for number in 0..<20 { #expect(try rig.stagedTime(Self.name(number)) == Int(mtime)) }
    #expect(try pending(rig) == 0, "publish has nothing to send")
    #expect(try unproven(rig) == 20)
    #expect(try rig.operations().suffix(21) == ["run"] + [String](repeating: "touched", count: 20))

    let after = try rig.operations()
    let again = try rig.fetch(settle: 45)
    #expect(again.unchanged == 20 && again.touched == 0)
    #expect(try rig.operations() == after, "a run that finds nothing new records nothing")

    // The clocks are changed back, before anything was proven.
    shift(rig, 0..<20, to: Self.before)
    #expect(try rig.fetch(settle: 45).touched == 20)
    #expect(try rig.stagedTime(Self.name(7)) == Int(Self.before))
    #expect(filesOpened(rig) == opens)
  }

  @Test func whatChangedOtherwiseIsFetched() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<18)
    rig.set(Self.name(18), "longer than before", mtime: Self.before + 3_600)
    rig.set(Self.name(19), "xyz", mtime: Self.before + 7_200)
    rig.set("new", "n", mtime: Self.before + 3_600)
    let report = try rig.fetch()
    #expect(report.touched == 18 && report.counts.fetched == 3)
    #expect(rig.staged(Self.name(18)) == "longer than before" && rig.staged(Self.name(19)) == "xyz")
    #expect(try pending(rig) == 3)
  }

  @Test(arguments: [(7, 7), (20, 17)])
  func fewFilesOrToldApartAreNoShift(files: Int, shifted: Int) throws {
    let rig = try rig(files: files)
    shift(rig, 0..<shifted)
    let report = try rig.fetch()
    #expect(report.touched == 0 && report.counts.fetched == UInt64(shifted))
    #expect(try !rig.operations().contains("touched"))
  }

  @Test func filesWrittenAnewEveryHourAreFetched() throws {
    let written = UInt32(Clock.system.wallMilliseconds() / 1000) - 7_000
    let rig = try rig(files: 20)
    for number in 0..<20 { rig.set(Self.name(number), "old", mtime: written) }
    #expect(try rig.fetch().counts.fetched == 20)
    for number in 0..<20 { rig.set(Self.name(number), "new", mtime: written + 3_600) }
    #expect(try rig.fetch().counts.fetched == 20)
    #expect(rig.staged(Self.name(3)) == "new")
  }

  @Test func fullSyncProvesWhatWasAdopted() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<20)
    try rig.fetch()
    let report = try rig.fetch(.comprehensive)
    #expect(report.counts.proven == 20 && report.counts.fetched == 0)
    #expect(try unproven(rig) == 0 && pending(rig) == 0)
    #expect(try rig.leftovers().isEmpty)
    let after = try rig.operations()
    #expect(try rig.fetch(.comprehensive).counts == TransferCounts())
    #expect(try rig.operations() == after)
  }

  @Test func anEditHiddenInTheShiftIsFoundByFullSync() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<20)
    rig.set(Self.name(5), "bad", mtime: Self.before + 3_600)
    #expect(try rig.fetch().touched == 20)
    #expect(rig.staged(Self.name(5)) == Self.content(5))
    let report = try rig.fetch(.comprehensive)
    #expect(report.counts.proven == 19 && report.counts.fetched == 1)
    #expect(rig.staged(Self.name(5)) == "bad")
    #expect(try pending(rig) == 1 && unproven(rig) == 0)
  }

  @Test func aShiftThatFullSyncItselfSeesIsProvenAtOnce() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<20)
    let report = try rig.fetch(.comprehensive)
    #expect(report.touched == 20 && report.counts.proven == 20 && report.counts.fetched == 0)
    #expect(try unproven(rig) == 0)
  }

  @Test func whatCannotBeReadAgainStaysUnprovenAndIsNamed() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<20)
    try rig.fetch()
    rig.refuse(Self.name(4))
    let report = try rig.fetch(.comprehensive)
    #expect(report.counts.proven == 19 && report.counts.failed == 1)
    #expect(try unproven(rig) == 1)
    rig.misbehave { _ in }
    #expect(try rig.fetch(.comprehensive).counts.proven == 1)
    #expect(try rig.state.failures.isEmpty)
  }

  @Test func whatWasFoundAlteredIsFetchedAndNotMerelyProven() throws {
    let rig = try rig(files: 20)
    shift(rig, 0..<20)
    try rig.fetch()
    let path = try RemotePath(Self.name(2))
    do {
      let volume = try StagingVolume.open(
        path: rig.directory.path, source: nil, runStart: RunStart(command: "publish", version: "0"))
      let generation = volume.journal.withState { $0.paths[path]!.generation }
      try volume.journal.append([
        .drift(StagedDrift(path: path, generation: generation, what: "missing", done: "not published"))
      ])
    }
    try FileManager.default.removeItem(atPath: rig.directory.path + "/files/" + Self.name(2))
    let report = try rig.fetch(.comprehensive)
    #expect(report.counts.proven == 19 && report.counts.fetched == 1)
    #expect(rig.staged(Self.name(2)) == Self.content(2))
    #expect(try rig.stagedTime(Self.name(2)) == Int(Self.before) + 3_600)
  }

  @Test func aLargeFileThatIsReadAgainGoesOnWhereItWasInterrupted() throws {
    let rig = try rig(files: 20)
    let content = [UInt8](repeating: 7, count: 40 << 20)
    func setBig(mtime: UInt32) { rig.server.set("/in/big", .init(.file(content), mtime: mtime)) }
    setBig(mtime: Self.before)
    try rig.fetch()
    shift(rig, 0..<20)
    setBig(mtime: Self.before + 3_600)
    #expect(try rig.fetch().touched == 21)

    rig.misbehave { $0.cutAfterBytes = 30 << 20 }
    rig.connectionsAllowed = 1
    #expect(try rig.fetch(.comprehensive).failure != nil)
    rig.misbehave { _ in }
    rig.connectionsAllowed = .max
    let kept = try rig.leftovers()
    #expect(kept.count == 1)
    // The minute run reads nothing of it, and keeps the part.
    #expect(try rig.fetch().counts == TransferCounts())
    #expect(try rig.leftovers() == kept)

    let before = rig.server.statistics.bytesRead
    let report = try rig.fetch(.comprehensive)
    #expect(report.counts.proven >= 1 && report.counts.fetched == 0 && report.counts.resumedBytes > 16 << 20)
    #expect(rig.server.statistics.bytesRead - before < 24 << 20)
    #expect(try unproven(rig) == 0 && rig.leftovers().isEmpty)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: rig.directory.path + "/state").allSatisfy {
        !$0.hasPrefix("partial")
      })
  }

  @Test func anAdoptionThatWasCutOffGoesOn() throws {
    let rig = try rig(files: 30)
    shift(rig, 0..<15)
    // As a run leaves it that was killed between two batches of records.
    do {
      let volume = try StagingVolume.open(
        path: rig.directory.path, source: nil, runStart: RunStart(command: "fetch", version: "0"))
      let known = volume.journal.withState { state in
        (0..<15).map { state.paths[try! RemotePath(Self.name($0))]!.generation }
      }
      try volume.journal.append(
        known.enumerated().map {
          .touched(path: try RemotePath(Self.name($0.offset)), generation: $0.element, mtime: Self.before + 3_600)
        })
    }
    shift(rig, 15..<30)
    let report = try rig.fetch()
    #expect(report.touched == 15 && report.counts.fetched == 0)
    for number in 0..<30 { #expect(try rig.stagedTime(Self.name(number)) == Int(Self.before) + 3_600) }
  }

  @Test func aRunReadsABoundedPartInOrder() throws {
    func plan(_ sizes: [UInt64], limit: UInt64, failed: Set<Int> = []) throws -> [String] {
      var plan = ProvingPlan(maximumBytes: limit)
      for (index, size) in sizes.enumerated().reversed() {
        plan.add(FetchPlan.Item(path: try RemotePath("\(index)"), fingerprint: Fingerprint(size: size, mtime: 1)))
      }
      return plan.items { path in failed.contains(Int(path.description)!) }.map(\.path.description)
    }
    #expect(try plan([4, 3, 3, 1], limit: 10) == ["0", "1", "2"])
    #expect(try plan([11, 1], limit: 10) == ["0"], "a file over the limit is read alone")
    #expect(try plan([1, 11, 1], limit: 10) == ["0"])
    #expect(try plan([4, 3, 3], limit: 10, failed: [0]) == ["1", "2", "0"])
    #expect(try plan([4, 3, 3], limit: 0) == [])
  }

  @Test func aListingThatContradictsItselfIsNoShift() throws {
    let rig = try rig(files: 20)
    let listing = RemoteListing(selection: Selection(excludeDefaults: true))
    for number in 0..<20 {
      let path = try RemotePath(Self.name(number))
      let file = ListedFile(name: Array(path.name), fingerprint: Fingerprint(size: 3, mtime: Self.before + 3_600))
      listing.found([file], in: path.parent)
    }
    let wall = Int64(Self.before) + 10 * Self.day
    #expect(UniformShift(listing, try rig.state, wallSeconds: wall)?.seconds == 3_600)
    listing.listedDirectory(try RemotePath(Self.name(0)))
    #expect(UniformShift(listing, try rig.state, wallSeconds: wall) == nil)
  }
}
