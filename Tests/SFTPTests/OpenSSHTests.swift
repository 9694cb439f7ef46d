import Common
import Foundation
import SFTP
import Testing

/// The whole way over a real OpenSSH server: SSH transport, window, rekeying, pipelined listing and reading.
@Suite struct OpenSSHTests {
  private let keys: KeyRing

  init() throws {
    keys = try KeyRing()
    try keys.makeKey("host")
    try keys.makeKey("user")
    try keys.write("authorized_keys", keys.read("user.pub"))
  }

  private func connect(_ server: OpenSSHServer) throws -> SFTPConnection {
    try SFTPConnection(
      SFTPSettings(
        host: "127.0.0.1", port: server.port, user: server.user, password: nil, privateKey: Secret(keys.read("user")),
        privateKeyPassphrase: nil, hostKeyPolicy: .pins([try keys.fingerprint("host")]), timeoutSeconds: 60),
      stop: StopSignal(), logger: quietLogger)
  }

  /// Writes a file whose name may be any bytes.
  private func write(_ path: [UInt8], _ content: [UInt8]) throws {
    let descriptor = open(path.map { CChar(bitPattern: $0) } + [0], O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0,
      content.withUnsafeBytes({ Glibc.write(descriptor, $0.baseAddress, $0.count) }) == content.count
    else { throw ServerFault(description: "cannot write: errno \(errno)") }
    close(descriptor)
  }

  @Test(arguments: ["", "RekeyLimit 1M"])
  func aTreeArrivesAsItIs(_ configuration: String) throws {
    let server = try OpenSSHServer(keys, extra: configuration)
    let root = Array((keys.path + "/tree").utf8)
    var contents: [[UInt8]: [UInt8]] = [
      Array("large".utf8): pattern(8_000_000), Array("empty".utf8): [], [0xff, 0x0a, 0x5c]: [1, 2, 3],
      Array("näme €".utf8): pattern(33_000),
    ]
    for number in 0..<1_050 { contents[Array("many/\(number)".utf8)] = pattern(number, seed: UInt64(number)) }
    try FileManager.default.createDirectory(atPath: keys.path + "/tree/many", withIntermediateDirectories: true)
    symlink("/etc/passwd", keys.path + "/tree/link")
    for (name, content) in contents { try write(root + [slash] + name, content) }

    let connection = try connect(server)
    let absolute = try connection.realPath(root)
    let visitor = PathVisitor()
    try connection.walk(absolute, visitor: visitor)
    #expect(Set(visitor.files.keys.map(\.bytes)) == Set(contents.keys))
    #expect(visitor.listed == 2)
    #expect(visitor.skipped == 1)

    let found = Array(visitor.files)
    let handler = RecordingHandler(
      found.enumerated().map {
        DownloadRequest(token: $0, path: joinRemote(absolute, $1.key), expected: $1.value)
      })
    try connection.download(handler, filesInFlight: 64)
    for (token, file) in found.enumerated() {
      #expect(handler.isComplete(token), "\(file.key)")
      #expect(handler.bytes[token, default: []] == contents[file.key.bytes], "\(file.key)")
    }
    connection.close()
  }

  @Test func aFileThatMayNotBeOpenedIsAnItem() throws {
    let server = try OpenSSHServer(keys)
    let handler = RecordingHandler([(keys.path + "/missing", 1), (keys.path, 1)])
    try connect(server).download(handler, filesInFlight: 4)
    #expect(handler.failure(0)?.code == "no-such-file")
    #expect(handler.failure(0)?.severity == .item)
    #expect(handler.outcomes.count == 2)
  }
}

/// Remembers what a walk told it, by the bytes of the paths.
private final class PathVisitor: TreeVisitor {
  var files: [RemotePath: Fingerprint] = [:]
  var listed = 0
  var skipped = 0

  func shouldDescend(into directory: RemotePath) -> Bool { true }
  func found(_ found: [ListedFile], in directory: RemotePath?) {
    for file in found { files[try! RemotePath(directory: directory, name: file.name)] = file.fingerprint }
  }
  func listedDirectory(_ path: RemotePath?) { listed += 1 }
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) {}
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) { skipped += 1 }
}
