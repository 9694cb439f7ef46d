import Common
import Foundation
import SFTP
import TestSupport
import Testing

/// What fetch relies on, over the whole way, against every real server there is: transport, log-in, listing, reading.
@Suite struct ServerContractTests {
  typealias Program = RealSFTPServer.Program

  @Test(arguments: Program.allCases) func aKeyLogsIn(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    let connection = try server.connect(by: .key)
    #expect(connection.facts?.authenticationMethod == "publickey")
    #expect(try connection.attributes(server.root(connection)).kind == .directory)
    connection.close()
  }

  @Test(arguments: Program.allCases.filter(\.takesPasswords)) func aPasswordLogsIn(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    let connection = try server.connect(by: .password)
    #expect(connection.facts?.authenticationMethod == "password")
    #expect(try connection.attributes(server.root(connection)).kind == .directory)
    connection.close()
  }

  /// Content by path: empty, of one byte, large; a directory of many files; one below the other; names of any bytes.
  private static let tree: [[UInt8]: [UInt8]] = {
    var contents: [[UInt8]: [UInt8]] = [
      Array("large".utf8): pattern(8_000_000), Array("empty".utf8): [], Array("one".utf8): [7],
      Array("read".utf8): pattern(32_768), Array("näme €".utf8): pattern(33_000), [0xff, 0x0a, 0x41]: [1, 2, 3],
      Array("-rf *?[x]".utf8): [4], Array(" %20$(x)`'\"".utf8): [5],
    ]
    for number in 0..<1_050 { contents[Array("many/\(number)".utf8)] = pattern(number, seed: UInt64(number)) }
    let deep = (1...60).map { "\($0)" }.joined(separator: "/")
    contents[Array("\(deep)/bottom".utf8)] = [6]
    return contents
  }()

  @Test(arguments: Program.allCases) func aTreeArrivesAsItIs(_ program: Program) throws {
    try expectTree(from: RealSFTPServer(program), directories: 62)
  }

  @Test func aTreeArrivesWhileKeysAreExchangedAnew() throws {
    try expectTree(from: RealSFTPServer(.openSSH, extra: "RekeyLimit 1M"), directories: 62)
  }

  private func expectTree(from server: RealSFTPServer, directories: Int) throws {
    for (path, content) in Self.tree { try server.serve(path, content) }
    let connection = try server.connect()
    let (visitor, requests) = try server.list(connection)
    #expect(Set(visitor.files.keys.map(\.bytes)) == Set(Self.tree.keys.map(server.program.shown)))
    #expect(visitor.listed == directories)
    #expect(visitor.skipped.isEmpty && visitor.unknown.isEmpty)

    let handler = RecordingHandler(requests)
    try connection.download(handler, filesInFlight: 64)
    let byShownName = Dictionary(uniqueKeysWithValues: Self.tree.map { (server.program.shown($0), $1) })
    for (token, file) in visitor.paths.enumerated() {
      #expect(handler.isComplete(token), "\(file): \(String(describing: handler.outcomes[token]))")
      #expect(handler.bytes[token, default: []] == byShownName[file.bytes], "\(file)")
    }
    connection.close()
  }

  @Test(arguments: Program.allCases) func sizeAndTimeAreTold(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    let times: [UInt32] = [0, 1, 1_600_000_000, 2_147_483_647, 2_208_988_800]
    for time in times { try server.serve(Array("\(time)".utf8), pattern(Int(time % 1_000)), mtime: Int(time)) }
    let connection = try server.connect()
    let (visitor, _) = try server.list(connection)
    for time in times {
      let path = try RemotePath("\(time)")
      #expect(visitor.files[path] == Fingerprint(size: UInt64(time % 1_000), mtime: time))
    }
    connection.close()
  }

  @Test("a file that is forbidden, gone or none does not poison the others", arguments: Program.allCases)
  func refusalsConcernOneFile(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    for number in 0..<100 { try server.serve(Array("\(number)".utf8), pattern(1_000, seed: UInt64(number))) }
    let connection = try server.connect()
    let (visitor, requests) = try server.list(connection)
    let paths = visitor.paths.map(\.description)
    #expect(paths.count == 100)
    for (name, change) in [("7", "forbidden"), ("8", "gone"), ("9", "directory")] {
      let path = server.served + "/" + name
      switch change {
      case "forbidden": chmod(path, 0)
      case "gone": unlink(path)
      default:
        unlink(path)
        mkdir(path, 0o755)
      }
    }
    let handler = RecordingHandler(requests)
    try connection.download(handler, filesInFlight: 32)
    for (token, path) in paths.enumerated() {
      let failure = handler.failure(token)
      switch path {
      case "7": #expect(failure?.code == "permission-denied" && failure?.severity == .item)
      case "8": #expect(failure?.code == "no-such-file" && failure?.severity == .item, "\(String(describing: failure))")
      case "9":
        // Some servers open a directory; then it is no file any more, or cannot be read.
        #expect(!handler.isComplete(token) && !handler.isAbandoned(token))
        if let failure { #expect(failure.severity == .item, "\(failure)") }
      default: #expect(handler.isComplete(token), "\(path): \(String(describing: handler.outcomes[token]))")
      }
    }
    connection.close()
  }

  @Test("one unreadable directory is unknown, and only that", arguments: Program.allCases)
  func anUnreadableDirectory(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    for name in ["open/a", "locked/b", "locked/c/d", "e"] { try server.serve(Array(name.utf8), [1]) }
    chmod(server.served + "/locked", 0)
    defer { chmod(server.served + "/locked", 0o755) }
    let connection = try server.connect()
    let (visitor, _) = try server.list(connection)
    #expect(visitor.paths.map(\.description).sorted() == ["e", "open/a"])
    if program.tellsOfUnreadableDirectories {
      #expect(visitor.unknown.map(\.key.description) == ["locked"])
      #expect(visitor.unknown.values.first?.code == "permission-denied")
      #expect(visitor.listed == 2)
    } else {
      #expect(visitor.unknown.isEmpty && visitor.listed == 3)
    }
    connection.close()
  }

  @Test(arguments: Program.allCases) func linksAreSkippedAndNeverFollowed(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    try server.serve(Array("directory/file".utf8), [1])
    for (name, target) in [
      ("file", "directory/file"), ("loop", "."), ("up", ".."), ("directory", "directory"), ("nowhere", "no such"),
      ("outside", "/etc/passwd"), ("itself", "link-itself"),
    ] {
      try makeSymlink(at: server.served + "/link-" + name, to: target)
    }
    mkfifo(server.served + "/pipe", 0o644)
    let connection = try server.connect()
    let (visitor, _) = try server.list(connection)
    #expect(visitor.paths.map(\.description) == ["directory/file"])
    #expect(visitor.listed == 2)
    #expect(visitor.skipped.filter { $0 == .symlink }.count == (program.showsLinks ? 7 : 0))
    #expect(visitor.skipped.filter { $0 == .special }.count == (program.showsLinks ? 1 : 0))
    connection.close()
  }

  @Test(arguments: Program.allCases) func aFileThatGrowsAfterTheListingHasChanged(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    try server.serve(Array("growing".utf8), pattern(40_000))
    try server.serve(Array("still".utf8), pattern(40_000))
    let connection = try server.connect()
    let (visitor, requests) = try server.list(connection)
    try server.serve(Array("growing".utf8), pattern(50_000), mtime: 1_700_000_060)
    let handler = RecordingHandler(requests)
    try connection.download(handler, filesInFlight: 8)
    for (token, path) in visitor.paths.enumerated() {
      if path.description == "still" {
        #expect(handler.isComplete(token))
      } else {
        #expect(handler.changeReason(token)?.hasPrefix("size is 50000, was 40000") == true)
      }
    }
    connection.close()
  }
}
