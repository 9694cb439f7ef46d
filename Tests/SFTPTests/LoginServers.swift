import Common
import Foundation
import SFTP
import Synchronization
import TestSupport

/// A program that a login test talks to. It ends with the last reference, and with the test's process however that
/// ends: a shell watches a socket whose other end only this process holds.
///
/// Not Foundation's Process, which waits for ever now and then when several threads start programs.
final class ServerProcess: Sendable {
  private static let watch = """
    exec 3<&0 </dev/null; "$@" & program=$!
    ( read -r _ <&3; kill $program ) & watcher=$!
    wait $program; kill $watcher
    """
  private let shell: pid_t
  private let lifeline: Int32
  private let output: OutputFile
  private let hasEnded = Mutex(false)

  init(_ command: [String]) throws {
    var ends: [Int32] = [-1, -1]
    // A socket pair, because it can be made so that no program started meanwhile by another thread inherits it.
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw ServerFault(description: "socketpair: errno \(errno)")
    }
    output = try OutputFile()
    lifeline = ends[1]
    shell = try spawn(["/bin/sh", "-c", Self.watch, "sh"] + command, input: ends[0], output: output.descriptor)
    close(ends[0])
  }

  deinit {
    close(lifeline)
    if isRunning { waitpid(shell, nil, 0) }
  }

  var isRunning: Bool {
    hasEnded.withLock { ended in
      if !ended { ended = waitpid(shell, nil, WNOHANG) == shell }
      return !ended
    }
  }

  /// The first line of its standard output.
  func firstLine() throws -> String {
    while true {
      let isRunning = isRunning
      let text = output.text
      if let end = text.firstIndex(of: "\n") { return String(text[..<end]) }
      guard isRunning else { throw ServerFault(description: "the server ended: \(text)") }
      usleep(10_000)
    }
  }
}

/// Where a program writes to: an unlinked file, never full like a pipe.
private final class OutputFile: Sendable {
  let descriptor: Int32

  init() throws {
    var template = Array("/tmp/sftp-output.XXXXXX".utf8CString)
    descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw ServerFault(description: "mkstemp: errno \(errno)") }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    unlink(template)
  }

  deinit { close(descriptor) }

  var text: String {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}

/// Starts a program with this environment, its standard error thrown away.
private func spawn(_ command: [String], input: Int32, output: Int32) throws -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, input, 0)
  posix_spawn_file_actions_adddup2(&actions, output, 1)
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
  // Test threads block signals, and a shell that inherits that waits for ever.
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var none = sigset_t()
  sigemptyset(&none)
  var all = sigset_t()
  sigfillset(&all)
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setsigdefault(&attributes, &all)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
  let arguments = command.map { strdup($0) } + [nil]
  defer { for argument in arguments { free(argument) } }
  var process: pid_t = 0
  let failure = posix_spawn(&process, command[0], &actions, &attributes, arguments, environ)
  guard failure == 0 else { throw ServerFault(description: "\(command[0]): errno \(failure)") }
  return process
}

struct ServerFault: Error, CustomStringConvertible {
  let description: String
}

/// A directory with keys, removed with the last reference.
final class KeyRing: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/sftp-keys.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw ServerFault(description: "mkdtemp: errno \(errno)") }
    path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Makes a key pair; returns the path of the private key.
  @discardableResult
  func makeKey(_ name: String, type: String = "ed25519", passphrase: String = "", format: [String] = []) throws
    -> String
  {
    let file = path + "/" + name
    try? FileManager.default.removeItem(atPath: file)
    try run("/usr/bin/ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-f", file] + format)
    return file
  }

  func read(_ name: String) throws -> String { try String(contentsOfFile: path + "/" + name, encoding: .utf8) }

  func write(_ name: String, _ text: String) throws {
    try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
  }

  /// `SHA256:…`, as OpenSSH itself computes it.
  func fingerprint(_ name: String) throws -> String {
    let shown = try run("/usr/bin/ssh-keygen", ["-l", "-f", path + "/" + name + ".pub"])
    return String(shown.split(separator: " ")[1])
  }

  @discardableResult
  func run(_ program: String, _ arguments: [String]) throws -> String {
    let output = try OutputFile()
    let input = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { close(input) }
    let process = try spawn([program] + arguments, input: input, output: output.descriptor)
    var status: Int32 = 0
    waitpid(process, &status, 0)
    guard status == 0 else {
      throw ServerFault(description: "\(program) \(arguments) ended with status \(status)")
    }
    return output.text
  }
}

/// A real OpenSSH server on a free loopback port, serving the user who runs the tests, by key.
final class OpenSSHServer: Sendable {
  let port: UInt16
  let user: String
  private let process: ServerProcess

  /// Host keys and `authorized_keys` are files of `keys`; `extra` is appended to the configuration.
  init(_ keys: KeyRing, hostKeys: [String] = ["host"], subsystem: Bool = true, extra: String = "") throws {
    guard let entry = getpwuid(getuid()) else { throw ServerFault(description: "this user has no name") }
    user = String(cString: entry.pointee.pw_name)
    // As root, sshd wants the directory of its privilege separation, which a boot would have made.
    if getuid() == 0 { mkdir("/run/sshd", 0o755) }
    var started: (UInt16, ServerProcess)?
    for _ in 1...5 where started == nil {
      let port = try unusedPort()
      let configuration = """
        ListenAddress 127.0.0.1:\(port)
        \(hostKeys.map { "HostKey \(keys.path)/\($0)" }.joined(separator: "\n"))
        AuthorizedKeysFile \(keys.path)/authorized_keys
        PidFile none
        StrictModes no
        UsePAM no
        PermitRootLogin yes
        KbdInteractiveAuthentication no
        MaxStartups 200
        \(subsystem ? "Subsystem sftp internal-sftp" : "")
        \(extra)

        """
      try keys.write("config.\(port)", configuration)
      let process = try ServerProcess(["/usr/sbin/sshd", "-D", "-e", "-f", "\(keys.path)/config.\(port)"])
      // Another process may have taken the port meanwhile.
      for _ in 0..<1000 where process.isRunning && started == nil {
        if answers(port) { started = (port, process) } else { usleep(10_000) }
      }
    }
    guard let (port, process) = started else {
      throw ServerFault(description: "sshd did not start; is openssh-server installed?")
    }
    self.port = port
    self.process = process
  }
}

/// A small SSH server in Python whose login rules the test chooses: see servers/ssh_server.py.
final class RuleServer: Sendable {
  let port: UInt16
  private let process: ServerProcess

  init(_ keys: KeyRing, rule: String, password: String = "", authorizedKeys: String? = nil) throws {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let top = tests.deletingLastPathComponent().deletingLastPathComponent()
    let python = top.appendingPathComponent(".venv/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python) else {
      throw ServerFault(description: "\(python) is missing: run scripts/setup.sh")
    }
    let script = tests.appendingPathComponent("servers/ssh_server.py").path
    var arguments = [script, keys.path + "/host", rule, password]
    if let authorizedKeys { arguments.append(keys.path + "/" + authorizedKeys) }
    process = try ServerProcess([python] + arguments)
    guard let port = UInt16(try process.firstLine()) else { throw ServerFault(description: "no port") }
    self.port = port
  }
}

/// A socket that listens on a loopback port and accepts nothing; closed with the last reference.
final class SilentListener: Sendable {
  let port: UInt16
  private let descriptor: Int32

  init() throws { (descriptor, port) = try listen() }
  deinit { close(descriptor) }
}

/// A loopback port that was free a moment ago.
func unusedPort() throws -> UInt16 {
  let (descriptor, port) = try listen()
  close(descriptor)
  return port
}

/// A listening loopback socket, the caller's to close.
func listen() throws -> (Int32, UInt16) {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  var address = loopback(0)
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let isBound = withUnsafeMutableBytes(of: &address) { raw in
    let pointer = raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
    return bind(descriptor, pointer, length) == 0 && Glibc.listen(descriptor, 16) == 0
      && getsockname(descriptor, pointer, &length) == 0
  }
  guard isBound else { throw ServerFault(description: "no loopback port: errno \(errno)") }
  return (descriptor, UInt16(bigEndian: address.sin_port))
}

private func answers(_ port: UInt16) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  defer { close(descriptor) }
  var address = loopback(port)
  return withUnsafeMutableBytes(of: &address) {
    connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) == 0
  }
}

private func loopback(_ port: UInt16) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return address
}
