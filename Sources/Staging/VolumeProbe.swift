internal import Common

/// Tries on a new volume what the program relies on, and says in one go what is missing.
struct VolumeProbe {
  let fileSystem: any FileSystem
  /// An empty directory of the volume.
  let directory: Int32

  /// - Throws: ``StagingError`` `staging-unfit`, exit code 2.
  func run(_ path: String) throws(StagingError) {
    var missing: [String] = []
    // Bytes that are not UTF-8; twins that differ only in case or in Unicode form must be files of their own.
    let pairs: [(String, [UInt8], [UInt8])] = [
      ("names of any bytes", [0x70, 0xff, 0xfe], [0x70, 0xff, 0xfd]),
      ("names that differ only in case", Array("probe-a".utf8), Array("probe-A".utf8)),
      ("names that differ only in Unicode form", Array("probe-\u{e9}".utf8), Array("probe-e\u{301}".utf8)),
      ("names of 255 bytes", [UInt8](repeating: 0x6e, count: 255), [UInt8](repeating: 0x6f, count: 255)),
    ]
    for (what, first, second) in pairs {
      do throws(SystemFailure) {
        if try !keepsApart(first, second) { missing.append(what) }
      } catch {
        missing.append("\(what) (\(error.reason))")
      }
    }
    do throws(SystemFailure) {
      if try !keepsModificationTime() { missing.append("modification times in seconds") }
    } catch {
      missing.append("modification times and renaming (\(error.reason))")
    }
    if !missing.isEmpty {
      throw StagingError(
        code: "staging-unfit", operation: "probe the staging volume", subject: escaped(path),
        reason: "its file system lacks " + missing.joined(separator: ", "),
        advice: "use a volume on a Linux file system such as ext4, xfs or btrfs", severity: .configuration)
    }
  }

  private func keepsApart(_ first: [UInt8], _ second: [UInt8]) throws(SystemFailure) -> Bool {
    try write(first, "1")
    defer { clean(first) }
    if try fileSystem.status(at: directory, second) != nil { return false }
    try write(second, "22")
    defer { clean(second) }
    let names = try fileSystem.names(in: directory)
    guard names.contains(first), names.contains(second) else { return false }
    return try fileSystem.status(at: directory, first)?.size == 1
  }

  private func keepsModificationTime() throws(SystemFailure) -> Bool {
    let (before, after) = (Array("probe-time".utf8), Array("probe-renamed".utf8))
    let file = Descriptor(try fileSystem.openFile(at: directory, before, .createNew), fileSystem)
    defer { clean(before) }
    try fileSystem.setModificationTime(file.number, seconds: 1_234_567_891)
    try fileSystem.synchronize(file.number, .full)
    try file.close()
    try fileSystem.rename(at: directory, before, to: directory, after)
    defer { clean(after) }
    return try fileSystem.status(at: directory, after)?.mtime == 1_234_567_891
  }

  private func write(_ name: [UInt8], _ content: String) throws(SystemFailure) {
    let file = Descriptor(try fileSystem.openFile(at: directory, name, .createNew), fileSystem)
    try fileSystem.writeAll(file.number, Array(content.utf8), at: 0)
    try file.close()
  }

  /// What stays behind here is removed with the rest of tmp/ at the next start.
  private func clean(_ name: [UInt8]) { try? fileSystem.remove(at: directory, name, isDirectory: false) }
}
