import Common
import Glibc
import TestSupport
import Testing

/// The program against every real server there is: all traps of the fixtures, through log-in, listing and reading, into
/// the staging volume.
@Suite struct ServerTests {
  typealias Program = RealSFTPServer.Program

  private func environment(
    _ server: RealSFTPServer, staging: String, by credential: RealSFTPServer.Credential
  ) throws -> [String: String] {
    [
      "SFTP_HOST": server.host, "SFTP_PORT": "\(server.port)", "SFTP_USER": server.user,
      credential == .key ? "SFTP_KEY_FILE" : "SFTP_PASS": credential == .key ? server.keyFile : server.password,
      "SFTP_HOST_KEY": try server.hostKeyFingerprint(), "SFTP_FOLDER_NAME": server.folder, "STAGING_DIR": staging,
      "SETTLE_SECONDS": "0", "STAGING_MIN_FREE": "1",
    ]
  }

  /// files/ holds what the server shows, byte for byte and with its times.
  private func expectStaged(_ server: RealSFTPServer, in staging: String) throws {
    let source = try walk(server.served).filter { $0.value.kind == .file && !$0.key.ends(with: Array(".part".utf8)) }
    let staged = try walk(staging + "/files").filter { $0.value.kind == .file }
    #expect(Set(staged.keys) == Set(source.keys.map(server.program.shown)))
    for (path, entry) in source {
      let shown = server.program.shown(path)
      #expect(staged[shown] == entry, "\(escaped(path))")
      let digest = try digest(ofFile: Array("\(server.served)/".utf8) + path)
      #expect(try TestSupport.digest(ofFile: Array("\(staging)/files/".utf8) + shown) == digest, "\(escaped(path))")
    }
  }

  @Test(arguments: Program.allCases) func fixturesAreStagedByteForByteAndOnce(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    let made = try Child.run(["\(packagePath)/fixtures/make-traps.sh", server.served])
    try #require(made.exitCode == 0, "\(made.stderr)")
    let home = try TemporaryDirectory()
    let first = try Binary.run(["fetch"], environment: environment(server, staging: home.path, by: .key))
    #expect(first.exitCode == 0, "\(first.stderr)\n\(server.log)")
    #expect(errorLines(first.stderr).isEmpty)
    #expect(first.stderr.contains("7 skipped: kinds/") == program.showsLinks, "\(first.stderr)")
    try expectStaged(server, in: home.path)

    let journal = try treeDigest(of: home.path + "/journal")
    let credential = program.takesPasswords ? RealSFTPServer.Credential.password : .key
    let again = try Binary.run(["fetch"], environment: environment(server, staging: home.path, by: credential))
    #expect(again.exitCode == 0 && again.stderr.contains("fetch: 0 fetched"), "\(again.stderr)")
    #expect(try treeDigest(of: home.path + "/journal") == journal, "the journal was written to")
  }

  @Test("control characters in names forge no log line")
  func forgedLogLines() throws {
    let server = try RealSFTPServer(.openSSH)
    let forged = "2026-01-01T00:00:00.000Z error   fetch: everything is lost code=forged"
    for name in ["a\n\(forged)", "b\r\(forged)", "c\u{1b}[2J\u{1b}[H\(forged)", "d\u{2028}\(forged)"] {
      try writeFile("\(server.served)/\(name)", "1")
      chmod("\(server.served)/\(name)", 0)
    }
    let home = try TemporaryDirectory()
    let outcome = try Binary.run(["fetch"], environment: environment(server, staging: home.path, by: .key))
    #expect(outcome.exitCode == ExitCode.partial.rawValue)
    #expect(outcome.stderr.contains("4 failed") && outcome.stderr.contains("everything is lost"))
    #expect(errorLines(outcome.stderr).allSatisfy { $0.contains("cannot fetch a file") }, "\(outcome.stderr)")
    let control = outcome.stderr.unicodeScalars.filter { $0.value < 0x20 && $0 != "\n" || $0.value == 0x2028 }
    #expect(control.isEmpty, "\(control)")
  }

  @Test(
    "strict servers: the whole way over the one connection that is allowed, said once",
    arguments: [Program.openSSH, .asyncssh, .proFTPD])
  func oneConnectionIsAllowed(_ program: Program) throws {
    let server = try RealSFTPServer(program, connections: 1)
    for number in 0..<2_000 { try writeFile("\(server.served)/\(number % 7)/\(number)", "\(number)", mtime: number) }
    let home = try TemporaryDirectory()
    var environment = try environment(server, staging: home.path, by: .key)
    environment["SFTP_CONNECTIONS"] = "4"
    environment["SFTP_FILES_IN_FLIGHT"] = "1"
    let outcome = try Binary.run(["fetch"], environment: environment)
    #expect(outcome.exitCode == 0, "\(outcome.stderr)\n\(server.log)")
    #expect(outcome.stderr.components(of: "going on with fewer connections") == 1, "\(outcome.stderr)")
    try expectStaged(server, in: home.path)
  }
}

extension String {
  /// How often it has these words.
  fileprivate func components(of words: String) -> Int {
    split(whereSeparator: \.isNewline).count { $0.contains(words) }
  }
}

extension Array where Element == UInt8 {
  fileprivate func ends(with suffix: [UInt8]) -> Bool { self.suffix(suffix.count).elementsEqual(suffix) }
}
