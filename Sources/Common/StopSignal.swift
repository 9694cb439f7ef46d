internal import Synchronization

/// Asked once, seen by all: the run shall take no new work, record what is durable, and end.
///
/// Set by the executable's signal handler thread, or by the time that passes; read by every loop.
package final class StopSignal: Sendable {
  private let requested = Atomic<Bool>(false)
  private let parent: StopSignal?
  private let deadlineSeconds: Double

  /// - Parameters:
  ///   - parent: a wider signal, which this one follows.
  ///   - deadlineSeconds: when it is requested by itself, on the clock of ``monotonicSeconds()``.
  package init(following parent: StopSignal? = nil, deadlineSeconds: Double = .infinity) {
    self.parent = parent
    self.deadlineSeconds = deadlineSeconds
  }

  package func request() { requested.store(true, ordering: .releasing) }
  package var isRequested: Bool {
    requested.load(ordering: .acquiring) || parent?.isRequested == true || isOverdue
  }

  /// True when the time is over, and nobody asked before.
  package var isOvertime: Bool {
    if requested.load(ordering: .acquiring) { return false }
    guard let parent, parent.isRequested else { return isOverdue }
    return parent.isOvertime
  }

  private var isOverdue: Bool { deadlineSeconds < .infinity && monotonicSeconds() >= deadlineSeconds }
}
