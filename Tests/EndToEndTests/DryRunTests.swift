import Common
import Foundation
import TestSupport
import Testing

/// `--dry-run` says what a run would do, and leaves no trace.
@Suite struct DryRunTests {
  /// Everything below the staging directory, names, times and bytes.
  private func trace(_ rig: Rig) throws -> [[UInt8]: [String]] {
    var found: [[UInt8]: [String]] = [:]
    for (path, entry) in try walk(rig.staging) {
      let full = Array("\(rig.staging)/".utf8) + path
      found[path] = ["\(entry)", entry.kind == .file ? try digest(ofFile: full).hex : ""]
    }
    return found
  }

  private func lines(_ outcome: Child.Outcome) -> [String] { outcome.stdout.split(separator: "\n").map(String.init) }

  @Test func anEmptyVolumeStaysEmpty() throws {
    let rig = try Rig()
    try rig.serve("a.txt", "one")
    try rig.serve("d/b.txt", "two")
    for command in ["fetch", "sync", "full-sync"] {
      let outcome = try rig.run(command, "-n", changing: ["SETTLE_SECONDS": "45"])
      #expect(outcome.exitCode == 0, "\(outcome.stderr)")
      #expect(lines(outcome) == ["+ a.txt", "+ d/b.txt"])
      #expect(outcome.stderr.contains("2 new"))
    }
    #expect(try walk(rig.staging).isEmpty)
    #expect(rig.s3.counts.connections == 0)
  }

  @Test func aVolumeInUseIsComparedAndLeftAsItIs() throws {
    let rig = try Rig()
    for name in ["same", "changed", "gone"] { try rig.serve(name, "content of \(name)") }
    try rig.sync()
    try rig.serve("changed", "other content")
    try rig.serve("new", "n")
    removeTree(rig.served + "/gone")
    try rig.serve("late", "staged, not sent")
    try rig.run("fetch", "--include", "late")
    let before = try trace(rig)
    let requests = rig.s3.counts
    let fetch = try rig.run("fetch", "--dry-run", "--exclude", "same")
    #expect(lines(fetch) == ["* changed", "- gone", "= late", "+ new"])
    let sync = try rig.run("sync", "--dry-run", "--json")
    let objects = try lines(sync).map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
    #expect(objects.map { "\($0.mark) \($0.path)" } == ["* changed", "- gone", "= late", "+ new", "= same", "> late"])
    #expect(objects[0].state == "changed" && objects[0].size == 13 && objects[5].state == "pending")
    let young = try rig.run("fetch", "-n", changing: ["SETTLE_SECONDS": "45", "DRY_RUN": "1"])
    #expect(lines(young) == ["~ changed", "- gone", "= late", "~ new", "= same"])
    #expect(lines(try rig.run("publish", changing: ["DRY_RUN": "1"])) == ["> late"])
    #expect(try trace(rig) == before)
    #expect(rig.s3.counts == requests)
  }

  @Test func itRefusesWhatARunWouldRefuse() throws {
    let rig = try Rig()
    try rig.serve("a", "1")
    try rig.sync()
    let before = try trace(rig)
    #expect(try rig.run("fetch", "-n", changing: ["SFTP_FOLDER_NAME": rig.home.path]).exitCode == 2)
    #expect(try rig.run("fetch", "-n", changing: ["SFTP_PORT": "1", "REBIND": "1"]).exitCode == 5)
    #expect(try rig.run("fetch", "-n", changing: ["STAGING_DIR": "/nonexistent"]).exitCode == 2)
    #expect(try rig.run("fetch", "--json").exitCode == 2)
    #expect(try trace(rig) == before)
  }

  private struct Line: Decodable {
    let path: String
    let mark: String
    let state: String
    let size: Int?
  }
}
