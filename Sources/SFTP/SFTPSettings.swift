package import Common

/// Which host keys are accepted.
package enum HostKeyPolicy: Sendable {
  /// Fingerprints as `ssh-keygen -l` prints them, `SHA256:` and base64 without padding; several during a rotation.
  case pins([String])
  /// A known_hosts file of the user's, read only.
  case knownHosts(path: String)
  /// A known_hosts file of ours: the first key of a host is stored there, any other key afterwards is fatal. Unless it
  /// is to be kept, the first key is trusted without being stored.
  case trustOnFirstUse(path: String, isKept: Bool = true)
}

/// Where and as whom to connect.
package struct SFTPSettings: Sendable {
  package var host: String
  package var port: UInt16
  package var user: String
  package var password: Secret?
  /// The text of a private key file, PEM or OpenSSH format.
  package var privateKey: Secret?
  package var privateKeyPassphrase: Secret?
  package var hostKeyPolicy: HostKeyPolicy
  /// Seconds for each of connecting, handshake and one authentication step; later, seconds without any byte while
  /// an answer is due.
  package var timeoutSeconds: Int
  /// How fast bytes are read, all connections together; nil for as fast as they come.
  package var bandwidth: BandwidthLimit?
  /// Offer SSH algorithms, too, that are no longer sound: docs/ssh-algorithms.md.
  package var allowsOldAlgorithms: Bool

  package init(
    host: String, port: UInt16, user: String, password: Secret?, privateKey: Secret?, privateKeyPassphrase: Secret?,
    hostKeyPolicy: HostKeyPolicy, timeoutSeconds: Int, allowsOldAlgorithms: Bool = false
  ) {
    self.host = host
    self.port = port
    self.user = user
    self.password = password
    self.privateKey = privateKey
    self.privateKeyPassphrase = privateKeyPassphrase
    self.hostKeyPolicy = hostKeyPolicy
    self.timeoutSeconds = timeoutSeconds
    self.allowsOldAlgorithms = allowsOldAlgorithms
  }

  /// `host:port`, an IPv6 address in brackets, for messages.
  var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Why a host key was accepted.
package enum HostKeyTrust: String, Sendable {
  /// It is one of the configured fingerprints.
  case pinned
  /// It is in the known_hosts file.
  case known
  /// Nothing was known of this host; the key has been stored.
  case firstUse = "first use"
}

/// What was negotiated: for `check`, logs and bug reports.
package struct ConnectionFacts: Sendable {
  /// `SHA256:…`
  package var hostKeyFingerprint: String
  /// As in the key itself: `ssh-ed25519`.
  package var hostKeyType: String
  package var hostKeyTrust: HostKeyTrust
  /// `publickey`, `password`, `keyboard-interactive`, `none`, or several joined with `+`.
  package var authenticationMethod: String
  package var cipher: String
  /// libssh2 names one even where the cipher needs none.
  package var mac: String
  package var keyExchange: String
  /// Those in use that are only there because old ones are allowed.
  package var oldAlgorithms: [String]
  /// The server's identification line, escaped: `SSH-2.0-OpenSSH_9.2`.
  package var serverIdentification: String
  package var libssh2Version: String
  /// Names of the SFTP extensions the server announced, escaped.
  package var extensions: [String]
}
