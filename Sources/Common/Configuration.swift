/// All settings of a command, validated: what is here can be used without another check. README.md has the table.
package struct Configuration: Sendable {
  package var sftp: SFTPSource?
  package var s3: S3Target?
  /// Where the configured destination is, even when no credentials are there to reach it.
  package var destination: Destination?
  package var staging: StagingSettings
  package var limits: RunLimits
  /// Show what a run would do, and write nothing.
  package var isDryRun: Bool
  package var logLevel: LogLevel

  package enum LogLevel: String, Sendable, CaseIterable {
    case debug, info, warning, error
  }

  /// Which parts a command cannot do without.
  package struct Needs: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    package static let sftp = Needs(rawValue: 1)
    package static let s3 = Needs(rawValue: 2)
  }

  /// Reads and checks every setting that the command uses.
  /// - Throws: ``ConfigurationError`` naming all that is wrong.
  package init(_ reader: consuming SettingsReader, needs: Needs) throws(ConfigurationError) {
    var reader = reader
    sftp = needs.contains(.sftp) ? SFTPSource(&reader) : nil
    destination = Destination(&reader, required: needs.contains(.s3))
    s3 = needs.contains(.s3) ? S3Target(&reader, destination: destination) : nil
    staging = StagingSettings(&reader)
    isDryRun = needs.isEmpty ? false : reader.flag("DRY_RUN", default: false)
    limits = needs.isEmpty ? .none : RunLimits(&reader)
    logLevel = reader.choice("LOG_LEVEL", default: .info)
    if !reader.problems.isEmpty { throw ConfigurationError(problems: reader.problems) }
  }
}

/// The SFTP side: where files come from.
package struct SFTPSource: Sendable {
  package var host: String
  package var port: UInt16
  package var user: String
  package var password: Secret?
  package var key: Secret?
  package var keyPassphrase: Secret?
  /// As given: absolute, or relative to the login directory.
  package var folder: String
  package var hostKeyPins: [String]
  package var knownHostsPath: String?
  /// Connections to the server at a time, at most.
  package var connections: Int
  /// Files open at once over one connection, at most.
  package var filesInFlight: Int
  package var timeoutSeconds: Int
  /// Go on with a large file where it was interrupted, instead of reading it anew.
  package var resumesLargeFiles: Bool
  /// Which files of the folder are taken.
  package var selection: Selection
  /// Offer SSH algorithms that are no longer sound.
  package var oldAlgorithms: Bool

  init(_ reader: inout SettingsReader) {
    host = reader.required("SFTP_HOST")
    if host.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f || $0 == slash }) {
      reader.report("SFTP_HOST is \(quoted(host)); it must be a host name or an address, without scheme or path")
    }
    port = UInt16(reader.integer("SFTP_PORT", default: 22, in: 1...65535))
    user = reader.required("SFTP_USER")
    password = reader.secret("SFTP_PASS")
    key = reader.secret("SFTP_KEY")
    keyPassphrase = reader.secret("SFTP_KEY_PASSPHRASE")
    if password == nil, key == nil,
      reader.problems.allSatisfy({ !$0.hasPrefix("SFTP_PASS") && !$0.hasPrefix("SFTP_KEY") })
    {
      reader.report("neither SFTP_PASS nor SFTP_KEY (or SFTP_KEY_FILE) is set")
    }
    if let key, !key.reveal().contains("PRIVATE KEY") {
      reader.report("SFTP_KEY is not a private key; to name its file, set SFTP_KEY_FILE")
    }
    folder = reader.required("SFTP_FOLDER_NAME")
    hostKeyPins = (reader.text("SFTP_HOST_KEY") ?? "").split(separator: " ").map(String.init)
    for pin in hostKeyPins where !Self.isFingerprint(pin) {
      reader.report(
        "SFTP_HOST_KEY holds \(quoted(pin)); it must be SHA256: and 43 base64 characters, as ssh-keygen -l prints")
    }
    // Not a setting with a _FILE form of its own: it already names a file.
    knownHostsPath = reader.text("SFTP_KNOWN_HOSTS")
    if knownHostsPath != nil, !hostKeyPins.isEmpty {
      reader.report("SFTP_HOST_KEY and SFTP_KNOWN_HOSTS are both set; set one of them")
    }
    connections = reader.integer("SFTP_CONNECTIONS", default: 2, in: 1...16)
    filesInFlight = reader.integer("SFTP_FILES_IN_FLIGHT", default: 128, in: 1...1024)
    timeoutSeconds = reader.integer("SFTP_TIMEOUT", default: 30, in: 1...3600)
    resumesLargeFiles = reader.flag("SFTP_RESUME", default: true)
    selection = Selection(&reader)
    oldAlgorithms = reader.flag("SFTP_OLD_ALGORITHMS", default: false)
  }

  private static func isFingerprint(_ text: String) -> Bool {
    guard text.hasPrefix("SHA256:") else { return false }
    let digest = text.dropFirst(7)
    return digest.utf8.count == 43 && bytes(fromBase64: digest + "=")?.count == 32
  }
}

/// The S3 side: where objects go, and with which credentials.
package struct S3Target: Sendable {
  package var destination: Destination
  package var region: String
  /// The service name in the credential scope of a signature.
  package var service: String
  package var accessKeyID: String
  package var secretAccessKey: Secret
  package var sessionToken: Secret?
  package var addressing: Addressing
  package var caBundlePath: String?
  /// Requests in flight, at most.
  package var connections: Int

  init?(_ reader: inout SettingsReader, destination: Destination?) {
    region = reader.text("S3_REGION") ?? "us-east-1"
    service = reader.text("S3_SERVICE") ?? "s3"
    accessKeyID = reader.required("S3_ACCESS_KEY_ID")
    secretAccessKey = Secret(reader.required("S3_SECRET_ACCESS_KEY"))
    sessionToken = reader.secret("S3_SESSION_TOKEN")
    // The values are not shown: a secret may have been put into the wrong variable.
    for (name, value) in [("S3_REGION", region), ("S3_SERVICE", service), ("S3_ACCESS_KEY_ID", accessKeyID)]
    where value.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f || $0 == slash }) {
      reader.report("\(name) must be plain ASCII without spaces or slashes")
    }
    for (name, secret) in [("S3_SECRET_ACCESS_KEY", secretAccessKey), ("S3_SESSION_TOKEN", sessionToken ?? Secret(""))]
    where secret.reveal().utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f }) {
      reader.report(
        "\(name) holds a space, a line end or another control character; was it copied with more than the value?")
    }
    connections = reader.integer("S3_CONNECTIONS", default: 128, in: 1...1024)
    caBundlePath = reader.text("S3_CA_BUNDLE")
    let preferred = destination.map { Addressing.preferred(for: $0.endpoint, bucket: $0.bucket) } ?? .path
    addressing = reader.choice("S3_ADDRESSING", default: preferred)
    guard let destination else { return nil }
    self.destination = destination
  }
}

/// The staging volume and the rules of taking files into it.
package struct StagingSettings: Sendable {
  package var directory: String
  package var settleSeconds: Int
  /// Accept that the volume's server, user or folder has moved.
  package var rebind: Bool

  init(_ reader: inout SettingsReader) {
    directory = reader.text("STAGING_DIR") ?? "/staging"
    settleSeconds = reader.integer("SETTLE_SECONDS", default: 45, in: 0...86_400)
    rebind = reader.flag("REBIND", default: false)
  }
}
