internal import Common
internal import Foundation
internal import Logging
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Mirror
@testable internal import Publish
@testable internal import Staging

@Suite struct RunBooksTests {
  private static let logger: Logger = {
    var logger = Logger(label: "mirror-tests")
    logger.logLevel = .critical
    return logger
  }()

  private func openVolume(_ directory: TemporaryDirectory) throws -> StagingVolume {
    try StagingVolume.open(
      path: directory.path, source: VolumeSource(host: "h", port: 22, user: "u", folder: "f"),
      runStart: RunStart(command: "sync", version: "0"))
  }

  private func status(_ directory: TemporaryDirectory) throws -> StatusReport {
    let content = try Data(contentsOf: URL(filePath: directory.path + "/status.json"))
    return try #require(decodeJSON(StatusReport.self, Array(content)))
  }

  @Test func aPhaseThatAStopKeptFromBeginningIsNoSuccess() throws {
    let directory = try TemporaryDirectory()
    var books = RunBooks(volume: try openVolume(directory), destination: nil)
    books.note(FetchReport(startedMonotonicSeconds: 0), startedMilliseconds: 0)
    books.noteSkippedPhase()
    #expect(books.close(runMilliseconds: 1, logger: Self.logger) == .temporary)
  }

  @Test func aJournalThatBreaksStillLeavesATrueStatus() throws {
    let directory = try TemporaryDirectory()
    let volume = try openVolume(directory)
    try volume.bind()
    // Someone else writes to the journal: every append fails from here on.
    let segment = directory.path + "/journal/00000001.jsonl"
    let handle = try #require(FileHandle(forWritingAtPath: segment))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data("x\n".utf8))
    var fetched = FetchReport(startedMonotonicSeconds: 0)
    fetched.failure = PhaseFailure(code: "no", operation: "fetch", reason: "down", severity: .temporary)
    var books = RunBooks(volume: volume, destination: nil)
    books.note(fetched, startedMilliseconds: 0)
    books.note(PublishReport(), startedMilliseconds: 0)
    #expect(books.close(runMilliseconds: 1, logger: Self.logger) == .fatal, "a second writer")
    #expect(try status(directory).fetch?.exitCode == ExitCode.temporary.rawValue)
    #expect(try status(directory).fetch?.lastSuccess == nil)
    #expect(try status(directory).publish?.lastSuccess != nil)
  }

  /// What health calls a success.
  @Test func aPhaseInWhichEverythingFailsIsNoSuccess() {
    var fetch = FetchReport(startedMonotonicSeconds: 0)
    #expect(fetch.isSuccess)
    fetch.counts.failed = 2
    #expect(!fetch.isSuccess)
    fetch.unchanged = 1
    #expect(fetch.isSuccess)
    fetch.hasRoot = false
    #expect(!fetch.isSuccess)
    var publish = PublishReport()
    #expect(publish.isSuccess)
    publish.failed = 1
    #expect(!publish.isSuccess)
    publish.withoutKey = 1
    #expect(publish.isSuccess)
    publish.drifted = 1
    #expect(!publish.isSuccess)
    publish.published = 1
    #expect(publish.isSuccess)
  }

  /// A first load that takes many runs of MAX_DURATION is healthy as long as each gets somewhere.
  @Test func aRunWhoseTimeIsOverIsASuccessWhenItGotSomewhere() {
    var fetch = FetchReport(startedMonotonicSeconds: 0)
    fetch.unchanged = 1
    fetch.failure = PhaseFailure.overtime("fetch")
    #expect(!fetch.isSuccess && fetch.exitCode == .temporary)
    fetch.counts.fetched = 1
    #expect(fetch.isSuccess && fetch.exitCode == .temporary)
    fetch.failure = PhaseFailure.stopped("fetch")
    #expect(!fetch.isSuccess)
    var publish = PublishReport()
    publish.failure = PhaseFailure.overtime("publish")
    #expect(!publish.isSuccess)
    publish.published = 1
    #expect(publish.isSuccess)
  }

  @Test func aRunWithoutAPhaseKeepsWhatIsKnownOfIt() throws {
    let directory = try TemporaryDirectory()
    for _ in 0..<2 {
      var books = RunBooks(volume: try openVolume(directory), destination: nil)
      books.note(FetchReport(startedMonotonicSeconds: 0), startedMilliseconds: 0)
      #expect(books.close(runMilliseconds: 1, logger: Self.logger) == .done)
    }
    var books = RunBooks(volume: try openVolume(directory), destination: nil)
    books.note(PublishReport(), startedMilliseconds: 0)
    _ = books.close(runMilliseconds: 1, logger: Self.logger)
    #expect(try status(directory).fetch?.exitCode == 0)
    #expect(try status(directory).publish?.exitCode == 0)
  }
}
