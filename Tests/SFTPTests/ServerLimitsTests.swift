import Common
import Foundation
import SFTP
import Synchronization
import TestSupport
import Testing

/// Several connections to real servers, and real servers that allow few.
@Suite struct ServerLimitsTests {
  typealias Program = RealSFTPServer.Program

  private static let fewer = "going on with fewer connections"

  private func fill(_ server: RealSFTPServer) throws {
    for number in 0..<600 {
      try server.serve(Array("d\(number % 40)/\(number)".utf8), pattern(2_000 + number, seed: UInt64(number)))
    }
  }

  /// Lists and downloads everything over at most three connections.
  /// - Parameter log: when given, the work is held up until it tells of fewer connections, else until there are three.
  /// - Returns: connections that were opened.
  private func expectAll(from server: RealSFTPServer, log: RecordingLog? = nil) throws -> Int {
    let logger = log?.logger ?? quietLogger
    let opened = Mutex(0)
    let settings = try server.settings(by: .key)
    let retry = RetryPolicy(maximumAttempts: 6, baseSeconds: 0.05, maximumSeconds: 0.5)
    let pool = try ConnectionPool(maximum: 3, stop: StopSignal(), logger: logger, retry: retry) {
      (stop) throws(SFTPError) in
      let connection = try SFTPConnection(settings, stop: stop, logger: logger)
      opened.withLock { $0 += 1 }
      return connection
    }
    defer { pool.close() }
    let root = try pool.ask { (connection) throws(SFTPError) in try connection.realPath(Array(server.folder.utf8)) }
    let visitor = PathVisitor()
    try pool.walk(root, visitor: visitor)
    #expect(visitor.files.count == 600)
    #expect(visitor.listed == 41 && visitor.unknown.isEmpty && visitor.skipped.isEmpty)
    let deadline = monotonicSeconds() + 20
    let handler = RecordingHandler(visitor.requests(under: root)) {
      while monotonicSeconds() < deadline {
        if let log {
          if !log.lines(with: Self.fewer).isEmpty { return }
        } else if opened.withLock({ $0 == 3 }) {
          return
        }
        usleep(10_000)
      }
    }
    try pool.download(handler, filesInFlight: 32, usefulConnections: 3)
    for (token, path) in visitor.paths.enumerated() {
      let number = Int(path.description.split(separator: "/")[1])!
      #expect(handler.isComplete(token), "\(path): \(String(describing: handler.outcomes[token]))")
      #expect(handler.bytes[token] == pattern(2_000 + number, seed: UInt64(number)), "\(path)")
    }
    #expect(handler.finishedTwice.isEmpty && handler.outcomes.count == 600)
    return opened.withLock { $0 }
  }

  @Test(arguments: Program.allCases) func severalConnectionsShareTheWork(_ program: Program) throws {
    let server = try RealSFTPServer(program)
    try fill(server)
    #expect(try expectAll(from: server) == 3)
  }

  @Test(
    "strict servers: one connection is enough, said once (rclone #1381)",
    arguments: [Program.openSSH, .asyncssh, .proFTPD])
  func oneConnectionIsAllowed(_ program: Program) throws {
    let server = try RealSFTPServer(program, connections: 1)
    try fill(server)
    let log = RecordingLog()
    #expect(try expectAll(from: server, log: log) == 1, "\(server.log)")
    let notices = log.lines(with: Self.fewer)
    #expect(notices.count == 1 && notices[0].contains("connections=1"), "\(notices)")
  }

  @Test("strict servers: one session a connection is enough")
  func oneSessionAConnection() throws {
    let server = try RealSFTPServer(.openSSH, extra: "MaxSessions 1")
    try fill(server)
    #expect(try expectAll(from: server) == 3)
  }

  @Test("strict servers: what the server says of its limit is passed on")
  func theServersWordsAreToldWhenItRefusesAConnection() throws {
    let server = try RealSFTPServer(.proFTPD, connections: 1)
    let first = try server.connect()
    let error = #expect(throws: SFTPError.self) { try server.connect() }
    #expect(error?.severity == .temporary)
    #expect(error?.reason.contains("Maximum connections for host/user reached") == true, "\(error?.reason ?? "")")
    first.close()
  }
}
