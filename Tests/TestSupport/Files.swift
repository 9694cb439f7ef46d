package import Common
internal import Glibc

/// What a walk saw of one entry.
package struct TreeEntry: Hashable, Sendable {
  package enum Kind: String, Sendable { case file, directory, symlink, other }
  package let kind: Kind
  package let size: Int
  package let mtime: Int
}

/// Everything under a directory by relative path, names as the bytes on disk; follows no link.
package func walk(_ root: String) throws -> [[UInt8]: TreeEntry] {
  var found: [[UInt8]: TreeEntry] = [:]
  var directories: [[UInt8]] = [[]]
  while let directory = directories.popLast() {
    let prefix = directory.isEmpty ? [] : directory + [slashByte]
    for name in try names(in: Array("\(root)/".utf8) + directory) {
      let relative = prefix + name
      let entry = try lookUp(Array("\(root)/".utf8) + relative)
      found[relative] = entry
      if entry.kind == .directory { directories.append(relative) }
    }
  }
  return found
}

/// The regular files under a directory, relative.
package func files(under root: String) throws -> [[UInt8]] {
  try walk(root).filter { $0.value.kind == .file }.map(\.key)
}

private func lookUp(_ path: [UInt8]) throws -> TreeEntry {
  var facts = stat()
  guard lstat(cString(path), &facts) == 0 else { throw HarnessError("lstat \(escaped(path)): errno \(errno)") }
  let kind: TreeEntry.Kind =
    switch facts.st_mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .directory
    case S_IFLNK: .symlink
    default: .other
    }
  return TreeEntry(kind: kind, size: Int(facts.st_size), mtime: facts.st_mtim.tv_sec)
}

package func exists(_ path: String) -> Bool {
  var facts = stat()
  return lstat(path, &facts) == 0
}

package func readFile(_ path: [UInt8]) throws -> [UInt8] {
  let descriptor = open(cString(path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
  guard descriptor >= 0 else { throw HarnessError("open \(escaped(path)): errno \(errno)") }
  defer { close(descriptor) }
  var content: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 18)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw HarnessError("read \(escaped(path)): errno \(errno)") }
    if count == 0 { return content }
    content.append(contentsOf: buffer[..<count])
  }
}

package func readFile(_ path: String) throws -> [UInt8] { try readFile(Array(path.utf8)) }

/// Writes a whole file, making the directories above it.
package func writeFile(_ path: [UInt8], _ content: [UInt8], mtime: Int? = nil) throws {
  if let cut = path.lastIndex(of: slashByte), cut > 0 { makeDirectories(Array(path[..<cut])) }
  let descriptor = open(cString(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw HarnessError("open \(escaped(path)) for writing: errno \(errno)") }
  defer { close(descriptor) }
  var rest = content[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { throw HarnessError("write \(escaped(path)): errno \(errno)") }
    rest = rest.dropFirst(count)
  }
  if let mtime { try setModified(path, mtime) }
}

package func writeFile(_ path: String, _ text: String, mtime: Int? = nil) throws {
  try writeFile(Array(path.utf8), Array(text.utf8), mtime: mtime)
}

package func setModified(_ path: [UInt8], _ mtime: Int) throws {
  let times = [timespec(tv_sec: mtime, tv_nsec: 0), timespec(tv_sec: mtime, tv_nsec: 0)]
  guard utimensat(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW) == 0 else {
    throw HarnessError("utimensat \(escaped(path)): errno \(errno)")
  }
}

package func makeDirectories(_ path: [UInt8]) {
  for cut in path.indices where path[cut] == slashByte && cut > 0 { mkdir(cString(Array(path[..<cut])), 0o755) }
  mkdir(cString(path), 0o755)
}

package func makeDirectories(_ path: String) { makeDirectories(Array(path.utf8)) }

package func makeSymlink(at path: String, to target: String) throws {
  guard symlink(target, path) == 0 else { throw HarnessError("symlink \(path): errno \(errno)") }
}

package func move(_ from: String, to target: String) throws {
  guard rename(from, target) == 0 else { throw HarnessError("rename \(from): errno \(errno)") }
}

package func digest(ofFile path: [UInt8]) throws -> SHA256Digest {
  var hasher = ContentHasher()
  hasher.update(try readFile(path))
  return hasher.sha256()
}

/// One digest of every name, kind, time and byte under a directory: equal when nothing at all changed.
package func treeDigest(of root: String) throws -> SHA256Digest {
  var hasher = ContentHasher()
  for (path, entry) in try walk(root).sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
    hasher.update(Array("\(path.count) \(entry.kind) \(entry.mtime) ".utf8) + path)
    if entry.kind == .file { hasher.update(try digest(ofFile: Array("\(root)/".utf8) + path).bytes) }
  }
  return hasher.sha256()
}
