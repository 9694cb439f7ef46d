internal import Glibc

/// Hands values from one thread to another, in order, holding at most so much between them.
package final class BlockingQueue<Element: Sendable>: @unchecked Sendable {
  // @unchecked: every access to `elements`, `weight` and `isClosed` is under `mutex`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var elements: [(element: Element, weight: Int)] = []
  /// Where the first value not yet taken stands; what is before it is cut off now and then, not at every pop.
  private var first = 0
  private var weight = 0
  private var isClosed = false
  private let maximumWeight: Int

  /// - Parameter maximumWeight: ``push(_:weight:)`` waits while more than this is held.
  package init(maximumWeight: Int) {
    self.maximumWeight = maximumWeight
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Adds a value; waits while the queue is full. A value that alone exceeds the maximum is let in when the queue is
  /// empty.
  /// - Returns: false when the queue is closed: the value was not taken.
  @discardableResult
  package func push(_ element: Element, weight: Int = 1) -> Bool {
    locked {
      while self.weight > 0, self.weight + weight > maximumWeight, !isClosed { pthread_cond_wait(changed, mutex) }
      if isClosed { return false }
      elements.append((element, weight))
      self.weight += weight
      pthread_cond_broadcast(changed)
      return true
    }
  }

  /// Takes everything there is; waits until there is something. Empty once the queue is closed and drained.
  /// - Parameters:
  ///   - count: go on waiting until there are this many …
  ///   - patienceSeconds: … but no longer than this after the first.
  package func popAll(waitingFor count: Int = 1, patienceSeconds: Double = 0) -> [Element] {
    locked {
      while isEmpty, !isClosed { pthread_cond_wait(changed, mutex) }
      if elements.count - first < count, patienceSeconds > 0 {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let nanoseconds = until.tv_nsec + Int(patienceSeconds * 1e9)
        until.tv_sec += nanoseconds / 1_000_000_000
        until.tv_nsec = nanoseconds % 1_000_000_000
        while elements.count - first < count, !isClosed {
          if pthread_cond_timedwait(changed, mutex, &until) == ETIMEDOUT { break }
        }
      }
      let all = elements[first...].map(\.element)
      elements.removeAll(keepingCapacity: true)
      first = 0
      weight = 0
      pthread_cond_broadcast(changed)
      return all
    }
  }

  /// Takes the first value; waits until there is one. Nil once the queue is closed and drained.
  package func pop() -> Element? {
    locked {
      while isEmpty, !isClosed { pthread_cond_wait(changed, mutex) }
      return takeFirst()
    }
  }

  /// Takes the first value if there is one; does not wait.
  package func tryPop() -> (element: Element?, isFinished: Bool) {
    locked {
      let first = takeFirst()
      return (first, first == nil && isClosed)
    }
  }

  /// No more values will come; whoever waits is woken.
  package func close() {
    locked {
      isClosed = true
      pthread_cond_broadcast(changed)
    }
  }

  private var isEmpty: Bool { first == elements.count }

  private func takeFirst() -> Element? {
    guard !isEmpty else { return nil }
    let taken = elements[first]
    first += 1
    if first == elements.count || first >= 256 {
      elements.removeFirst(first)
      first = 0
    }
    weight -= taken.weight
    pthread_cond_broadcast(changed)
    return taken.element
  }

  private func locked<Result>(_ body: () -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }
}
