/// How many handles may be open at once, adapted downward to servers that allow only few.
///
/// Such a server says SSH_FX_FAILURE to an OPEN, and so does one that cannot open that very file. They are told apart:
///
/// | FAILURE to an OPEN | taken as |
/// |---|---|
/// | while no other handle was held | this file's own failure |
/// | while others were held | perhaps too many: asked again once fewer are open |
/// | the third in a row while others were held | too many: the limit becomes what was held |
/// | again, with fewer open than the first time | this file's own failure; the limit goes back to where it began |
struct HandleBudget {
  private var maximum: Int
  /// Opening or open, at most.
  private(set) var limit: Int
  /// Opening or open.
  private(set) var inUse = 0
  private var held = 0
  private var refusalsInARow = 0
  /// What a careful beginning allows so far.
  private var slowStart: Int

  /// - Parameter caution: connections that broke with nothing to show for it; each has the next begin with a sixteenth.
  init(maximum: Int, caution: Int = 0) {
    self.maximum = maximum
    limit = maximum
    slowStart = max(1, maximum >> (4 * min(caution, 8)))
  }

  var hasRoom: Bool { inUse < min(limit, slowStart) }

  /// A file or directory ended: twice as many may be tried.
  mutating func succeeded() { slowStart = min(slowStart * 2, maximum) }

  /// The server says how many handles it gives.
  mutating func lower(to count: Int) {
    maximum = min(maximum, max(1, count))
    limit = min(limit, maximum)
  }

  /// What an OPEN that was answered with SSH_FX_FAILURE means.
  enum Refusal: Equatable {
    case ownFailure
    /// Open it again when fewer than this many are in use.
    case retry(below: Int)
  }

  /// An OPEN has been sent.
  mutating func opening() { inUse += 1 }

  /// It was answered with a handle.
  mutating func opened() {
    held += 1
    refusalsInARow = 0
  }

  /// The handle has been closed.
  mutating func closed() {
    held -= 1
    inUse -= 1
  }

  /// The OPEN failed for a reason that has nothing to do with the number of handles.
  mutating func failed() { inUse -= 1 }

  /// The OPEN was answered with SSH_FX_FAILURE; `below` is what an earlier refusal of the same file gave.
  mutating func refused(below: Int?) -> Refusal {
    inUse -= 1
    if below != nil {
      limit = maximum
      return .ownFailure
    }
    if held == 0 { return .ownFailure }
    refusalsInARow += 1
    if refusalsInARow >= 3 { limit = min(limit, held) }
    return .retry(below: held)
  }
}
