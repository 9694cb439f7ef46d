internal import Glibc

/// A thread that runs one closure, for code that blocks: such code must not sit on Swift's cooperative threads.
package struct Worker {
  private final class Job {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private let thread: pthread_t

  /// Starts the thread.
  package init(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let job = Unmanaged.passRetained(Job(body)).toOpaque()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 1 << 20)
    let error = pthread_create(
      &thread, &attributes,
      { argument in
        Unmanaged<Job>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, job)
    pthread_attr_destroy(&attributes)
    // Out of threads is out of memory: there is no way on, and nothing is lost by stopping here.
    precondition(error == 0, "cannot start a thread: \(errnoText(error))")
    self.thread = thread
  }

  /// Waits for the thread to end.
  package func join() { pthread_join(thread, nil) }
}
