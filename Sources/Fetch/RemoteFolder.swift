package import Common
package import SFTP

extension ConnectionPool {
  /// The folder's absolute path on the server.
  func findFolder(of source: SFTPSource) throws -> [UInt8] {
    func unusable(_ reason: String) -> PhaseFailure {
      PhaseFailure(
        code: "no-such-folder", operation: "find the folder", subject: escaped(source.folder), reason: reason,
        advice: "check SFTP_FOLDER_NAME; without a leading slash it is relative to the login directory",
        severity: .configuration)
    }
    let (root, attributes): ([UInt8], FileAttributes)
    do throws(SFTPError) {
      let folder = Array(source.folder.utf8)
      root = try ask { (connection) throws(SFTPError) in try connection.realPath(folder) }
      attributes = try ask { (connection) throws(SFTPError) in try connection.attributes(root) }
    } catch {
      // Refusals of this one path are about the setting; anything else is about the connection.
      if error.severity == .item { throw unusable(error.reason) }
      throw error
    }
    if let kind = attributes.kind, kind != .directory { throw unusable("it is not a directory") }
    return root
  }
}

extension SFTPSettings {
  /// - Parameters:
  ///   - ownKnownHostsPath: where keys trusted on first use are kept when none is configured.
  ///   - keepsNewHostKeys: false to leave that file as it is.
  package init(_ source: SFTPSource, ownKnownHostsPath: String, keepsNewHostKeys: Bool = true) {
    let policy: HostKeyPolicy =
      if !source.hostKeyPins.isEmpty {
        .pins(source.hostKeyPins)
      } else if let path = source.knownHostsPath {
        .knownHosts(path: path)
      } else {
        .trustOnFirstUse(path: ownKnownHostsPath, isKept: keepsNewHostKeys)
      }
    self.init(
      host: source.host, port: source.port, user: source.user, password: source.password, privateKey: source.key,
      privateKeyPassphrase: source.keyPassphrase, hostKeyPolicy: policy, timeoutSeconds: source.timeoutSeconds,
      allowsOldAlgorithms: source.oldAlgorithms)
  }
}
