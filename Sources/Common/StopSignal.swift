internal import Synchronization

/// Asked once, seen by all: the run shall take no new work, record what is durable, and end.
///
/// Set by the executable's signal handler thread; read by every loop.
package final class StopSignal: Sendable {
  private let requested = Atomic<Bool>(false)
  private let parent: StopSignal?

  /// - Parameter parent: a wider signal, which this one follows.
  package init(following parent: StopSignal? = nil) { self.parent = parent }

  package func request() { requested.store(true, ordering: .releasing) }
  package var isRequested: Bool {
    requested.load(ordering: .acquiring) || parent?.isRequested == true
  }
}
