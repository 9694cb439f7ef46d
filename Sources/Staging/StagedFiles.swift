package import Common

/// The tree files/: installs fetched files, opens them for upload, removes them. Every step from files/ down opens one
/// directory with O_NOFOLLOW, so no symbolic link in there can lead out of it.
///
/// Not thread-safe: one instance a thread. Directories stay open between calls, a bounded number of them.
package final class StagedFiles {
  private let fileSystem: any FileSystem
  private let root: Int32
  private let temporaries: Int32
  private var open: [RemotePath: Int32] = [:]
  /// Directories whose entries changed since the last ``synchronizeChanges()``.
  private var changed: Set<RemotePath?> = []
  /// Modification times of files changed since then.
  private var hasNewTimes = false

  private static let openLimit = 64

  init(fileSystem: any FileSystem, root: Int32, temporaries: Int32) {
    self.fileSystem = fileSystem
    self.root = root
    self.temporaries = temporaries
  }

  deinit { closeDirectories() }

  /// Makes the directories above `path` and checks that nothing but a regular file stands in its place, so that a
  /// later ``install(temporary:as:)`` can only fail with the disk.
  package func prepare(_ path: RemotePath) throws(SystemFailure) {
    let parent = try directory(path.parent, creating: true)
    let name = Array(path.name)
    if try fileSystem.status(at: parent, name)?.kind == .directory {
      // Directories that an interrupted run made for files that never came.
      try removeEmptyTree(at: parent, name)
      closeDirectories()
    }
    if let there = try fileSystem.status(at: try directory(path.parent, creating: true), name), there.kind != .file {
      throw SystemFailure(
        errno: there.kind == .directory ? 21 /* EISDIR */ : 17 /* EEXIST */, operation: "stage",
        subject: path.description,
        severity: .item)
    }
  }

  /// Removes a directory that holds nothing but empty directories; leaves any other as it is.
  private func removeEmptyTree(at parent: Int32, _ name: [UInt8]) throws(SystemFailure) {
    let directory = Descriptor(try fileSystem.openDirectory(at: parent, name), fileSystem)
    for child in try fileSystem.names(in: directory.number) {
      guard try fileSystem.status(at: directory.number, child)?.kind == .directory else { return }
      try removeEmptyTree(at: directory.number, child)
    }
    guard try fileSystem.names(in: directory.number).isEmpty else { return }
    try fileSystem.remove(at: parent, name, isDirectory: true)
  }

  /// Renames a temporary file to its place; durable after ``synchronizeChanges()``.
  package func install(temporary: String, as path: RemotePath) throws(SystemFailure) {
    let parent = try directory(path.parent, creating: true)
    try fileSystem.rename(at: temporaries, Array(temporary.utf8), to: parent, Array(path.name))
    changed.insert(path.parent)
  }

  /// Gives a staged file another modification time, durably after ``synchronizeChanges()``. Nothing happens when it has
  /// that time already, or is not there: publish finds out what is missing.
  package func setModificationTime(of path: RemotePath, seconds: UInt32) throws(SystemFailure) {
    guard let parent = try existingDirectory(path.parent),
      let there = try fileSystem.status(at: parent, Array(path.name)), there.kind == .file,
      there.mtime != Int64(seconds)
    else { return }
    let file = Descriptor(try fileSystem.openFile(at: parent, Array(path.name), .read), fileSystem)
    try fileSystem.setModificationTime(file.number, seconds: seconds)
    try file.close()
    hasNewTimes = true
  }

  /// Removes a staged file and the directories above it that this leaves empty. Nothing happens when it is not there.
  package func remove(_ path: RemotePath) throws(SystemFailure) {
    guard let parent = try existingDirectory(path.parent) else { return }
    if let there = try fileSystem.status(at: parent, Array(path.name)), there.kind == .file {
      try fileSystem.remove(at: parent, Array(path.name), isDirectory: false)
      changed.insert(path.parent)
    }
    try removeEmptyDirectories(from: path.parent)
  }

  private func removeEmptyDirectories(from lowest: RemotePath?) throws(SystemFailure) {
    var next = lowest
    while let path = next, let descriptor = try existingDirectory(path), try fileSystem.names(in: descriptor).isEmpty {
      closeDirectories()
      guard let parent = try existingDirectory(path.parent) else { return }
      try fileSystem.remove(at: parent, Array(path.name), isDirectory: true)
      changed.remove(path)
      changed.insert(path.parent)
      next = path.parent
    }
  }

  /// Makes every rename, removal, new directory and new time so far survive a power cut.
  package func synchronizeChanges() throws(SystemFailure) {
    if changed.isEmpty, !hasNewTimes { return }
    if hasNewTimes || changed.count > 4 {
      try fileSystem.synchronize(root, .wholeFileSystem)
    } else {
      for path in changed {
        // One that is gone by now was removed through its parent, which is in the set too.
        if let descriptor = try existingDirectory(path) { try fileSystem.synchronize(descriptor, .full) }
      }
      try fileSystem.synchronize(temporaries, .full)
    }
    changed.removeAll(keepingCapacity: true)
    hasNewTimes = false
  }

  /// Opens a staged file for reading; nil when there is no regular file of that path. The caller closes it.
  package func openForReading(_ path: RemotePath) throws(SystemFailure) -> Int32? {
    guard let parent = try existingDirectory(path.parent) else { return nil }
    let name = Array(path.name)
    guard let there = try fileSystem.status(at: parent, name), there.kind == .file else { return nil }
    return try fileSystem.openFile(at: parent, name, .read)
  }

  private func existingDirectory(_ path: RemotePath?) throws(SystemFailure) -> Int32? {
    do throws(SystemFailure) {
      return try directory(path, creating: false)
    } catch {
      // A missing directory, or something else in its place, holds no staged file.
      if ["enoent", "enotdir", "eloop"].contains(error.code) { return nil }
      throw error
    }
  }

  private func directory(_ path: RemotePath?, creating: Bool) throws(SystemFailure) -> Int32 {
    guard let path else { return root }
    if let known = open[path] { return known }
    let parent = try directory(path.parent, creating: creating)
    let name = Array(path.name)
    if creating, try fileSystem.status(at: parent, name) == nil {
      try fileSystem.makeDirectory(at: parent, name)
      changed.insert(path.parent)
    }
    let descriptor = try fileSystem.openDirectory(at: parent, name)
    if open.count >= Self.openLimit { closeDirectories() }
    open[path] = descriptor
    return descriptor
  }

  private func closeDirectories() {
    // Opened for reading only: close has nothing to report.
    for descriptor in open.values { try? fileSystem.close(descriptor) }
    open.removeAll(keepingCapacity: true)
  }
}
