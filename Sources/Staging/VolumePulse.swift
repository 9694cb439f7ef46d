internal import Common

/// The two signs of life of a volume, read without its journal: what the last runs said, and when one last got
/// anywhere. Takes no lock and changes nothing.
package struct VolumePulse {
  /// Nil when no run has ended yet.
  package let report: StatusReport?
  /// Wall clock; nil when no run has got anywhere yet.
  package let progressMilliseconds: Int64?

  /// - Throws: ``StagingError``: `staging-unusable`.
  package init(path: String, fileSystem: any FileSystem = LinuxFileSystem()) throws(StagingError) {
    do throws(SystemFailure) {
      let number = try fileSystem.openDirectory(at: LinuxFileSystem.workingDirectory, Array(path.utf8))
      let root = Descriptor(number, fileSystem)
      report = try fileSystem.content(at: root.number, "status.json").flatMap { decodeJSON(StatusReport.self, $0) }
      progressMilliseconds = try fileSystem.status(at: root.number, Array("state/progress".utf8)).map {
        $0.mtime * 1000
      }
    } catch {
      throw .unusable(path, error, doing: "read the staging volume")
    }
  }
}
