internal import Glibc
internal import Synchronization

/// Shows others that a run moves: sets a file's modification time, at most every ten seconds, when something has really
/// moved. Attempts, waits for an answer and errors do not count. From any thread.
///
/// It goes past the seam to the file system: nothing depends on it, and its failure is nobody's concern.
package final class Heartbeat: Sendable {
  private static let intervalMilliseconds: Int64 = 10_000

  private let descriptor: Int32
  private let due = Atomic<Int64>(0)

  /// Opens the file, which is made when missing, and leaves its time as it is.
  package init(directory: Int32, name: String) {
    descriptor = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
  }

  /// Something has moved: bytes, an entry of a listing, a record.
  package func beat() {
    let now = Int64(monotonicSeconds() * 1000)
    let due = due.load(ordering: .relaxed)
    guard now >= due, descriptor >= 0,
      self.due.compareExchange(expected: due, desired: now + Self.intervalMilliseconds, ordering: .relaxed).exchanged
    else { return }
    futimens(descriptor, nil)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }
}
