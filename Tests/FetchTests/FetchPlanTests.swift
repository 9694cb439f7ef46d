internal import Common
internal import SFTP
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

@Suite struct FetchPlanTests {
  static let print = Fingerprint(size: 3, mtime: 100)
  static let other = Fingerprint(size: 3, mtime: 99)

  private static func known(gone: Bool = false, drifted: Bool = false, dropped: Bool = false) -> PathState {
    var state = PathState()
    state.generation = 1
    state.fingerprint = print
    state.isGone = gone
    state.hasDrifted = drifted
    state.isDropped = dropped
    return state
  }

  private static func seen(_ print: Fingerprint, at since: Int64) -> Observations.Sighting {
    Observations.Sighting(fingerprint: print, sinceBootMilliseconds: since)
  }

  struct Row: Sendable {
    var remote: RemoteView
    var known: PathState?
    var sighting: Observations.Sighting?
    var wasAbsent = false
    var settle: Int64 = 45_000
    var expected: FetchDecision
  }

  /// The truth table, at 100 s after boot.
  @Test(arguments: [
    Row(remote: .file(print), known: known(), expected: .nothing),
    Row(remote: .file(print), known: known(drifted: true), expected: .fetch),
    Row(remote: .file(print), known: known(dropped: true), expected: .nothing),
    Row(remote: .file(print), known: known(gone: true), expected: .observe),
    Row(remote: .file(print), known: known(gone: true), sighting: seen(print, at: 1_000), expected: .fetch),
    Row(remote: .file(print), expected: .observe),
    Row(remote: .file(print), sighting: seen(print, at: 55_000), expected: .fetch),
    Row(remote: .file(print), sighting: seen(print, at: 55_001), expected: .observe),
    Row(remote: .file(print), sighting: seen(other, at: 1_000), expected: .observe),
    Row(remote: .file(print), settle: 0, expected: .fetch),
    Row(remote: .file(other), known: known(), expected: .observe),
    Row(remote: .file(other), known: known(), sighting: seen(other, at: 1_000), expected: .fetch),
    Row(remote: .absent, known: known(), expected: .observeAbsence),
    Row(remote: .absent, known: known(), wasAbsent: true, expected: .gone),
    Row(remote: .absent, known: known(gone: true), wasAbsent: true, expected: .nothing),
    Row(remote: .absent, wasAbsent: true, expected: .nothing),
    Row(remote: .unknown, known: known(), wasAbsent: true, expected: .nothing),
    Row(remote: .skipped, known: known(), wasAbsent: true, expected: .nothing),
    Row(remote: .unknown, expected: .nothing), Row(remote: .skipped, expected: .nothing),
  ])
  func decision(row: Row) {
    #expect(
      decideFetch(
        remote: row.remote, known: row.known, sighting: row.sighting, wasAbsent: row.wasAbsent,
        nowMilliseconds: 100_000, settleMilliseconds: row.settle) == row.expected)
  }

  private func listing(_ build: (RemoteListing) throws -> Void) rethrows -> RemoteListing {
    let listing = RemoteListing(selection: Selection(excludeDefaults: true))
    try build(listing)
    return listing
  }

  /// A fold with these paths fetched as generations 1, 2 …; `published` of them are in the destination.
  private func state(_ paths: [String], published: Set<String> = []) throws -> MirrorState {
    var state = MirrorState()
    for (index, text) in paths.enumerated() {
      let path = try RemotePath(text)
      let seq = UInt64(index) + 1
      let fetched = JournalEntry.fetched(
        FetchedFile(path: path, fingerprint: Self.print, sha256: .of([1]), temporary: "t"))
      state.apply(JournalRecord(seq: seq, wallMilliseconds: 0, run: "r", batch: seq, entry: fetched))
      guard published.contains(text) else { continue }
      let entry = JournalEntry.published(
        PublishedObject(
          path: path, generation: seq, destination: Self.destination.description, bytesSent: 3, sha256: .of([1]),
          md5: MD5Digest(bytes: [UInt8](repeating: 0, count: 16))!))
      state.apply(JournalRecord(seq: 100 + seq, wallMilliseconds: 0, run: "r", batch: seq, entry: entry))
    }
    return state
  }

  private static let destination = try! Destination(endpoint: Endpoint(parsing: "http://s3"), bucket: "bkt", folder: "")

  private func plan(_ listing: RemoteListing, _ state: MirrorState, _ observations: Observations = .init()) -> FetchPlan
  {
    FetchPlan(
      listing: listing, state: state, observations: observations, destination: Self.destination,
      nowMilliseconds: 100_000, settleMilliseconds: 0)
  }

  private func missing(_ path: String) -> SFTPError {
    SFTPError(code: "permission-denied", operation: "list", subject: path, reason: "no", severity: .item)
  }

  @Test func whatIsUnderAnUnknownDirectoryIsNotAbsent() throws {
    let listing = try listing {
      $0.listedDirectory(nil)
      $0.unknownDirectory(try RemotePath("locked"), missing("locked"))
      $0.listedDirectory(try RemotePath("open"))
      $0.skipped(directory: nil, name: Array("link".utf8), reason: .symlink)
    }
    let views = try ["locked/a", "locked/b/c", "locked", "open/a", "vanished/x", "top", "link", "link/below", "x.part"]
      .map { listing.viewOfMissing(try RemotePath($0)) }
    #expect(
      views == [.unknown, .unknown, .unknown, .absent, .absent, .absent, .skipped, .skipped, .skipped])
    let all = try state(["locked/a", "open/a"])
    let first = plan(listing, all)
    #expect(first.observations.absent == [try RemotePath("open/a")])
    #expect(plan(listing, all, first.observations).gone.map(\.path) == [try RemotePath("open/a")])
  }

  @Test func anUnknownRootSaysNothingOfAnything() throws {
    let listing = listing { $0.unknownDirectory(nil, missing("/")) }
    #expect(plan(listing, try state(["a", "b/c"])).observations.absent.isEmpty)
  }

  @Test func aNewPathWaitsUntilWhatItReplacesIsPublished() throws {
    // a/x was a file under the directory a; now a is a file.
    let file = try listing {
      $0.listedDirectory(nil)
      $0.file(try RemotePath("a"), Self.print)
    }
    let waiting = plan(file, try state(["a/x", "a/y/z"], published: ["a/x"]))
    #expect(waiting.blocked == [try RemotePath("a")] && waiting.fetch.isEmpty && waiting.drop.isEmpty)
    let free = plan(file, try state(["a/x", "a/y/z"], published: ["a/x", "a/y/z"]))
    #expect(free.blocked.isEmpty)
    #expect(free.fetch.map(\.path) == [try RemotePath("a")])
    #expect(free.drop.map(\.path) == [try RemotePath("a/x"), try RemotePath("a/y/z")])

    // And the other way round.
    let directory = try listing {
      $0.listedDirectory(nil)
      $0.listedDirectory(try RemotePath("b"))
      $0.file(try RemotePath("b/new"), Self.print)
    }
    #expect(plan(directory, try state(["b"])).blocked == [try RemotePath("b/new")])
    #expect(plan(directory, try state(["b"], published: ["b"])).drop.map(\.path) == [try RemotePath("b")])
  }

  @Test func nothingStagedIsDroppedWhileItsDirectoryIsUnknown() throws {
    // A confused server shows a as a file and as a directory that cannot be listed.
    let listing = try listing {
      $0.listedDirectory(nil)
      $0.file(try RemotePath("a"), Self.print)
      $0.unknownDirectory(try RemotePath("a"), missing("a"))
    }
    let plan = plan(listing, try state(["a/x"], published: ["a/x"]))
    #expect(plan.drop.isEmpty)
    #expect(plan.contradictory == [try RemotePath("a")])
  }

  @Test func whatIsFileAndDirectoryAtOnceIsNotBelieved() throws {
    let listing = try listing {
      $0.listedDirectory(nil)
      $0.file(try RemotePath("a"), Self.other)
      $0.file(try RemotePath("c"), Self.print)
      $0.listedDirectory(try RemotePath("a"))
      $0.file(try RemotePath("a/b"), Self.print)
    }
    for state in [MirrorState(), try state(["a"], published: ["a"]), try state(["a/b"], published: ["a/b"])] {
      let plan = plan(listing, state)
      #expect(plan.fetch.map(\.path.description) == ["c"])
      #expect(plan.drop.isEmpty)
      #expect(plan.contradictory.contains(try RemotePath("a")))
    }
  }

  @Test func whatFailedBeforeComesLast() throws {
    var state = MirrorState()
    let failed = FailedItem(phase: .fetch, path: try RemotePath("a"), code: "permission-denied", message: "m")
    state.apply(JournalRecord(seq: 1, wallMilliseconds: 0, run: "r", batch: 1, entry: .failed(failed)))
    let listing = try listing {
      for name in ["a", "b", "c"] { $0.file(try RemotePath(name), Self.print) }
      $0.listedDirectory(nil)
    }
    #expect(plan(listing, state).fetch.map(\.path.description) == ["b", "c", "a"])
  }

  @Test(arguments: [
    ("a.part", true), ("a.filepart", true), ("b/a.partial", true), ("a.tmp", true), (".in.a", true),
    ("part", false), ("a.parts", false), ("a.tmp/b", false), ("in.a", false),
  ])
  func defaultExclusion(name: String, excluded: Bool) throws {
    let path = try RemotePath(name)
    let selector = PathSelector(Selection(excludeDefaults: true))
    #expect(selector.takes(path) == !excluded && selector.enters(path) == !excluded)
    #expect(PathSelector(Selection(excludeDefaults: false)).takes(path))
  }

  @Test func aFileThatKeepsChangingRemembersSinceWhen() throws {
    let path = try RemotePath("a")
    let listing = listing {
      $0.file(path, Self.other)
      $0.listedDirectory(nil)
    }
    let before = Observations(unsettled: [
      path: Observations.Sighting(
        fingerprint: Self.print, sinceBootMilliseconds: 90_000, unsettledSinceBootMilliseconds: 5_000)
    ])
    let plan = FetchPlan(
      listing: listing, state: MirrorState(), observations: before, destination: nil, nowMilliseconds: 100_000,
      settleMilliseconds: 45_000)
    #expect(plan.observations.unsettled[path]?.sinceBootMilliseconds == 100_000)
    #expect(plan.observations.unsettled[path]?.unsettledSinceBootMilliseconds == 5_000)
    #expect(plan.nextDueMilliseconds == 145_000)
  }

  /// A volume whose journal knows these paths; `body` is given listings made with it.
  private func withJournal(_ paths: [String], _ body: (Journal, () -> RemoteListing) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    let volume = try StagingVolume.open(
      path: directory.path, source: VolumeSource(host: "h", port: 22, user: "u", folder: "/in"),
      runStart: RunStart(command: "fetch", version: "0"))
    try volume.bind()
    try volume.journal.append(
      paths.map {
        .fetched(FetchedFile(path: try RemotePath($0), fingerprint: Self.print, sha256: .of([1]), temporary: "t"))
      })
    try body(volume.journal) {
      RemoteListing(selection: Selection(excludeDefaults: true), journal: volume.journal)
    }
  }

  @Test func ofWhatIsStagedAListingKeepsOnlyAMark() throws {
    try withJournal(["a", "d/b", "d/c", "d/lost", "e/x"]) { journal, makeListing in
      let listing = makeListing()
      listing.file(try RemotePath("a"), Self.print)
      // Listed twice by a confused server.
      listing.file(try RemotePath("a"), Self.print)
      listing.found(
        ["b", "c", "new"].map {
          ListedFile(name: Array($0.utf8), fingerprint: $0 == "c" ? Self.other : Self.print)
        }, in: try RemotePath("d"))
      listing.listedDirectory(nil)
      listing.listedDirectory(try RemotePath("d"))
      listing.unknownDirectory(try RemotePath("e"), missing("e"))
      #expect(listing.stagedCount == 2)
      #expect(listing.files.map(\.path.description) == ["d/c", "d/new"])
      let lost = try RemotePath("d/lost")
      journal.withState { state in
        let first = plan(listing, state)
        #expect(first.unchanged == 2)
        #expect(first.fetch.map(\.path.description) == ["d/c", "d/new"])
        #expect(first.observations.absent == [lost])
        #expect(plan(listing, state, first.observations).gone.map(\.path) == [lost])
      }
    }
  }

  @Test func whatIsStagedAsAFileAndListedAsADirectoryIsNotBelieved() throws {
    try withJournal(["a"]) { journal, makeListing in
      let listing = makeListing()
      listing.file(try RemotePath("a"), Self.print)
      listing.listedDirectory(nil)
      listing.file(try RemotePath("a/b"), Self.print)
      listing.listedDirectory(try RemotePath("a"))
      let contradictory = try RemotePath("a/b")
      journal.withState { state in
        let plan = plan(listing, state)
        #expect(plan.fetch.isEmpty && plan.drop.isEmpty)
        #expect(plan.contradictory == [contradictory])
      }
    }
  }

  @Test func ofANameListedTwiceTheLastCounts() throws {
    let listing = try listing {
      $0.file(try RemotePath("a"), Self.other)
      $0.file(try RemotePath("a"), Self.print)
      $0.listedDirectory(nil)
    }
    #expect(plan(listing, MirrorState()).fetch.map(\.fingerprint) == [Self.print])
  }
}

extension RemoteListing {
  fileprivate func file(_ path: RemotePath, _ fingerprint: Fingerprint) {
    found([ListedFile(name: Array(path.name), fingerprint: fingerprint)], in: path.parent)
  }
}
