package import Common
package import Staging

/// What the destination lacks, and what can never be there.
package struct PublishPlan: Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    package var path: RemotePath
    package var key: [UInt8]
    package var generation: UInt64
    package var fingerprint: Fingerprint
    package var sha256: SHA256Digest
    package var md5: MD5Digest?
    /// The staged bytes are already recorded as not being what they should.
    package var isKnownDrift: Bool
  }

  package struct Impossible: Sendable, Equatable {
    package var path: RemotePath
    package var generation: UInt64
    package var code: String
    package var reason: String
  }

  /// Oldest generation first, so that lag shrinks; what failed before comes last, so that it holds up nothing.
  package var items: [Item] = []
  /// Paths that have no key in this destination.
  package var impossible: [Impossible] = []

  package init(state: borrowing MirrorState, destination: Destination) {
    var failedBefore: [Item] = []
    state.forEachPending(for: destination) { known in
      let path = state.paths.path(of: known)
      switch ObjectKey.of(path, folder: destination.folder) {
      case .notUTF8:
        impossible.append(
          Impossible(
            path: path, generation: known.generation, code: "key-not-utf8",
            reason: "its name is not valid UTF-8, and an S3 key must be"))
      case .tooLong(let bytes):
        impossible.append(
          Impossible(
            path: path, generation: known.generation, code: "key-too-long",
            reason: "its key would be \(bytes) bytes long, and S3 allows \(ObjectKey.maximumLength)"))
      case .key(let key):
        let item = Item(
          path: path, key: key, generation: known.generation, fingerprint: known.fingerprint, sha256: known.sha256,
          md5: known.md5, isKnownDrift: known.hasDrifted)
        if state.failures[MirrorState.FailureKey(path, .publish)] == nil {
          items.append(item)
        } else {
          failedBefore.append(item)
        }
      }
    }
    items.sort { $0.generation < $1.generation }
    items += failedBefore.sorted { $0.generation < $1.generation }
    impossible.sort { $0.path < $1.path }
  }
}
