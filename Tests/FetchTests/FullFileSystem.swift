internal import Common
internal import Staging

/// The real file system, on which no file can be moved to one place: the disk is full.
struct FullFileSystem: FileSystem {
  private let base = LinuxFileSystem()
  let fullFor: [UInt8]

  func rename(at from: Int32, _ name: [UInt8], to: Int32, _ newName: [UInt8]) throws(SystemFailure) {
    if newName == fullFor { throw SystemFailure(errno: 28 /* ENOSPC */, operation: "rename", subject: "") }
    try base.rename(at: from, name, to: to, newName)
  }

  func openDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> Int32 {
    try base.openDirectory(at: directory, name)
  }
  func openFile(at directory: Int32, _ name: [UInt8], _ mode: OpenMode) throws(SystemFailure) -> Int32 {
    try base.openFile(at: directory, name, mode)
  }
  func close(_ descriptor: Int32) throws(SystemFailure) { try base.close(descriptor) }
  func read(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(SystemFailure) -> Int { try base.read(descriptor, into: buffer, at: offset) }
  func write(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(SystemFailure) -> Int { try base.write(descriptor, bytes, at: offset) }
  func truncate(_ descriptor: Int32, to size: UInt64) throws(SystemFailure) {
    try base.truncate(descriptor, to: size)
  }
  func setModificationTime(_ descriptor: Int32, seconds: UInt32) throws(SystemFailure) {
    try base.setModificationTime(descriptor, seconds: seconds)
  }
  func allocate(_ descriptor: Int32, bytes: UInt64) throws(SystemFailure) {
    try base.allocate(descriptor, bytes: bytes)
  }
  func synchronize(_ descriptor: Int32, _ what: Synchronization) throws(SystemFailure) {
    try base.synchronize(descriptor, what)
  }
  func releaseCache(_ descriptor: Int32) { base.releaseCache(descriptor) }
  func status(of descriptor: Int32) throws(SystemFailure) -> FileStatus { try base.status(of: descriptor) }
  func status(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> FileStatus? {
    try base.status(at: directory, name)
  }
  func names(in directory: Int32) throws(SystemFailure) -> [[UInt8]] { try base.names(in: directory) }
  func makeDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) {
    try base.makeDirectory(at: directory, name)
  }
  func remove(at directory: Int32, _ name: [UInt8], isDirectory: Bool) throws(SystemFailure) {
    try base.remove(at: directory, name, isDirectory: isDirectory)
  }
  func lock(_ descriptor: Int32) throws(SystemFailure) -> Bool { try base.lock(descriptor) }
  func isOverlay(_ descriptor: Int32) throws(SystemFailure) -> Bool { try base.isOverlay(descriptor) }
}
