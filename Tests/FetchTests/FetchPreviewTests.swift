internal import Common
internal import SFTP
internal import TestSupport
internal import Testing

@testable internal import Fetch
@testable internal import Staging

@Suite struct FetchPreviewTests {
  private static let print = Fingerprint(size: 3, mtime: 7)
  private static let other = Fingerprint(size: 4, mtime: 7)

  private func state(_ paths: [String]) throws -> MirrorState {
    var state = MirrorState()
    for (index, path) in paths.enumerated() {
      let file = FetchedFile(path: try RemotePath(path), fingerprint: Self.print, sha256: .of([]), temporary: "t")
      state.apply(
        JournalRecord(seq: UInt64(index) + 1, wallMilliseconds: 0, run: "r", batch: 1, entry: .fetched(file)))
    }
    return state
  }

  private func marks(
    _ state: MirrorState, _ observations: Observations = Observations(), waits: Bool = false,
    _ build: (RemoteListing) throws -> Void
  ) throws -> (marks: [String], preview: FetchPreview) {
    let listing = RemoteListing(selection: Selection(excludeDefaults: true, doneSuffix: nil))
    try build(listing)
    let preview = FetchPreview(
      listing: listing, state: state, observations: observations, destination: nil, wallSeconds: 2_000_000_000,
      nowMilliseconds: 100_000,
      settleMilliseconds: 45_000, waitsForSettling: waits)
    return (preview.lines.map(\.text), preview)
  }

  private func file(_ name: String, _ fingerprint: Fingerprint) -> ListedFile {
    ListedFile(name: Array(name.utf8), fingerprint: fingerprint)
  }

  @Test func everyMark() throws {
    let known = try state(["same", "changed", "gone", "hidden/x", "out.tmp", "link"])
    let settled = Observations(unsettled: [
      try RemotePath("changed"): .init(fingerprint: Self.other, sinceBootMilliseconds: 50_000),
      try RemotePath("new"): .init(fingerprint: Self.print, sinceBootMilliseconds: 50_000),
    ])
    let (found, preview) = try marks(known, settled) {
      $0.found(
        [
          file("same", Self.print), file("changed", Self.other), file("new", Self.print), file("young", Self.print),
          file("upload.part", Self.print),
        ], in: nil)
      $0.skipped(directory: nil, name: Array("link".utf8), reason: .symlink)
      $0.listedDirectory(nil)
      $0.unknownDirectory(
        try RemotePath("hidden"),
        SFTPError(
          code: "timeout", operation: "list", subject: "", reason: "no answer", severity: .temporary))
    }
    #expect(found == ["* changed", "- gone", "! hidden/x", "+ new", "= same", "~ young"])
    #expect(preview.exitCode == ExitCode.partial)
    #expect(
      preview.summary.hasPrefix(
        "1 new, 1 changed, 1 same, 1 waiting, 1 gone from the remote, 1 unknown, 1 directories unknown: hidden"))
    #expect(preview.summary.hasSuffix("1 excluded, 1 skipped: link (symbolic link)"))
  }

  @Test func filesThatAreAnHourOffAreTheSame() throws {
    let names = (1...9).map { "f\($0)" }
    let shifted = Fingerprint(size: Self.print.size, mtime: Self.print.mtime + 3_600)
    let (found, _) = try marks(try state(names)) {
      $0.found(names.dropLast().map { file($0, shifted) } + [file("f9", Self.print)], in: nil)
      $0.listedDirectory(nil)
    }
    #expect(found == names.map { $0 == "f9" ? "= f9" : "~ \($0)" }, "eight of nine are less than 90 %")
    let (all, _) = try marks(try state(names)) {
      $0.found(names.map { file($0, shifted) }, in: nil)
      $0.listedDirectory(nil)
    }
    #expect(all == names.map { "= \($0)" })
  }

  @Test func aRunThatWaitsItselfFetchesWhatHasNotSettled() throws {
    let (found, preview) = try marks(MirrorState(), waits: true) {
      $0.found([file("young", Self.print)], in: nil)
      $0.listedDirectory(nil)
    }
    #expect(found == ["+ young"] && preview.exitCode == ExitCode.done)
  }

  @Test func contradictionsAreUnknownAndNamesAreShownEscaped() throws {
    let (found, preview) = try marks(MirrorState(), waits: true) {
      $0.found([file("a", Self.print), ListedFile(name: [0x0a, 0xff], fingerprint: Self.print)], in: nil)
      $0.listedDirectory(nil)
      $0.listedDirectory(try RemotePath("a"))
    }
    #expect(found == ["+ \\x0a\\xff", "! a"])
    #expect(preview.exitCode == ExitCode.partial)
    #expect(
      String(decoding: preview.lines[1].json, as: UTF8.self)
        == #"{"path":"a","mark":"!","state":"unknown","size":3,"mtime":7}"#)
  }
}
