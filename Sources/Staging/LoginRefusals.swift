package import Common

/// Log-ins that the server refused one after the other, with the same credentials. Accounts get locked by too many of
/// them, so scheduled runs wait ever longer. Disposable: without it the next run tries.
package struct LoginRefusals: Sendable, Equatable {
  /// How many, at least 1.
  package let count: UInt64
  /// When the last one was.
  package let wallMilliseconds: Int64
  /// The same moment since the boot of that id.
  package let bootMilliseconds: Int64
  package let bootID: String
  /// What the server said to the last one.
  package let reason: String
  /// Of the credentials that were refused.
  package let mark: CredentialMark

  /// A refusal that has just happened.
  package init(count: UInt64, reason: String, mark: CredentialMark, clock: Clock) {
    self.count = count
    self.reason = reason
    self.mark = mark
    wallMilliseconds = clock.wallMilliseconds()
    bootMilliseconds = clock.bootMilliseconds()
    bootID = clock.bootID
  }

  /// How long nothing is tried.
  ///
  /// | refusals in a row | minutes |
  /// |---|---|
  /// | 1 | 1 |
  /// | 2 | 5 |
  /// | 3 | 15 |
  /// | 4 and more | 60 |
  package var pauseMilliseconds: Int64 {
    let minutes: Int64 =
      switch count {
      case ...1: 1
      case 2: 5
      case 3: 15
      default: 60
      }
    return minutes * 60_000
  }

  /// Milliseconds since the last refusal; nil when no clock can tell.
  ///
  /// | the refusal was | measured by |
  /// |---|---|
  /// | in this boot | the time since boot, whatever was done to the wall clock |
  /// | in another boot, or in one without an id | the wall clock |
  /// | there, and later than now by the wall clock | nothing |
  package func elapsedMilliseconds(_ clock: Clock) -> Int64? {
    if !bootID.isEmpty, bootID == clock.bootID, clock.bootMilliseconds() >= bootMilliseconds {
      return clock.bootMilliseconds() - bootMilliseconds
    }
    let elapsed = clock.wallMilliseconds() - wallMilliseconds
    return elapsed >= 0 ? elapsed : nil
  }

  /// When scheduled runs try again, by the wall clock of now; nil when that is now.
  package func endMilliseconds(_ clock: Clock) -> Int64? {
    let left = pauseMilliseconds - (elapsedMilliseconds(clock) ?? 0)
    return left > 0 ? clock.wallMilliseconds() + left : nil
  }

  /// One line of JSON.
  func encoded() -> [UInt8] {
    var line = FlatJSONWriter()
    line.field("format", 1)
    line.field("count", count)
    line.field("at", UInt64(max(0, wallMilliseconds)))
    line.field("boot", bootID)
    line.field("since_boot", UInt64(max(0, bootMilliseconds)))
    line.field("reason", reason)
    line.field("salt", hex(mark.salt))
    line.field("mark", mark.digits)
    return line.finished() + [0x0a]
  }

  /// Nil for anything that is not whole and of this format.
  init?(_ encoded: [UInt8]) {
    guard encoded.last == 0x0a, let json = FlatJSON(Array(encoded.dropLast())), json.number("format") == 1,
      let count = json.number("count"), count > 0, let at = json.number("at").flatMap(Int64.init(exactly:)),
      let boot = json.text("boot"), let sinceBoot = json.number("since_boot").flatMap(Int64.init(exactly:)),
      let reason = json.text("reason"), let salt = json.text("salt").flatMap({ bytes(fromHex: $0.utf8) }),
      let mark = json.text("mark")
    else { return nil }
    self.count = count
    wallMilliseconds = at
    bootID = boot
    bootMilliseconds = sinceBoot
    self.reason = reason
    self.mark = CredentialMark(salt: salt, digits: mark)
  }
}

extension StagingVolume {
  /// The refusals since the last log-in that succeeded; nil when there are none.
  package func loadLoginRefusals() throws(SystemFailure) -> LoginRefusals? {
    try fileSystem.content(at: directories.state, LoginRefusals.fileName).flatMap { LoginRefusals($0) }
  }

  /// Keeps the refusals for the next runs, or forgets them. Synchronised: a machine that is switched on and off must
  /// not lock an account.
  package func save(_ refusals: LoginRefusals?) throws(SystemFailure) {
    let name = Array(LoginRefusals.fileName.utf8)
    if let refusals {
      try fileSystem.replaceFile(
        at: directories.state, LoginRefusals.fileName, with: refusals.encoded(), durable: true)
    } else if try fileSystem.status(at: directories.state, name) != nil {
      try fileSystem.remove(at: directories.state, name, isDirectory: false)
    }
  }
}

extension LoginRefusals {
  /// In state/.
  static let fileName = "login-refusals"
}
