internal import Glibc

/// What went wrong in the harness itself, as opposed to in what it tests.
package struct HarnessError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// A directory of a test's own, removed with everything in it when the last reference goes.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() throws {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(base)/sftp-to-s3-test.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw HarnessError("mkdtemp in \(base): errno \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { removeTree(Array(path.utf8)) }
}

/// Removes a file or a directory with everything under it, whatever the names; follows no link.
package func removeTree(_ path: [UInt8]) {
  if unlink(cString(path)) == 0 || errno == ENOENT { return }
  for name in (try? names(in: path)) ?? [] { removeTree(path + [slashByte] + name) }
  rmdir(cString(path))
}

package func removeTree(_ path: String) { removeTree(Array(path.utf8)) }

let slashByte = UInt8(ascii: "/")

/// The bytes of a path with the NUL that C wants.
func cString(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

/// The names in a directory, as bytes, without `.` and `..`.
func names(in directory: [UInt8]) throws -> [[UInt8]] {
  guard let stream = opendir(cString(directory)) else {
    throw HarnessError("opendir \(String(decoding: directory, as: UTF8.self)): errno \(errno)")
  }
  defer { closedir(stream) }
  var found: [[UInt8]] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
    if name != Array(".".utf8) && name != Array("..".utf8) { found.append(name) }
  }
  return found
}
