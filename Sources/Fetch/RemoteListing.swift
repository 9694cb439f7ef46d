package import Common
package import SFTP
package import Staging

/// One walk of the remote folder: its files, and what could not be seen. Files that are staged as they are shown leave
/// only a mark, when there is a journal to compare with.
package final class RemoteListing: TreeVisitor {
  /// Without those that are staged as they are shown.
  package private(set) var files = ListedFiles()
  /// How many files are staged as they are shown.
  package private(set) var stagedCount = 0
  /// Which of the journal's paths these are.
  private var staged: [Bool] = []
  package private(set) var unknown: [(path: RemotePath?, error: SFTPError)] = []
  package private(set) var skipped: [Skipped] = []
  package private(set) var excludedCount = 0
  private var isRootListed = false
  private var listed = PathTable()
  private var unknownPaths: Set<RemotePath> = []
  private var skippedPaths: Set<RemotePath> = []
  private var waitingForMarker = PathTable()
  private let selector: PathSelector
  private let journal: Journal?
  private let heartbeat: Heartbeat?

  /// An entry of a directory that is not fetched.
  package struct Skipped: Sendable, CustomStringConvertible {
    package let name: String
    package let reason: String

    package var description: String { "\(name) (\(reason))" }
  }

  /// - Parameter journal: what files are compared with as they are found; its paths must not change as long as this
  ///   listing is used with it. Nil keeps them all.
  package init(selection: Selection, journal: Journal? = nil, heartbeat: Heartbeat? = nil) {
    selector = PathSelector(selection)
    self.journal = journal
    self.heartbeat = heartbeat
  }

  /// Directories listed to their end.
  package var directoryCount: Int { listed.count + (isRootListed ? 1 : 0) }
  /// True when the folder itself could be listed.
  package var hasRoot: Bool { isRootListed }

  /// Paths that a confused or hostile server shows both as a file and as a directory.
  /// - Parameter known: the journal's.
  package func filesThatAreDirectories(_ known: borrowing KnownPaths) -> Set<RemotePath> {
    var both = unknownPaths.filter { isFile($0, known) }
    for number in 0..<listed.count {
      let path = listed.path(number)
      if isFile(path, known) { both.insert(path) }
    }
    return both
  }

  private func isFile(_ path: RemotePath, _ known: borrowing KnownPaths) -> Bool {
    files.contains(path) || known.table.number(of: path).map(isStaged) ?? false
  }

  /// True when the walk has shown this path of the journal as a file, as it is staged.
  package func isStaged(_ number: Int) -> Bool { number < staged.count && staged[number] }

  /// Files without the marker that says they are whole.
  package var waitingForMarkerCount: Int { waitingForMarker.count }

  package func shouldDescend(into directory: RemotePath) -> Bool { selector.enters(directory) }

  package func found(_ files: [ListedFile], in directory: RemotePath?) {
    if let journal {
      journal.withState { take(files, in: directory, $0.paths) }
    } else {
      take(files, in: directory, KnownPaths())
    }
  }

  private func take(_ files: [ListedFile], in directory: RemotePath?, _ known: borrowing KnownPaths) {
    if staged.count < known.count { staged += [Bool](repeating: false, count: known.count - staged.count) }
    let marked = selector.markedNames(among: files.lazy.map(\.name))
    let knownDirectory = known.table.directoryNumber(directory)
    let ownDirectory = self.files.insertDirectory(directory)
    for file in files {
      if !selector.takes(file.name, in: directory) {
        excludedCount += 1
      } else if let marked, !marked.contains(file.name[...]) {
        waitingForMarker.insert(file.name, inDirectory: waitingForMarker.insertDirectory(directory))
      } else if let knownDirectory, let number = known.table.number(of: file.name, inDirectory: knownDirectory),
        known[number].isStaged(as: file.fingerprint)
      {
        if !staged[number] { stagedCount += 1 }
        staged[number] = true
      } else {
        self.files.insert(file.name, inDirectory: ownDirectory, file.fingerprint)
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
