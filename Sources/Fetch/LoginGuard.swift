internal import Common
internal import Logging
internal import SFTP
internal import Staging

/// What a run does about logging in. Pure.
enum LoginDecision: Equatable {
  case attempt
  /// Until this time of the wall clock.
  case pause(untilMilliseconds: Int64)
  /// No clock can tell when the last refusal was, so the whole pause begins now.
  case pauseAnew

  /// | refused before | command | since the last refusal | host, user and credentials | do |
  /// |---|---|---|---|---|
  /// | no | any | – | – | attempt |
  /// | yes | by hand | – | – | attempt |
  /// | yes | scheduled | the pause or longer | – | attempt |
  /// | yes | scheduled | less, or unknown | changed | attempt |
  /// | yes | scheduled | less | the same | pause for the rest |
  /// | yes | scheduled | unknown | the same | pause anew |
  ///
  /// - Parameter isSame: slow, so it is asked last.
  static func about(
    _ refusals: LoginRefusals?, isByHand: Bool, clock: Clock, isSame: (CredentialMark) -> Bool
  ) -> LoginDecision {
    guard let refusals, !isByHand, let end = refusals.endMilliseconds(clock), isSame(refusals.mark) else {
      return .attempt
    }
    return refusals.elapsedMilliseconds(clock) == nil ? .pauseAnew : .pause(untilMilliseconds: end)
  }
}

/// Keeps scheduled runs from locking an account: after a refused log-in they let some time pass.
struct LoginGuard {
  private let source: SFTPSource
  private let volume: StagingVolume
  private let logger: Logger

  init(source: SFTPSource, volume: StagingVolume, logger: Logger) {
    self.source = source
    self.volume = volume
    self.logger = logger
  }

  /// - Throws: while nothing must be tried, when it will be, and what the server said.
  func permit(isByHand: Bool) throws(PhaseFailure) {
    let refusals = load()
    let decision = LoginDecision.about(
      refusals, isByHand: isByHand, clock: volume.clock, isSame: { $0.matches(source) })
    guard let refusals else { return }
    switch decision {
    case .attempt: return
    case .pause(let end): throw paused(refusals, until: end)
    case .pauseAnew:
      let now = LoginRefusals(
        count: refusals.count, reason: refusals.reason, mark: refusals.mark, clock: volume.clock)
      save(now)
      throw paused(refusals, until: volume.clock.wallMilliseconds() + now.pauseMilliseconds)
    }
  }

  /// The server has let us in.
  func loggedIn() { save(nil) }

  /// Remembers a refusal; any other failure says nothing about the credentials.
  func note(_ failure: any Failure) {
    guard let failure = failure as? SFTPError, failure.isRefusedLogin else { return }
    let before = load().flatMap { $0.mark.matches(source) ? $0 : nil }
    save(
      LoginRefusals(
        count: (before?.count ?? 0) + 1, reason: failure.reason, mark: before?.mark ?? CredentialMark(of: source),
        clock: volume.clock))
  }

  private func paused(_ refusals: LoginRefusals, until end: Int64) -> PhaseFailure {
    let times = refusals.count == 1 ? "" : " \(refusals.count) times in a row, last"
    return PhaseFailure(
      code: "login-paused", operation: "authenticate", subject: escaped("\(source.user)@\(source.host):\(source.port)"),
      reason: "not tried again until \(timestamp(wallMilliseconds: end)), so that the account is not locked;"
        + " refused\(times) at \(timestamp(wallMilliseconds: refusals.wallMilliseconds)): \(refusals.reason)",
      advice: "other credentials are tried at once; `sftp-to-s3 fetch` tries these now", severity: .fatal)
  }

  private func load() -> LoginRefusals? {
    do throws(SystemFailure) {
      return try volume.loadLoginRefusals()
    } catch {
      logger.warning("cannot read which log-ins were refused", metadata: ["reason": "\(error.reason)"])
      return nil
    }
  }

  private func save(_ refusals: LoginRefusals?) {
    do throws(SystemFailure) {
      try volume.save(refusals)
    } catch {
      logger.warning("cannot keep which log-ins were refused", metadata: ["reason": "\(error.reason)"])
    }
  }
}
