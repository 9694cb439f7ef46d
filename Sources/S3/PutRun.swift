internal import Common
internal import HTTP
internal import Logging

extension S3Client {
  /// Puts what `queue` hands out, many at once, until it is exhausted and everything has ended.
  ///
  /// | event | what happens |
  /// |---|---|
  /// | a key fails for good | reported; the others go on |
  /// | fatal or configuration error (see ``Verdict``) | nothing new; those in flight end, then it is thrown |
  /// | AccessDenied before any success | nothing new; if one of those in flight succeeds, only that key has failed |
  /// | breaker opens (see ``Breaker``) | nothing new; those in flight get 2 s; a temporary error is thrown |
  /// | stop is requested | nothing new; those in flight get 8 s; returns |
  ///
  /// Whatever was handed out is reported exactly once before this ends; what was given up on is a temporary failure.
  package func put(_ queue: any PutQueue) throws(S3Error) {
    let run = PutRun(client: self, queue: queue)
    try run.run()
  }
}

/// One call of ``S3Client/put(_:)``.
private final class PutRun {
  /// A request handed out and not yet reported.
  private final class Job {
    let request: PutRequest
    var attempts = 0
    var startedAt = 0.0
    var usedSkew: Int64?
    var lastFailure: FailedAttempt?

    init(_ request: PutRequest) { self.request = request }
  }

  private enum Ending {
    case stopped
    case failed(S3Error)
  }

  private let client: S3Client
  private let queue: any PutQueue
  private let slots: Int
  private var jobs: [Job?]
  private var freeSlots: [Int]
  /// Waiting for their next attempt, without holding a slot.
  private var delayed = [(due: Double, job: Job)]()
  /// Refused with AccessDenied before anything was stored: whether that is about one key shows when the others end.
  private var denied = [(job: Job, error: S3Error)]()
  private var breaker = Breaker()
  private var ending: Ending?
  private var endBy = Double.infinity
  private var isExhausted = false

  /// Requests at once that are used of those allowed: with 64, small files to SeaweedFS on loopback went as fast as
  /// with any other number (8 took twice as long), at the same processor time.
  private static let usefulConnections = 64
  /// Seconds that requests in flight get in an outage.
  private static let outageGraceSeconds = 2.0

  init(client: S3Client, queue: any PutQueue) {
    self.client = client
    self.queue = queue
    let useful = min(client.settings.connections, Self.usefulConnections)
    slots = max(1, min(useful, client.settings.bandwidth.map(Self.connections(within:)) ?? useful))
    jobs = Array(repeating: nil, count: slots)
    freeSlots = Array((0..<slots).reversed())
  }

  /// Requests at once that all get some bytes through every few seconds: servers give up on those that do not.
  private static func connections(within bandwidth: BandwidthLimit) -> Int {
    bandwidth.pieceBytes(milliseconds: 2_000, in: 0...Int.max) / (64 << 10)
  }

  func run() throws(S3Error) {
    while true {
      if client.stop.isRequested, ending == nil { end(.stopped, graceSeconds: S3Client.stopGraceSeconds) }
      settleDenials()
      if ending == nil, denied.isEmpty { fill() }
      let isIdle = freeSlots.count == slots
      if isIdle && (ending != nil || (isExhausted && delayed.isEmpty)) { break }
      if monotonicSeconds() >= endBy {
        abandon()
        break
      }
      client.engine.step(waitMilliseconds: waitMilliseconds()) { slot, result in complete(slot, result) }
    }
    if case .failed(let error) = ending { throw error }
  }

  // MARK: Handing out

  private func fill() {
    let now = monotonicSeconds()
    while ending == nil, !freeSlots.isEmpty, let index = delayed.firstIndex(where: { $0.due <= now }) {
      send(delayed.remove(at: index).job)
    }
    while ending == nil, !isExhausted, !freeSlots.isEmpty, mayTakeNew {
      switch queue.next() {
      case .request(let request): send(Job(request))
      case .notYet: return
      case .exhausted: isExhausted = true
      }
    }
  }

  /// In trouble, what has been taken already is tried again first: the queue's files stay closed and bodies unread.
  /// When nothing of that is left, one new request at a time finds out how things are.
  private var mayTakeNew: Bool {
    let isIdle = delayed.isEmpty && freeSlots.count == slots
    return isIdle || (breaker.streak < slots && delayed.count < 4 * slots)
  }

  private func send(_ job: Job) {
    let request = job.request
    var operation = S3Client.Operation(.put, key: request.key)
    operation.headers = request.headers
    operation.headers.append(("content-md5", request.md5.base64))
    operation.body = request.body.http
    operation.payloadSHA256 = request.sha256.hex
    let slot = freeSlots.removeLast()
    jobs[slot] = job
    job.startedAt = monotonicSeconds()
    job.usedSkew = client.skewMilliseconds
    do {
      try client.send(operation, ticket: slot, freshConnection: job.lastFailure?.error.httpStatus == 503)
      job.attempts += 1
    } catch {
      let job = take(slot)
      report(job, .failure(words(job).failure(error).error))
    }
  }

  /// Until the next delayed request is due, the grace is over, or it is time to look at the stop signal.
  private func waitMilliseconds() -> Int {
    let next = delayed.reduce(endBy) { freeSlots.isEmpty ? $0 : min($0, $1.due) }
    guard next.isFinite else { return S3Client.pollMilliseconds }
    return min(S3Client.pollMilliseconds, max(0, Int((next - monotonicSeconds()) * 1000) + 1))
  }

  // MARK: Taking back

  private func complete(_ slot: Int, _ result: Result<HTTPResponse, TransportError>) {
    let job = take(slot)
    switch result {
    case .failure(let error): failed(job, words(job).failure(error))
    case .success(let response):
      guard let failure = words(job).failure(response) else { return succeeded(job, response) }
      failed(job, failure)
    }
  }

  private func succeeded(_ job: Job, _ response: HTTPResponse) {
    breaker.answered(at: monotonicSeconds())
    client.hasStored = true
    let receipt = PutReceipt(
      etag: unquoted(response.header("etag")), versionID: response.header("x-amz-version-id"),
      requestID: response.header("x-amz-request-id"))
    report(job, .success(receipt))
  }

  private func failed(_ job: Job, _ answer: FailedAttempt) {
    let failure = client.hasStored && answer.error.isDenial ? answer.ofOneKey : answer
    job.lastFailure = failure
    var isOpen = false
    if failure.verdict.isAnswer {
      breaker.answered(at: monotonicSeconds())
    } else {
      isOpen = breaker.failed(token: job.request.token, startedAt: job.startedAt, now: monotonicSeconds())
    }
    switch failure.verdict {
    case _ where ending != nil: report(job, .failure(failure.error))
    case .retry where isOpen:
      report(job, .failure(failure.error))
      end(.failed(outage(failure.error)), graceSeconds: Self.outageGraceSeconds)
    case .skewed where client.adoptClock(failure.serverMilliseconds, usedSkew: job.usedSkew):
      delayed.append((monotonicSeconds(), job))
    case .resend where job.attempts >= Verdict.maximumSends: report(job, .failure(failure.error))
    case .retry, .resend:
      guard let delay = client.delaySeconds(after: failure, attempts: job.attempts) else {
        return report(job, .failure(failure.error))
      }
      client.logger.debug(
        "trying again",
        metadata: [
          "key": "\(escaped(job.request.key))", "code": "\(failure.error.code)", "attempt": "\(job.attempts)",
          "seconds": "\(delay)",
        ])
      delayed.append((monotonicSeconds() + delay, job))
    case .final where failure.error.isDenial && failure.error.endsPhase: denied.append((job, failure.error))
    case .skewed, .final:
      report(job, .failure(failure.error))
      if failure.error.endsPhase { end(.failed(failure.error), graceSeconds: S3Client.stopGraceSeconds) }
    }
  }

  /// Once something is stored, the credentials are good for others; when nothing is left that could be, they are not.
  private func settleDenials() {
    guard let first = denied.first else { return }
    if client.hasStored {
      reportDenials()
    } else if ending == nil, freeSlots.count == slots {
      end(.failed(first.error), graceSeconds: 0)
    }
  }

  private func reportDenials() {
    for (job, error) in denied { report(job, .failure(client.hasStored ? error.ofOneKey : error)) }
    denied = []
  }

  // MARK: Ending

  private func end(_ ending: Ending, graceSeconds: Double) {
    self.ending = ending
    endBy = monotonicSeconds() + graceSeconds
    for (_, job) in delayed { report(job, .failure(job.lastFailure?.error ?? givenUp(job))) }
    delayed = []
    reportDenials()
  }

  private func abandon() {
    for slot in client.engine.abandon() {
      let job = take(slot)
      report(job, .failure(givenUp(job)))
    }
  }

  private func givenUp(_ job: Job) -> S3Error {
    words(job).make(
      code: "abandoned", reason: "given up when the run ended before the server's answer", severity: .temporary)
  }

  private func outage(_ last: S3Error) -> S3Error {
    S3Error(
      code: last.code, operation: "PUT", subject: "s3://\(escaped(client.settings.bucket))",
      reason: "\(client.settings.endpoint) keeps failing; last: \(last.reason)", advice: last.advice,
      severity: .temporary, httpStatus: last.httpStatus, requestID: last.requestID)
  }

  private func take(_ slot: Int) -> Job {
    let job = jobs[slot]!
    jobs[slot] = nil
    freeSlots.append(slot)
    return job
  }

  private func words(_ job: Job) -> Attempt { client.attempt(.put, key: job.request.key) }

  private func report(_ job: Job, _ outcome: Result<PutReceipt, S3Error>) {
    queue.finished(PutResult(token: job.request.token, attempts: job.attempts, outcome: outcome))
  }
}
