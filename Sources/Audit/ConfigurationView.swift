package import Common

/// What `config` shows: where files come from, where they go, and how each side is trusted. Never a secret.
package enum ConfigurationView {
  /// For people: one fact a line.
  package static func text(_ configuration: Configuration) -> String {
    var lines: [String] = []
    if let source = configuration.sftp {
      let address = source.host.contains(":") ? "[\(source.host)]" : source.host
      let logIn = [source.key == nil ? nil : "private key", source.password == nil ? nil : "password"]
      let trust =
        if !source.hostKeyPins.isEmpty {
          "pinned"
        } else if let path = source.knownHostsPath {
          "from \(escaped(path))"
        } else {
          "trusted on first use"
        }
      lines += [
        "source       " + escaped("\(source.user)@\(address):\(source.port) \(source.folder)"),
        "log-in       " + logIn.compactMap { $0 }.joined(separator: ", then ") + "; host key \(trust)"
          + (source.oldAlgorithms ? "; old SSH algorithms are allowed" : ""),
        "selection    " + text(source.selection),
      ]
    }
    if let target = configuration.s3 {
      lines += [
        "destination  " + escaped(target.destination.description),
        "credentials  "
          + escaped(
            "access key \(target.accessKeyID), region \(target.region), \(target.addressing.rawValue) addressing"),
      ]
    }
    let staging = configuration.staging
    lines.append(
      "staging      " + escaped(staging.directory) + ", files settle for \(staging.settleSeconds) s"
    )
    if let rate = configuration.limits.bytesPerSecond { lines.append("bandwidth    \(rate) bytes a second") }
    if let seconds = configuration.limits.durationSeconds { lines.append("duration     \(seconds) s a run") }
    return lines.joined(separator: "\n")
  }

  private static func text(_ selection: Selection) -> String {
    var parts = [selection.filter.isEmpty ? "all files" : "files by \(selection.filter.ruleCount) rules"]
    if let suffix = selection.doneSuffix { parts.append("each once its marker with \(escaped(suffix)) is there") }
    if selection.excludeDefaults { parts.append("uploads under way are left out") }
    return parts.joined(separator: ", ")
  }
}
