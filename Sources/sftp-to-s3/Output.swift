internal import Common
internal import Glibc

/// Results on stdout, complaints on stderr.
enum Output {
  /// Prints a line; false when nobody reads any more.
  @discardableResult
  static func print(_ text: String) -> Bool { print(bytes: Array(text.utf8) + [0x0a]) }

  @discardableResult
  static func print(bytes: [UInt8]) -> Bool { write(bytes, to: STDOUT_FILENO) }

  static func complain(_ text: String) { write(Array(text.utf8) + [0x0a], to: STDERR_FILENO) }

  /// Writes everything with as few calls as it takes, so that lines of several processes do not mix.
  @discardableResult
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

/// The variables of this process, as bytes.
enum ProcessEnvironment {
  static func current() -> [String: [UInt8]] {
    var variables: [String: [UInt8]] = [:]
    var entry = environ
    while let text = entry.pointee {
      let bytes = UnsafeBufferPointer(
        start: UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self), count: strlen(text))
      if let equals = bytes.firstIndex(of: UInt8(ascii: "=")) {
        variables[String(decoding: bytes[..<equals], as: UTF8.self)] = Array(bytes[(equals + 1)...])
      }
      entry += 1
    }
    return variables
  }
}
