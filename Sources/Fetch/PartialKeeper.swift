internal import Common
internal import Staging

/// Makes durable what has come of large files and says so in their sidecars, beside the writers, so that the wire does
/// not wait for the disk. One thread; what concerns one file is done in the order given.
///
/// A whole file passes through here too: an error that the kernel reports of its bytes is reported once, and must have
/// ended the run before the file could be committed.
final class PartialKeeper: Sendable {
  enum Job: Sendable {
    /// So much has come. The writer may be writing more.
    case mark(PartialFile)
    /// What has come is of no use.
    case discard(temporary: String)
    case whole(ReceivedFile)

    fileprivate var marked: String? { if case .mark(let partial) = self { partial.temporary } else { nil } }
  }

  /// Marks that wait; more hold the writer up, so that the disk is never far behind.
  private static let jobLimit = 8
  /// A run that is to stop keeps what it can within this.
  private static let patienceSeconds = 4.0

  private let jobs = BlockingQueue<Job>(maximumWeight: PartialKeeper.jobLimit)
  private let volume: StagingVolume
  private let outcome: TransferOutcome
  private let received: BlockingQueue<ReceivedFile>
  private let stop: StopSignal

  init(volume: StagingVolume, outcome: TransferOutcome, received: BlockingQueue<ReceivedFile>, stop: StopSignal) {
    self.volume = volume
    self.outcome = outcome
    self.received = received
    self.stop = stop
  }

  func give(_ job: Job) { jobs.push(job) }

  /// No more jobs will come.
  func close() { jobs.close() }

  /// Works until it is closed and has done all jobs.
  func run() {
    var deadline: Double?
    var named: Set<String> = []
    while true {
      let batch = jobs.popAll()
      if batch.isEmpty { return }
      for (index, job) in batch.enumerated() {
        if outcome.failure != nil {
          // Only space is still given back. What cannot be removed now is removed by the next start.
          if case .discard(let temporary) = job { try? volume.removePartial(temporary) }
          continue
        }
        if stop.isRequested, deadline == nil { deadline = monotonicSeconds() + Self.patienceSeconds }
        // The last mark of a file says it all.
        if let marked = job.marked, batch[(index + 1)...].contains(where: { $0.marked == marked }) { continue }
        // What is not told is asked for again.
        if job.marked != nil, let deadline, monotonicSeconds() > deadline { continue }
        do throws(SystemFailure) {
          try carryOut(job, &named)
        } catch {
          outcome.end(.broken(error, doing: "keep what has come of a large file"))
        }
      }
    }
  }

  private func carryOut(_ job: Job, _ named: inout Set<String>) throws(SystemFailure) {
    switch job {
    case .mark(let partial):
      try volume.keep(partial, isFirst: named.insert(partial.temporary).inserted)
      volume.heartbeat.beat()
    case .discard(let temporary): try volume.removePartial(temporary)
    case .whole(let file): received.push(file)
    }
  }
}
