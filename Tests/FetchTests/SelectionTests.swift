internal import Common
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

/// Filters and markers: what they leave out is as if it were out of sight, never as if it were gone.
@Suite struct SelectionTests {
  private static func counts(_ rig: FetchRig) throws -> (gone: Int, fetched: Int) {
    let operations = try rig.operations()
    return (operations.count { $0 == "gone" }, operations.count { $0 == "fetched" })
  }

  @Test func onlyWhatTheFilterTakesIsFetched() throws {
    let rig = try FetchRig(["a.csv": "1", "b.txt": "2", "d/c.csv": "3", "d/e/f.csv": "4", "x/y.csv": "5"])
    rig.variables = ["INCLUDE": "*.csv", "EXCLUDE": "d/e/"]
    let report = try rig.fetch()
    #expect(report.counts.fetched == 4)
    // Included first: as in rclone, what INCLUDE takes EXCLUDE does not leave out.
    #expect(try rig.stagedTree().keys.contains("d/e/f.csv"))
    #expect(report.excluded == 1)
    #expect(report.summary(clock: .system).contains("1 excluded"))
  }

  @Test func aDirectoryThatHoldsNothingWantedIsNotListed() throws {
    let rig = try FetchRig(["in/a": "1", "archive/2020/b": "2", "archive/c": "3"])
    rig.variables = ["EXCLUDE": "/archive/**"]
    rig.refuse("archive")
    let report = try rig.fetch()
    #expect(report.exitCode == .done, "\(report.unknown)")
    #expect(try rig.stagedTree() == ["in/a": "1"])
  }

  @Test(
    "what is no longer taken stays staged and is never gone, though the remote deletes it",
    arguments: [
      ["EXCLUDE": "*.csv"], ["EXCLUDE": "/d/"], ["INCLUDE": "other"], ["DONE_SUFFIX": ".done"],
      ["EXCLUDE": "/d/**\n/a.csv"],
    ])
  func excludedIsNotGone(variables: [String: String]) throws {
    let rig = try FetchRig(["a.csv": "1", "d/b.csv": "2", "d/e/c.csv": "3"])
    try rig.fetch()
    rig.variables = variables
    for _ in 0..<3 {
      let report = try rig.fetch()
      #expect(report.exitCode == .done && report.gone == 0 && report.counts.fetched == 0)
    }
    let hidden = ["a.csv", "d/b.csv", "d/e/c.csv"].filter { path in
      let selector = rig.selector
      let path = try! RemotePath(path)
      return !selector.takes(path) || path.ancestors.contains { !selector.enters($0) }
    }
    // With a marker wanted, a deleted file is gone: its name is not there.
    for path in hidden { rig.set(path, nil) }
    for _ in 0..<3 { #expect(try rig.fetch().gone == 0) }
    #expect(try Self.counts(rig) == (0, 3))
    #expect(try rig.stagedTree().count >= 3)
    // And with the filter gone, what the remote has deleted meanwhile is.
    rig.variables = [:]
    for _ in 0..<2 { try rig.fetch() }
    #expect(try Self.counts(rig).gone == hidden.count)
  }

  @Test func anExcludedFileThatChangesIsTakenWhenTheFilterLetsItAgain() throws {
    let rig = try FetchRig(["a": "old"])
    try rig.fetch()
    rig.set("a", "newer")
    rig.variables = ["EXCLUDE": "a"]
    #expect(try rig.fetch().counts.fetched == 0)
    #expect(rig.staged("a") == "old")
    rig.variables = [:]
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("a") == "newer")
  }

  @Test func aFileWaitsForItsMarker() throws {
    let rig = try FetchRig(["a": "1", "b": "2", "b.ok": "", "d/a.ok": "", "d/c": "3", "e.ok": ""])
    rig.variables = ["DONE_SUFFIX": ".ok"]
    let report = try rig.fetch()
    #expect(try rig.stagedTree() == ["b": "2"])
    #expect(report.waitingForMarker == 2 && report.excluded == 3)
    #expect(report.summary(clock: .system).contains("2 waiting for their marker"))
    rig.set("d/c.ok", "")
    #expect(try rig.fetch().counts.fetched == 1)
    #expect(rig.staged("d/c") == "3" && rig.staged("d/c.ok") == nil)
  }

  @Test func aMarkedFileStillSettles() throws {
    let rig = try FetchRig(["b": "2", "b.ok": "", "first": "", "first.ok": ""], tick: 5_000)
    rig.variables = ["DONE_SUFFIX": ".ok"]
    try rig.fetch(settle: 45)
    let next = FetchRig.again(rig, tick: 0)
    next.variables = rig.variables
    next.set("c", "3")
    next.set("c.ok", "")
    #expect(try next.fetch(settle: 45).waiting == 1)
    next.passTime(seconds: 50)
    #expect(try next.fetch(settle: 45).counts.fetched == 1)
  }

  @Test func aStagedFileWhoseMarkerIsTakenAwayStaysAndIsNotFetchedAnew() throws {
    let rig = try FetchRig(["b": "2", "b.ok": ""])
    rig.variables = ["DONE_SUFFIX": ".ok"]
    try rig.fetch()
    rig.set("b.ok", nil)
    rig.set("b", "changed")
    for _ in 0..<3 { #expect(try rig.fetch().gone == 0) }
    #expect(rig.staged("b") == "2")
    // The file itself deleted: gone, as ever.
    rig.set("b", nil)
    for _ in 0..<2 { try rig.fetch() }
    #expect(try rig.operations().contains("gone"))
  }

  @Test func uploadsUnderWayStayOutWhateverIsIncluded() throws {
    let rig = try FetchRig(["a.tmp": "1", "b": "2"])
    rig.variables = ["INCLUDE": "*"]
    try rig.fetch()
    #expect(try rig.stagedTree() == ["b": "2"])
    rig.variables = ["INCLUDE": "*", "EXCLUDE_DEFAULTS": "0"]
    try rig.fetch()
    #expect(try rig.stagedTree() == ["a.tmp": "1", "b": "2"])
  }
}
