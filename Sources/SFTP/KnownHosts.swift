internal import Common
internal import Glibc

/// The keys of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
///
/// A line that cannot be read is passed over, as OpenSSH does: one bad line must not lock out every host.
/// `@cert-authority` lines are passed over too, since certificates are not supported.
struct KnownHosts {
  struct Entry {
    let patterns: [Substring]
    let key: HostKey
    let isRevoked: Bool
  }

  private let entries: [Entry]

  init(parsing bytes: [UInt8]) {
    entries = bytes.split(separator: UInt8(ascii: "\n")).compactMap { Self.parse(String(decoding: $0, as: UTF8.self)) }
  }

  /// What the file knows of a host: entries for `[host]:port`, or, when there are none, those for the plain name,
  /// which is also what port 22 means.
  func keys(host: String, port: UInt16) -> [Entry] {
    let exact = entries.filter { Self.matches($0.patterns, Self.name(host: host, port: port)) }
    return exact.isEmpty ? entries.filter { Self.matches($0.patterns, host.lowercased()) } : exact
  }

  /// How known_hosts writes a host: `host`, or `[host]:port` when the port is not 22.
  static func name(host: String, port: UInt16) -> String {
    port == 22 ? host.lowercased() : "[\(host.lowercased())]:\(port)"
  }

  /// The number, from 1, of the first line that says something and cannot be read.
  static func damagedLine(_ bytes: [UInt8]) -> Int? {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let index = lines.firstIndex { line in
      guard let first = line.first(where: { $0 > 0x20 }), first != UInt8(ascii: "#") else { return false }
      return parse(String(decoding: line, as: UTF8.self)) == nil
    }
    return index.map { $0 + 1 }
  }

  private static func parse(_ line: String) -> Entry? {
    var fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" })[...]
    guard let first = fields.first, !first.hasPrefix("#") else { return nil }
    var isRevoked = false
    if first.hasPrefix("@") {
      guard first == "@revoked" else { return nil }
      isRevoked = true
      fields = fields.dropFirst()
    }
    guard fields.count >= 3, let blob = bytes(fromBase64: String(fields[fields.startIndex + 2])),
      let key = HostKey(blob: blob), key.type == fields[fields.startIndex + 1]
    else { return nil }
    return Entry(
      patterns: fields[fields.startIndex].split(separator: ","), key: key, isRevoked: isRevoked)
  }

  /// Patterns may hold `*` and `?`; one that begins with `!` and matches rules the whole line out.
  private static func matches(_ patterns: [Substring], _ name: String) -> Bool {
    var found = false
    for pattern in patterns {
      if pattern.hasPrefix("|1|") {
        found = found || matchesHashed(pattern, name)
      } else if pattern.hasPrefix("!") {
        if matches(Array(pattern.dropFirst().lowercased().utf8)[...], Array(name.utf8)[...]) { return false }
      } else if matches(Array(pattern.lowercased().utf8)[...], Array(name.utf8)[...]) {
        found = true
      }
    }
    return found
  }

  /// `|1|salt|hash`, both base64: HMAC-SHA1 of the name keyed with the salt.
  private static func matchesHashed(_ pattern: Substring, _ name: String) -> Bool {
    let parts = pattern.split(separator: "|")
    guard parts.count == 3, let salt = bytes(fromBase64: String(parts[1])),
      let expected = bytes(fromBase64: String(parts[2]))
    else { return false }
    return hmacSHA1(key: salt, Array(name.utf8)) == expected
  }

  /// Glob with `*` and `?`; on a mismatch only the last `*` can take one byte more, so the time is quadratic at worst.
  private static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
    var p = pattern.startIndex
    var n = name.startIndex
    var retry: (p: Int, n: Int)?
    while n < name.endIndex {
      if p < pattern.endIndex, pattern[p] == UInt8(ascii: "*") {
        retry = (p + 1, n)
        p += 1
      } else if p < pattern.endIndex, pattern[p] == name[n] || pattern[p] == UInt8(ascii: "?") {
        p += 1
        n += 1
      } else if let last = retry {
        retry = (last.p, last.n + 1)
        p = last.p
        n = last.n + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}

extension KnownHosts {
  static func load(_ path: String, mayBeAbsent: Bool) throws(SFTPError) -> KnownHosts {
    KnownHosts(parsing: try read(path, mayBeAbsent: mayBeAbsent))
  }

  /// The file that only this program writes, and that need not be there yet. A damaged line is fatal: it may be the one
  /// about this host, and passing over it would mean to trust whatever key the server shows now.
  static func loadOurs(_ path: String) throws(SFTPError) -> KnownHosts {
    let content = try read(path, mayBeAbsent: true)
    if let number = damagedLine(content) {
      throw SFTPError(
        code: "known-hosts-damaged", operation: "read known_hosts", subject: escaped(path),
        reason: "line \(number) cannot be read",
        advice: "restore the line; or compare the server's key with its operator, then remove the line",
        severity: .fatal)
    }
    return KnownHosts(parsing: content)
  }

  /// Adds a line: the new file is complete and durable before it takes the old one's place.
  static func append(_ line: String, to path: String) throws(SFTPError) {
    var content = try read(path, mayBeAbsent: true)
    if let last = content.last, last != UInt8(ascii: "\n") { content.append(UInt8(ascii: "\n")) }
    content.append(contentsOf: line.utf8)
    content.append(UInt8(ascii: "\n"))
    let temporary = path + ".\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw failure("write", path) }
    defer { _ = close(descriptor) }
    guard writeAll(content, to: descriptor), fsync(descriptor) == 0, rename(temporary, path) == 0 else {
      let error = failure("write", path)
      unlink(temporary)
      throw error
    }
    let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if parent >= 0 {
      _ = fsync(parent)
      _ = close(parent)
    }
  }

  private static func writeAll(_ content: [UInt8], to descriptor: Int32) -> Bool {
    var written = 0
    while written < content.count {
      let count = content.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, content.count - written) }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return false }
      written += count
    }
    return true
  }

  private static func read(_ path: String, mayBeAbsent: Bool) throws(SFTPError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT && mayBeAbsent { return [] }
      throw failure("read", path)
    }
    defer { _ = close(descriptor) }
    var content = [UInt8]()
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw failure("read", path) }
      if count == 0 { return content }
      content.append(contentsOf: chunk[..<count])
    }
  }

  private static func failure(_ operation: String, _ path: String) -> SFTPError {
    let number = errno
    return SFTPError(
      code: "known-hosts-\(errnoName(number))", operation: "\(operation) known_hosts", subject: escaped(path),
      reason: errnoText(number).lowercased(), severity: .configuration)
  }
}
