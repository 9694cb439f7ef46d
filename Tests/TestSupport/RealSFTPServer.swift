internal import Foundation
internal import Glibc

/// A real SFTP server of one maker or another on a free loopback port, serving a folder of its own to one user. It
/// obeys file permissions also when root runs the tests, and ends with its last reference.
package final class RealSFTPServer: Sendable {
  package enum Program: String, CaseIterable, Sendable {
    case openSSH = "OpenSSH"
    case asyncssh
    case proFTPD = "ProFTPD"
    /// `rclone serve sftp`: Go's pkg/sftp.
    case rclone

    /// OpenSSH asks the system for passwords, and this system's user may have none.
    package var takesPasswords: Bool { self != .openSSH }
    /// rclone's listings leave out symbolic links, pipes and the like.
    package var showsLinks: Bool { self != .rclone }
    /// rclone shows a directory that it cannot read as an empty one.
    package var tellsOfUnreadableDirectories: Bool { self != .rclone }

    /// The path under which the server shows a file. rclone has other names where there are control characters
    /// (rclone's documentation, "Restricted characters").
    package func shown(_ path: [UInt8]) -> [UInt8] {
      guard self == .rclone else { return path }
      return path.flatMap { byte -> [UInt8] in
        // U+2400 and U+2421 on: pictures of control characters.
        if byte < 0x20 { return [0xe2, 0x90, 0x80 + byte] }
        return byte == 0x7f ? [0xe2, 0x90, 0xa1] : [byte]
      }
    }
  }

  /// How to log in.
  package enum Credential: Sendable { case password, key }

  package let program: Program
  package let host = "127.0.0.1"
  package let port: Int
  package let user: String
  package let password = RealSFTPServer.password
  package let keyFile: String
  /// Where what it serves is, and the path by which the server knows that: what SFTP_FOLDER_NAME wants.
  package let served: String
  package let folder: String
  private let home: TemporaryDirectory
  private let sshd: TestSSHD?
  private let child: Child?

  private static let password = "a password for tests"
  /// The same as crypt(3) with SHA-512 stores it.
  private static let passwordHash =
    "$6$sftptos3$3vIgENikkC2r/l3NdZS2f/cu3.6cGsje28e9g7THBenlQM2f76SBbn6t/5rtprfAPxlAFkT8Ly.WgKUCi5FlQ1"

  /// - Parameters:
  ///   - connections: that it allows at a time; nil is any number.
  ///   - extra: more lines of configuration, for OpenSSH and ProFTPD.
  package init(_ program: Program, connections: Int? = nil, extra: String = "") throws {
    self.program = program
    home = try TemporaryDirectory()
    served = home.path + "/home/served"
    makeDirectories(served)
    if program == .openSSH {
      // sshd has to switch users, so only what it starts gives up root's rights. It has no limit of connections; a lock
      // has the same effect.
      let server = "/usr/lib/openssh/sftp-server"
      let limit = connections == nil ? [] : ["flock", "-n", home.path + "/lock"]
      let sshd = try TestSSHD(
        subsystem: (Self.obeyingPermissions + limit + [server]).joined(separator: " "), extra: extra)
      (self.sshd, child, port, user, keyFile, folder) = (sshd, nil, sshd.port, sshd.user, sshd.keyFile, served)
      return
    }
    user = "partner"
    keyFile = home.path + "/user_key"
    folder = program == .rclone ? "/served" : served
    try makeKey(keyFile)
    try makeKey(home.path + "/host_key")
    let recipe = Recipe(program: program, home: home.path, user: user, connections: connections, extra: extra)
    var started: (Child, Int)?
    // Another process may have taken the port meanwhile.
    for _ in 1...5 where started == nil { started = try recipe.start() }
    guard let started else { throw HarnessError("\(program.rawValue) did not start; run scripts/setup.sh") }
    (child, port) = started
    sshd = nil
  }

  /// What the server logged so far.
  package var log: String { child?.stderr ?? sshd?.log ?? "" }

  /// `SHA256:…` of the host key, as OpenSSH shows it.
  package func hostKeyFingerprint() throws -> String {
    try sshd?.hostKeyFingerprint() ?? fingerprint(ofKey: home.path + "/host_key")
  }

  /// Gives up root's right to read and write everything; nothing where there is none.
  private static let obeyingPermissions =
    getuid() == 0 ? ["/usr/bin/setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"] : []

  /// How the programs that are not sshd are started.
  private struct Recipe {
    let program: Program
    let home: String
    let user: String
    let connections: Int?
    let extra: String

    /// Nil when it ended at once, as it does when the port was taken.
    func start() throws -> (Child, Int)? {
      let wanted = try freePort()
      let (command, ready) = try command(wanted)
      let child = try Child(RealSFTPServer.obeyingPermissions + command, environment: ["HOME": home])
      for _ in 1...2_000 {
        if let place = child.stderr.range(of: ready) {
          let digits = child.stderr[place.upperBound...].prefix { $0.isNumber }
          return (child, program == .asyncssh ? Int(digits) ?? 0 : wanted)
        }
        guard child.isRunning else { return nil }
        usleep(10_000)
      }
      throw HarnessError("\(program.rawValue) does not get ready:\n\(child.stderr)")
    }

    /// The command, and what it says when it is ready.
    private func command(_ port: Int) throws -> ([String], String) {
      let hostKey = home + "/host_key"
      let publicKey = home + "/user_key.pub"
      switch program {
      case .openSSH: throw HarnessError("sshd is started by TestSSHD")
      case .asyncssh:
        let script = packagePath + "/Tests/TestSupport/servers/asyncssh_server.py"
        let limit = connections.map { ["\($0)"] } ?? []
        let python = packagePath + "/.venv/bin/python"
        return ([python, script, hostKey, publicKey, user, RealSFTPServer.password] + limit, "listening on ")
      case .rclone:
        let options = [
          "--addr", "127.0.0.1:\(port)", "--user", user, "--pass", RealSFTPServer.password, "--authorized-keys",
          publicKey, "--key", hostKey, "--read-only", "--config", "/dev/null",
        ]
        return (
          [packagePath + "/.venv/bin/rclone", "serve", "sftp", home + "/home"] + options, "SFTP server listening on"
        )
      case .proFTPD:
        try writeFile(home + "/proftpd.conf", proFTPDConfiguration(port))
        return (["/usr/sbin/proftpd", "-n", "-c", home + "/proftpd.conf"], "standalone mode STARTUP")
      }
    }

    private func proFTPDConfiguration(_ port: Int) throws -> String {
      guard let person = getpwuid(getuid()), let group = getgrgid(getgid()) else {
        throw HarnessError("who am I? No password or group entry for this user")
      }
      let account = "\(user):\(RealSFTPServer.passwordHash):\(getuid()):\(getgid())::\(home)/home:/bin/sh\n"
      try writeFile(home + "/passwd", account)
      chmod(home + "/passwd", 0o600)
      let exported = try Child.run(["ssh-keygen", "-e", "-f", home + "/user_key.pub"]).stdout
      try writeFile(home + "/authorized_keys", exported)
      return """
        LoadModule mod_sftp.c
        ServerType standalone
        ControlsEngine off
        DefaultAddress 127.0.0.1
        Port \(port)
        SocketBindTight on
        UseIPv6 off
        UseReverseDNS off
        User \(String(cString: person.pointee.pw_name))
        Group \(String(cString: group.pointee.gr_name))
        AuthOrder mod_auth_file.c
        AuthUserFile \(home)/passwd
        RootLogin on
        RequireValidShell off
        WtmpLog off
        DelayEngine off
        PidFile \(home)/pid
        ScoreboardFile \(home)/scoreboard
        SFTPEngine on
        SFTPHostKey \(home)/host_key
        SFTPAuthorizedUserKeys file:\(home)/authorized_keys
        SFTPAuthMethods publickey password
        \(connections.map { "MaxClients \($0)" } ?? "")
        \(extra)

        """
    }
  }
}
