internal import CLinux
internal import Glibc

/// The symbolic name of an error number in lower case, as a stable code: "enospc".
package func errnoName(_ number: Int32) -> String {
  guard let name = strerrorname_np(number) else { return "errno-\(number)" }
  return String(cString: name).lowercased()
}

/// What the C library says about an error number.
package func errnoText(_ number: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  _ = strerror_r(number, &buffer, buffer.count)
  return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
