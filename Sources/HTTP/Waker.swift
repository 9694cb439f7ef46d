internal import CLibCurl
internal import Glibc

/// Ends another thread's wait in ``HTTPEngine/step(waitMilliseconds:completed:)``, now or, when it does not wait yet,
/// at its next wait.
///
/// An eventfd(2) of its own: it outlives the engine as long as a thread still holds it, so a late wake() is harmless.
package final class Waker: Sendable {
  let descriptor: Int32

  init() throws(TransportError) {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    if descriptor < 0 { throw TransportError(kind: .other, reason: "eventfd failed") }
  }

  package func wake() {
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }

  /// Takes back all wakes so far.
  func clear() {
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
  }

  deinit { close(descriptor) }
}
