package import Common

/// What status.json holds: the last run of each phase and what is waiting. Written at the end of every run.
package struct StatusReport: Codable, Sendable, Equatable {
  /// Of this file; goes up when a field changes its meaning.
  package var format = 1
  package var updated: String
  package var fetch: PhaseStatus?
  package var publish: PhaseStatus?
  package var backlog: Backlog

  package struct PhaseStatus: Codable, Sendable, Equatable {
    package var started: String
    package var ended: String
    package var exitCode: Int32
    package var lastSuccess: String?
    /// The line that ended the phase, when it did not end well.
    package var error: String?
    package var summary: String

    package init(
      started: String, ended: String, exitCode: Int32, lastSuccess: String?, error: String?, summary: String
    ) {
      self.started = started
      self.ended = ended
      self.exitCode = exitCode
      self.lastSuccess = lastSuccess
      self.error = error
      self.summary = summary
    }
  }

  /// What the configured destination lacks. A path that can have no key there is counted apart: it would make every
  /// lag endless.
  package struct Backlog: Codable, Sendable, Equatable {
    package var files: Int
    package var bytes: UInt64
    /// When the oldest pending generation was fetched.
    package var oldest: String?
    /// Age of the oldest pending generation.
    package var lagSeconds: Int64?
    /// Staged files whose names cannot be keys.
    package var withoutKey: Int

    package init(_ state: borrowing MirrorState, destination: Destination?, nowMilliseconds: Int64) {
      var (files, bytes, oldest, withoutKey) = (0, UInt64(0), Int64.max, 0)
      state.forEachPending(for: destination) { known in
        guard case .key = ObjectKey.of(state.paths.path(of: known), folder: destination?.folder ?? "") else {
          withoutKey += 1
          return
        }
        files += 1
        bytes += known.fingerprint.size
        oldest = min(oldest, known.fetchedMilliseconds)
      }
      self.withoutKey = withoutKey
      self.files = files
      self.bytes = bytes
      if files > 0 {
        self.oldest = timestamp(wallMilliseconds: oldest)
        lagSeconds = max(0, (nowMilliseconds - oldest) / 1000)
      }
    }
  }

  package init(updated: String, fetch: PhaseStatus?, publish: PhaseStatus?, backlog: Backlog) {
    self.updated = updated
    self.fetch = fetch
    self.publish = publish
    self.backlog = backlog
  }
}
