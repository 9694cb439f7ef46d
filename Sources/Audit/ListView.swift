package import Common
package import Staging

/// One line of `ls`: the latest generation of a path and where it stands.
package struct ListedPath {
  package enum Standing: String, Sendable {
    case published, pending, failed, drifted, dropped
  }

  package let path: RemotePath
  package let standing: Standing
  private let known: PathState

  /// The paths at or below `prefix`, in byte order.
  package static func all(
    in state: MirrorState, below prefix: RemotePath?, destination: Destination?
  ) -> [ListedPath] {
    state.paths.lazy
      .map { (path: state.paths.path(of: $0), known: $0) }
      .filter { path, _ in prefix.map { path == $0 || path.ancestors.contains($0) } ?? true }
      .map { ListedPath(path: $0, known: $1, state: state, destination: destination) }
      .sorted { $0.path < $1.path }
  }

  /// | journal says | standing |
  /// |---|---|
  /// | staged bytes removed on purpose | dropped |
  /// | staged bytes found altered or missing | drifted |
  /// | published to the destination (to any, when none is configured) | published |
  /// | the last attempt to publish failed for a reason of its own | failed |
  /// | else | pending |
  private init(path: RemotePath, known: PathState, state: MirrorState, destination: Destination?) {
    self.path = path
    self.known = known
    standing =
      if known.isDropped {
        .dropped
      } else if known.hasDrifted {
        .drifted
      } else if state.isPublished(known, to: destination) {
        .published
      } else if state.failures[MirrorState.FailureKey(path, .publish)] != nil {
        .failed
      } else {
        .pending
      }
  }

  /// For people: standing, size, modification time, path; `gone` where the remote no longer has it.
  package var text: String {
    let mtime = timestamp(wallMilliseconds: Int64(known.fingerprint.mtime) * 1000).prefix(19) + "Z"
    let size = String(known.fingerprint.size)
    let columns = [
      pad(standing.rawValue, 9), String(repeating: " ", count: max(0, 14 - size.count)) + size, String(mtime),
      path.description + (known.isGone ? "  (gone from the remote)" : ""),
    ]
    return columns.joined(separator: "  ")
  }

  /// One JSON object.
  package var json: [UInt8] {
    var writer = FlatJSONWriter()
    writer.path(path)
    writer.field("state", standing.rawValue)
    writer.field("gone", known.isGone ? 1 : 0)
    writer.field("gen", known.generation)
    writer.field("size", known.fingerprint.size)
    writer.field("mtime", UInt64(known.fingerprint.mtime))
    writer.field("sha256", known.sha256.hex)
    writer.field("fetched", timestamp(wallMilliseconds: known.fetchedMilliseconds))
    return writer.finished()
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
