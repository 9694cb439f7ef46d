package import Common
package import Foundation
internal import Synchronization

/// A real S3 server, one for all tests of a process: `weed mini` from the package's `.venv`, on free loopback ports,
/// in a folder of its own. It dies with the process that started it.
///
/// A bucket that is not there is not made by a PUT, as on AWS: every test makes its own with ``makeBucket(_:)``.
package final class SeaweedFS: Sendable {
  /// Starts at the first use. Throws for every test when it cannot start: a test without its server fails.
  package static var shared: SeaweedFS { get throws { try started.get() } }

  package let endpoint: Endpoint
  package let accessKey = "test-access-key"
  package let secretKey = "test/secret+key"
  package let region = "us-east-1"
  private let filerPort: UInt16

  package struct StartFailure: Error, CustomStringConvertible {
    package let description: String
  }

  private static let started = Result { try start() }

  private init(s3Port: UInt16, filerPort: UInt16) throws {
    endpoint = try Endpoint(parsing: "http://127.0.0.1:\(s3Port)")
    self.filerPort = filerPort
  }

  /// Makes an empty bucket; the name must be new.
  package func makeBucket(_ name: String) throws {
    // A bucket is a folder of the filer, which asks for no signature.
    let answer = try exchange(
      port: filerPort,
      "POST /buckets/\(name)/ HTTP/1.1\r\nHost: filer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    guard answer.hasPrefix("HTTP/1.1 201") else { throw StartFailure(description: "no bucket \(name): \(answer)") }
  }

  private static func start() throws -> SeaweedFS {
    let program = packageRoot.appending(path: ".venv/bin/weed").path
    guard FileManager.default.isExecutableFile(atPath: program) else {
      throw StartFailure(description: "\(program) is not there: run scripts/setup.sh")
    }
    var lastLog = ""
    // Another process may take a free port before the server does.
    for _ in 0..<3 {
      let folder = FileManager.default.temporaryDirectory.appending(path: "seaweedfs-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let ports = try freePorts(10)
      let server = try SeaweedFS(s3Port: ports[6], filerPort: ports[4])
      let process = try launch(program, folder: folder, ports: ports, server: server)
      let deadline = Date(timeIntervalSinceNow: 60)
      while process.isRunning, Date() < deadline {
        if let answer = try? exchange(port: ports[6], "GET / HTTP/1.1\r\nHost: s3\r\nConnection: close\r\n\r\n"),
          answer.hasPrefix("HTTP/1.1"), (try? server.makeBucket("ready")) != nil
        {
          cleanAtExit(process, folder)
          return server
        }
        usleep(100_000)
      }
      process.terminate()
      lastLog = (try? String(contentsOf: folder.appending(path: "log"), encoding: .utf8)) ?? ""
    }
    throw StartFailure(description: "SeaweedFS did not start:\n\(lastLog)")
  }

  /// Kills the server and removes its folder when the tests have ended.
  private static func cleanAtExit(_ process: Process, _ folder: URL) {
    leftover.withLock { $0 = (process.processIdentifier, folder) }
    atexit {
      guard let (server, folder) = SeaweedFS.leftover.withLock({ $0 }) else { return }
      kill(server, SIGKILL)
      usleep(50_000)
      try? FileManager.default.removeItem(at: folder)
    }
  }

  private static let leftover = Mutex<(server: pid_t, folder: URL)?>(nil)

  private static func launch(_ program: String, folder: URL, ports: [UInt16], server: SeaweedFS) throws -> Process {
    let process = Process()
    let path = folder.path
    // setpriv: the kernel kills the server when its parent thread ends, however that ends.
    process.executableURL = URL(filePath: "/usr/bin/setpriv")
    process.arguments =
      ["--pdeathsig", "KILL", program, "mini", "-dir=\(path)", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
      + ["-master.telemetry=false", "-admin.ui=false", "-webdav=false", "-s3.autoCreateBucket=false"]
      + ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.localSocket=\(path)/s3", "-filer.localSocket=\(path)/filer"]
      + zip(
        [
          "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
          "s3.port", "s3.port.grpc", "admin.port", "admin.port.grpc",
        ], ports
      ).map { "-\($0)=\($1)" }
    process.environment = [
      "AWS_ACCESS_KEY_ID": server.accessKey, "AWS_SECRET_ACCESS_KEY": server.secretKey, "HOME": path,
      "PATH": "/usr/bin:/bin",
    ]
    process.currentDirectoryURL = folder
    let log = folder.appending(path: "log")
    _ = FileManager.default.createFile(atPath: log.path, contents: nil)
    let output = try FileHandle(forWritingTo: log)
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try OwnerThread.run(process)
    return process
  }
}

/// Starts child processes from a thread that never ends, for a child's parent-death signal is bound to the thread.
package enum OwnerThread {
  package static func run(_ process: Process) throws {
    let box = Box(process)
    let thread = Thread {
      box.outcome = Result { try box.process.run() }
      box.done.signal()
      while true { sleep(3600) }
    }
    thread.start()
    box.done.wait()
    try box.outcome!.get()
  }

  private final class Box: @unchecked Sendable {
    let process: Process
    let done = DispatchSemaphore(value: 0)
    var outcome: Result<Void, any Error>?
    init(_ process: Process) { self.process = process }
  }
}

/// The folder of Package.swift.
package let packageRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()

/// TCP ports nobody listens on at this moment, all different.
package func freePorts(_ count: Int) throws -> [UInt16] {
  var sockets = [Int32]()
  defer { for descriptor in sockets { close(descriptor) } }
  return try (0..<count).map { _ in
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    sockets.append(descriptor)
    return try bindLoopback(descriptor)
  }
}

/// Binds a TCP socket to a free loopback port and says which.
func bindLoopback(_ descriptor: Int32) throws -> UInt16 {
  var address = loopback(port: 0)
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let code = withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
      bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
    }
  }
  if code != 0 { throw SystemFailure(errno: errno, operation: "bind", subject: "127.0.0.1") }
  return UInt16(bigEndian: address.sin_port)
}

private func loopback(port: UInt16) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return address
}

/// Sends bytes to a loopback port and returns all that comes back until the other side closes.
private func exchange(port: UInt16, _ request: String) throws -> String {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = loopback(port: port)
  let code = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  if code != 0 { throw SystemFailure(errno: errno, operation: "connect", subject: "127.0.0.1:\(port)") }
  _ = Array(request.utf8).withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  var answer = [UInt8]()
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = recv(descriptor, &buffer, buffer.count, 0)
    if count <= 0 { return String(decoding: answer, as: UTF8.self) }
    answer.append(contentsOf: buffer[..<count])
  }
}
