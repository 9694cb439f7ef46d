internal import Dispatch
internal import Foundation
internal import Glibc
internal import Synchronization

/// A program started by a test. It ends with the test, also when the test's own process is killed.
package final class Child: Sendable {
  package struct Outcome: Sendable {
    /// The exit code; 128 + the signal's number when a signal ended it.
    package let exitCode: Int32
    package let stdout: String
    package let stderr: String
  }

  package let processID: Int32
  private let output: Capture
  private let errors: Capture
  private let status = Mutex<Int32?>(nil)
  private let name: String

  /// Starts `arguments[0]`, looked up in PATH, with exactly this environment and PATH.
  package init(
    _ arguments: [String], environment: [String: String] = [:], stdin: String = ""
  ) throws {
    name = arguments[0]
    let input = try Capture(stdin)
    output = try Capture("")
    errors = try Capture("")
    let descriptors = [input.descriptor, output.descriptor, errors.descriptor]
    var variables = environment
    if variables["PATH"] == nil { variables["PATH"] = getenv("PATH").map { String(cString: $0) } }
    let strings = variables.map { "\($0.key)=\($0.value)" }
    // setpriv keeps the process id: it sets the death signal and becomes the program.
    let command = ["setpriv", "--pdeathsig", "KILL", "--"] + arguments
    processID = try SpawnThread.shared.run { try spawn(command, strings, descriptors) }
  }

  deinit {
    if exitStatus() == nil {
      kill(processID, SIGKILL)
      var status: Int32 = 0
      waitpid(processID, &status, 0)
    }
  }

  /// What it has written to standard error so far.
  package var stderr: String { errors.text }
  package var isRunning: Bool { exitStatus() == nil }

  package func signal(_ number: Int32) { if isRunning { kill(processID, number) } }

  /// Waits for the end; kills the program and throws when it takes longer than `timeout`.
  @discardableResult
  package func wait(timeout: Duration = .seconds(120)) throws -> Outcome {
    let deadline = ContinuousClock.now + timeout
    while true {
      if let code = exitStatus() { return Outcome(exitCode: code, stdout: output.text, stderr: errors.text) }
      if ContinuousClock.now > deadline {
        signal(SIGKILL)
        throw HarnessError("\(name) did not end within \(timeout); its standard error:\n\(errors.text)")
      }
      usleep(2_000)
    }
  }

  /// Ends it at once, as a power cut would.
  package func killAndWait() throws -> Outcome {
    signal(SIGKILL)
    return try wait(timeout: .seconds(10))
  }

  private func exitStatus() -> Int32? {
    status.withLock { known in
      if let known { return known }
      var raw: Int32 = 0
      guard waitpid(processID, &raw, WNOHANG) == processID else { return nil }
      known = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
      return known
    }
  }

  /// Runs a program to its end.
  package static func run(
    _ arguments: [String], environment: [String: String] = [:], stdin: String = "",
    timeout: Duration = .seconds(120)
  ) throws -> Outcome {
    try Child(arguments, environment: environment, stdin: stdin).wait(timeout: timeout)
  }
}

/// An unlinked temporary file: never full like a pipe, readable while it is written.
private final class Capture: Sendable {
  let descriptor: Int32

  init(_ content: String) throws {
    var template = Array("/tmp/sftp-to-s3-test.XXXXXX".utf8CString)
    descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw HarnessError("mkstemp: errno \(errno)") }
    unlink(template)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, O_APPEND)
    guard Array(content.utf8).withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == content.utf8.count
    else { throw HarnessError("write: errno \(errno)") }
    lseek(descriptor, 0, SEEK_SET)
  }

  deinit { close(descriptor) }

  var text: String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = pread(descriptor, &buffer, buffer.count, bytes.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: buffer[..<count])
    }
  }
}

/// The thread that starts every child. The death signal is sent when the starting *thread* ends, and the threads that
/// tests run on come and go: so one that never ends does it.
private final class SpawnThread: Sendable {
  static let shared = SpawnThread()
  private let jobs = Mutex<[@Sendable () -> Void]>([])
  private let wake = DispatchSemaphore(value: 0)

  private init() {
    Thread.detachNewThread { [self] in
      while true {
        wake.wait()
        jobs.withLock { $0.removeFirst() }()
      }
    }
  }

  func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let answer = Answer<Value>()
    jobs.withLock { $0.append { answer.give(Result { try body() }) } }
    wake.signal()
    return try answer.take().get()
  }
}

private final class Answer<Value: Sendable>: Sendable {
  private let value = Mutex<Result<Value, any Error>?>(nil)
  private let given = DispatchSemaphore(value: 0)

  func give(_ result: Result<Value, any Error>) {
    value.withLock { $0 = result }
    given.signal()
  }

  func take() -> Result<Value, any Error> {
    given.wait()
    return value.withLock { $0! }
  }
}

private func spawn(
  _ command: [String], _ environment: [String], _ descriptors: [Int32]
) throws -> Int32 {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  for (target, descriptor) in descriptors.enumerated() {
    posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
  }

  // Signals as a shell would hand them on, whatever the test runner ignores or blocks.
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var every = sigset_t()
  sigfillset(&every)
  var none = sigset_t()
  sigemptyset(&none)
  posix_spawnattr_setsigdefault(&attributes, &every)
  posix_spawnattr_setsigmask(&attributes, &none)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

  let arguments = command.map { strdup($0) } + [nil]
  let variables = environment.map { strdup($0) } + [nil]
  defer { for string in arguments + variables { free(string) } }
  var processID: pid_t = 0
  let failure = posix_spawnp(&processID, command[0], &actions, &attributes, arguments, variables)
  guard failure == 0 else { throw HarnessError("cannot start \(command.joined(separator: " ")): errno \(failure)") }
  return processID
}
