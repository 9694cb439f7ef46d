package import Common
package import Logging

/// Several connections to one server that walk and download together.
///
/// The thread that owns the pool works over the first connection; the others have threads of their own, are opened when
/// there is work enough for them, and stay until the pool is closed. A connection that breaks is replaced.
package final class ConnectionPool {
  /// A connection reads one file of this many bytes or more at a time; so large files spread over the connections.
  package static let largeFileBytes = DownloadQueue.largeBytes

  private let shared: Shared
  private var first: Member
  private var threads: [Worker] = []

  /// What was negotiated with the server when the pool was opened.
  package var facts: ConnectionFacts? { first.connection?.facts }

  /// Opens the first connection.
  /// - Parameters:
  ///   - maximum: connections at a time, at least 1.
  ///   - retry: the waits between attempts, and how many there are without anything being finished in between.
  ///   - connect: opens a logged-in connection that heeds the given signal; called from several threads.
  /// - Throws: what `connect` throws.
  package init(
    maximum: Int, stop: StopSignal, logger: Logger,
    retry: RetryPolicy = RetryPolicy(maximumAttempts: 8, baseSeconds: 0.5, maximumSeconds: 10),
    connect: @escaping @Sendable (StopSignal) throws(SFTPError) -> SFTPConnection
  ) throws(SFTPError) {
    shared = Shared(maximum: max(1, maximum), stop: stop, logger: logger, retry: retry, connect: connect)
    first = Member(shared: shared, index: 0)
    _ = try first.open()
  }

  deinit { close() }

  /// Asks something over the first connection.
  package func ask<Result>(_ body: (SFTPConnection) throws(SFTPError) -> Result) throws(SFTPError) -> Result {
    try body(try first.open())
  }

  /// Lists a whole tree, as ``SFTPConnection/walk(_:visitor:)`` does, over as many connections as are of use.
  package func walk(_ root: [UInt8], visitor: any TreeVisitor) throws(SFTPError) {
    let shared = shared
    try carryOut(
      WalkQueue(root: root, visitor: visitor, stop: shared.stop, wantsConnections: { shared.want($0) }), over: 1)
  }

  /// Downloads as ``SFTPConnection/download(_:filesInFlight:)`` does, over as many connections as are of use.
  /// - Parameters:
  ///   - filesInFlight: open at once over each connection, at most.
  ///   - connections: how many would find something to do.
  package func download(
    _ handler: any DownloadHandler, filesInFlight: Int, usefulConnections connections: Int
  ) throws(SFTPError) {
    try carryOut(DownloadQueue(handler, filesInFlight: filesInFlight, stop: shared.stop), over: connections)
  }

  /// Ends all connections. Safe to call twice.
  package func close() {
    // Whoever is just connecting gives up.
    shared.closing.request()
    shared.crew.change { $0.isClosing = true }
    for thread in threads { thread.join() }
    threads = []
    first.close()
  }

  private func carryOut(_ work: any SharedWork, over connections: Int) throws(SFTPError) {
    while threads.count < shared.maximum - 1 {
      let index = threads.count + 1
      threads.append(Worker { [shared] in Self.serve(shared, index) })
    }
    shared.crew.change {
      $0.work = work
      $0.number += 1
      $0.wanted = connections
    }
    _ = first.drive(work)
    shared.crew.change { $0.work = nil }
    while shared.crew.wait(milliseconds: 1000, until: { $0.busy == 0 ? true : nil }) == nil {}
    if let failure = work.failure { throw failure }
  }

  /// The life of a thread: works with the others whenever it is wanted.
  private static func serve(_ shared: Shared, _ index: Int) {
    var member = Member(shared: shared, index: index)
    var served = 0
    while true {
      let next: (work: (any SharedWork)?, number: Int)? = shared.crew.wait(milliseconds: 60_000) { crew in
        if crew.isClosing { return (nil, 0) }
        guard let work = crew.work, crew.number != served, index < crew.wanted else { return nil }
        return (work, crew.number)
      }
      guard let next else { continue }
      guard let work = next.work else { break }
      served = next.number
      if !member.drive(work) { break }
    }
    member.close()
  }
}

extension ConnectionPool {
  /// What the threads of a pool share.
  final class Shared: Sendable {
    struct Crew: Sendable {
      var work: (any SharedWork)?
      /// Tells one work from the next.
      var number = 0
      /// Connections that the work at hand keeps busy.
      var wanted = 1
      /// Threads that have a share of the work under way, the owner's left out.
      var busy = 0
      /// Connections that are up.
      var live = 0
      var isClosing = false
      var hasToldLimit = false
    }

    let maximum: Int
    let stop: StopSignal
    let logger: Logger
    let retry: RetryPolicy
    let connect: @Sendable (StopSignal) throws(SFTPError) -> SFTPConnection
    let crew = Monitor(Crew())
    /// Requested when the pool is closed, too.
    let closing: StopSignal

    init(
      maximum: Int, stop: StopSignal, logger: Logger, retry: RetryPolicy,
      connect: @escaping @Sendable (StopSignal) throws(SFTPError) -> SFTPConnection
    ) {
      self.maximum = maximum
      self.stop = stop
      self.logger = logger
      self.retry = retry
      self.connect = connect
      closing = StopSignal(following: stop)
    }

    /// Takes a share of the work, unless it is over: then nobody waits for this thread any more.
    func enter(_ work: any SharedWork) -> Bool {
      crew.change { crew in
        guard crew.work === work else { return false }
        crew.busy += 1
        return true
      }
    }

    func leave() { crew.change { $0.busy -= 1 } }

    func want(_ connections: Int) { crew.change { $0.wanted = max($0.wanted, connections) } }
  }

  /// One connection of a pool, on one thread, and how it is replaced.
  struct Member {
    let shared: Shared
    /// 0 for the owner's.
    let index: Int
    private(set) var connection: SFTPConnection?

    init(shared: Shared, index: Int) {
      self.shared = shared
      self.index = index
    }

    mutating func open() throws(SFTPError) -> SFTPConnection {
      if let connection { return connection }
      let opened = try shared.connect(shared.closing)
      connection = opened
      shared.crew.change { $0.live += 1 }
      return opened
    }

    mutating func close() {
      guard let connection else { return }
      connection.close()
      self.connection = nil
      shared.crew.change { $0.live -= 1 }
    }

    /// Does a share of the work, over one connection after the other if need be, until the work is over or this
    /// member can do no more.
    /// - Returns: false when this member is of no more use.
    mutating func drive(_ work: any SharedWork) -> Bool {
      var losses = 0
      var progress = work.progress
      while !work.isOver {
        do throws(SFTPError) {
          try share(work, over: try open())
          return true
        } catch {
          let wasUp = connection != nil
          close()
          if work.progress != progress { losses = 0 }
          progress = work.progress
          losses += 1
          let others = shared.crew.read { $0.live }
          switch afterLoss(
            of: error, isStopped: shared.closing.isRequested, wasUp: wasUp, losses: losses, others: others,
            retry: shared.retry)
          {
          case .end:
            work.end(error)
            return false
          case .leaveToOthers:
            tell(of: error, connections: others)
            // Connections that the work had no need of so far are others, too.
            shared.want(shared.maximum)
            if index > 0 { return false }
            awaitOthers(work)
            losses = 0
          case .reconnect(let seconds):
            shared.logger.debug(
              "replacing a connection", metadata: ["reason": "\(error.reason)", "seconds": "\(seconds)"])
            rest(seconds, work)
          }
        }
      }
      return true
    }

    private func share(_ work: any SharedWork, over connection: SFTPConnection) throws(SFTPError) {
      guard shared.enter(work) else { return }
      defer { shared.leave() }
      try work.work(over: connection)
    }

    /// The owner cannot go before the work is over; when nobody else is left it tries again.
    private func awaitOthers(_ work: any SharedWork) {
      while !work.isOver, !shared.closing.isRequested, shared.crew.read({ $0.live }) > 0 { pause(milliseconds: 50) }
    }

    private func rest(_ seconds: Double, _ work: any SharedWork) {
      let end = monotonicSeconds() + seconds
      while monotonicSeconds() < end, !shared.closing.isRequested, !work.isOver { pause(milliseconds: 20) }
    }

    private func tell(of error: SFTPError, connections: Int) {
      let isFirst = shared.crew.change { crew in
        defer { crew.hasToldLimit = true }
        return !crew.hasToldLimit
      }
      if isFirst {
        shared.logger.notice(
          "going on with fewer connections",
          metadata: ["connections": "\(connections)", "code": "\(error.code)", "reason": "\(error.reason)"])
      }
    }
  }
}

/// What to do when a connection broke or could not be opened. Pure.
enum AfterLoss: Equatable {
  /// The work fails with the error.
  case end
  /// The others do the rest.
  case leaveToOthers
  case reconnect(afterSeconds: Double)
}

/// | the run is to stop | error | other connections are up | losses without progress | do |
/// |---|---|---|---|---|
/// | yes | any | any | any | end |
/// | no | about the host key | any | any | end: someone may be in between |
/// | no | any other, while connecting | yes | any | leave it to the others: the server allows no more |
/// | no | fatal, or about the configuration | yes | any | leave it to the others |
/// | no | fatal, or about the configuration | no | any | end |
/// | no | temporary | yes | 2 or more | leave it to the others |
/// | no | temporary | no | as many as `retry` allows | end |
/// | no | temporary | any | fewer | connect again, after a random while |
func afterLoss(
  of error: SFTPError, isStopped: Bool, wasUp: Bool, losses: Int, others: Int, retry: RetryPolicy,
  random: Double = Double.random(in: 0...1)
) -> AfterLoss {
  if isStopped || error.operation == "host key" { return .end }
  if others > 0, !wasUp || losses >= 2 || error.severity != .temporary { return .leaveToOthers }
  guard error.severity == .temporary, let seconds = retry.delaySeconds(failedAttempts: losses, random: random) else {
    return .end
  }
  return .reconnect(afterSeconds: seconds)
}
