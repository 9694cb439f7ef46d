internal import Glibc
internal import Synchronization

/// A real sshd on a free loopback port. The current user logs in by key; it serves the whole file system by SFTP, so a
/// test gives it a directory of its own as SFTP_FOLDER_NAME. It ends with its last reference.
package final class TestSSHD: Sendable {
  package let host = "127.0.0.1"
  package let port: Int
  package let user: String
  package let keyFile: String
  private let home: TemporaryDirectory
  private let server: Mutex<Child>

  /// - Parameters:
  ///   - subsystem: what answers to `sftp`: sshd's own server, or a command line.
  ///   - extra: more lines of sshd_config.
  package init(subsystem: String = "internal-sftp", extra: String = "") throws {
    home = try TemporaryDirectory()
    keyFile = home.path + "/user_key"
    guard let entry = getpwuid(getuid()) else { throw HarnessError("who am I? No password entry for this user") }
    user = String(cString: entry.pointee.pw_name)
    // As root, sshd wants its privilege separation directory; a boot would have made it.
    if getuid() == 0 { makeDirectories("/run/sshd") }
    try makeKey(keyFile)
    try makeKey(home.path + "/host_key")
    try writeFile(home.path + "/authorized_keys", String(decoding: readFile(keyFile + ".pub"), as: UTF8.self))

    var started: (Int, Child)?
    for _ in 1...5 where started == nil {
      let port = try freePort()
      try writeFile(home.path + "/config", configuration(home.path, port, subsystem) + extra + "\n")
      let child = try Self.start(home.path)
      // Another process may have taken the port meanwhile.
      if waitUntilListening(port, child) { started = (port, child) }
    }
    guard let (port, child) = started else { throw HarnessError("sshd did not start; is openssh-server installed?") }
    self.port = port
    server = Mutex(child)
  }

  /// What sshd logged so far.
  package var log: String { server.withLock { $0.stderr } }

  /// `SHA256:…` of the host key, as OpenSSH shows it.
  package func hostKeyFingerprint() throws -> String {
    let shown = try Child.run(["ssh-keygen", "-l", "-f", home.path + "/host_key.pub"]).stdout
    guard let fingerprint = shown.split(separator: " ").first(where: { $0.hasPrefix("SHA256:") }) else {
      throw HarnessError("ssh-keygen -l printed \(shown)")
    }
    return String(fingerprint)
  }

  /// Another host key on the same port: a reinstalled server, or someone in between.
  package func changeHostKey() throws {
    unlink(home.path + "/host_key")
    try makeKey(home.path + "/host_key")
    try stop()
    try start()
  }

  /// A private key that the server does not know.
  package func makeUnknownKey() throws -> String {
    let path = home.path + "/unknown_key"
    if !exists(path) { try makeKey(path) }
    return path
  }

  /// Ends the server, so that its port refuses connections, until ``start()``.
  package func stop() throws { _ = try server.withLock { try $0.killAndWait() } }

  package func start() throws {
    try server.withLock { child in
      child = try Self.start(home.path)
      guard waitUntilListening(port, child) else { throw HarnessError("sshd did not start again:\n\(child.stderr)") }
    }
  }

  private static func start(_ home: String) throws -> Child {
    try Child(["/usr/sbin/sshd", "-D", "-e", "-f", home + "/config"])
  }
}

private func configuration(_ home: String, _ port: Int, _ subsystem: String) -> String {
  """
  Port \(port)
  ListenAddress 127.0.0.1
  HostKey \(home)/host_key
  AuthorizedKeysFile \(home)/authorized_keys
  PidFile none
  StrictModes no
  UsePAM no
  PermitRootLogin yes
  PasswordAuthentication yes
  KbdInteractiveAuthentication no
  MaxStartups 200
  LogLevel VERBOSE
  Subsystem sftp \(subsystem)

  """
}

private func makeKey(_ path: String) throws {
  let made = try Child.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
  guard made.exitCode == 0 else { throw HarnessError("ssh-keygen: \(made.stderr)") }
}

private func waitUntilListening(_ port: Int, _ child: Child) -> Bool {
  for _ in 1...500 {
    guard child.isRunning else { return false }
    if child.stderr.contains("Server listening on") { return true }
    usleep(10_000)
  }
  return false
}
