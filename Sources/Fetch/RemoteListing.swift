package import Common
package import SFTP

/// One walk of the remote folder: its files in the order they were seen, and what could not be seen.
package final class RemoteListing: TreeVisitor {
  package private(set) var files: [FetchPlan.Item] = []
  package private(set) var unknown: [(path: RemotePath?, error: SFTPError)] = []
  package private(set) var skipped: [Skipped] = []
  package private(set) var excludedCount = 0
  private var isRootListed = false
  private var listed: Set<RemotePath> = []
  private var unknownPaths: Set<RemotePath> = []
  private var skippedPaths: Set<RemotePath> = []
  private var waitingForMarker: Set<RemotePath> = []
  private let selector: PathSelector
  private let heartbeat: Heartbeat?

  /// An entry of a directory that is not fetched.
  package struct Skipped: Sendable, CustomStringConvertible {
    package let name: String
    package let reason: String

    package var description: String { "\(name) (\(reason))" }
  }

  package init(selection: Selection, heartbeat: Heartbeat? = nil) {
    selector = PathSelector(selection)
    self.heartbeat = heartbeat
  }

  /// Directories listed to their end.
  package var directoryCount: Int { listed.count + (isRootListed ? 1 : 0) }
  /// True when the folder itself could be listed.
  package var hasRoot: Bool { isRootListed }

  /// Paths that a confused or hostile server shows both as a file and as a directory.
  package var filesThatAreDirectories: Set<RemotePath> {
    Set(files.lazy.map(\.path).filter { self.listed.contains($0) || self.unknownPaths.contains($0) })
  }

  /// Files without the marker that says they are whole.
  package var waitingForMarkerCount: Int { waitingForMarker.count }

  package func shouldDescend(into directory: RemotePath) -> Bool { selector.enters(directory) }

  package func found(_ files: [ListedFile], in directory: RemotePath?) {
    let marked = selector.markedNames(among: files.lazy.map(\.name))
    for file in files {
      // Never fails: the walk has judged the name.
      guard let path = try? RemotePath(directory: directory, name: file.name) else { continue }
      if !selector.takes(path) {
        excludedCount += 1
      } else if let marked, !marked.contains(file.name[...]) {
        waitingForMarker.insert(path)
      } else {
        self.files.append(FetchPlan.Item(path: path, fingerprint: file.fingerprint))
      }
    }
  }

  package func listedDirectory(_ path: RemotePath?) {
    heartbeat?.beat()
    if let path { listed.insert(path) } else { isRootListed = true }
  }

  package func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) {
    unknown.append((path, error))
    if let path { unknownPaths.insert(path) }
  }

  package func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) {
    let shown = (directory.map { $0.description + "/" } ?? "") + escaped(name)
    skipped.append(Skipped(name: shown, reason: reason.description))
    if let path = try? RemotePath(directory: directory, name: name) { skippedPaths.insert(path) }
  }

  /// What is known of a path that the walk did not show as a file.
  ///
  /// | nearest directory above that the walk met | view |
  /// |---|---|
  /// | the path itself, or one above it, was skipped or is excluded; or it waits for its marker | skipped |
  /// | listed to its end | absent |
  /// | could not be listed | unknown |
  package func viewOfMissing(_ path: RemotePath) -> RemoteView {
    if skippedPaths.contains(path) || waitingForMarker.contains(path) || !selector.takes(path) { return .skipped }
    // A directory that could not be listed may be the path itself: then it is no file any more, but nothing is certain.
    if unknownPaths.contains(path) { return .unknown }
    for directory in path.ancestors {
      if skippedPaths.contains(directory) || !selector.enters(directory) { return .skipped }
      if unknownPaths.contains(directory) { return .unknown }
      if listed.contains(directory) { return .absent }
    }
    return isRootListed ? .absent : .unknown
  }
}
