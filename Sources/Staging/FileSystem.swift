package import Common

/// The seam to the operating system: every operation on the staging volume goes through these calls and no others, so
/// that tests can count them, fail them, or stop the world after any one of them.
///
/// Names are single components or `/`-separated paths relative to a directory descriptor, as bytes. No call follows a
/// symbolic link in the last component.
package protocol FileSystem: Sendable {
  func openDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> Int32
  func openFile(at directory: Int32, _ name: [UInt8], _ mode: OpenMode) throws(SystemFailure) -> Int32
  func close(_ descriptor: Int32) throws(SystemFailure)

  /// Reads up to `buffer.count` bytes at `offset`; 0 at the end of the file.
  func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemFailure)
    -> Int
  /// Writes some of the bytes at `offset` and says how many.
  func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemFailure) -> Int
  func truncate(_ descriptor: Int32, to size: UInt64) throws(SystemFailure)
  func setModificationTime(_ descriptor: Int32, seconds: UInt32) throws(SystemFailure)
  /// Makes blocks available so that a later write of `bytes` cannot run out of space.
  func allocate(_ descriptor: Int32, bytes: UInt64) throws(SystemFailure)

  func synchronize(_ descriptor: Int32, _ what: Synchronization) throws(SystemFailure)
  /// Gives back the memory that holds the file's content, as far as that is durable; it can be read again all the same.
  func releaseCache(_ descriptor: Int32)

  func status(of descriptor: Int32) throws(SystemFailure) -> FileStatus
  /// Nil when there is nothing of that name.
  func status(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> FileStatus?
  func names(in directory: Int32) throws(SystemFailure) -> [[UInt8]]

  func makeDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure)
  func rename(at from: Int32, _ name: [UInt8], to: Int32, _ newName: [UInt8]) throws(SystemFailure)
  func remove(at directory: Int32, _ name: [UInt8], isDirectory: Bool) throws(SystemFailure)

  /// Takes flock(2)'s exclusive lock without waiting; false when someone else has it.
  func lock(_ descriptor: Int32) throws(SystemFailure) -> Bool
  /// True for overlayfs, whose content dies with the container.
  func isOverlay(_ descriptor: Int32) throws(SystemFailure) -> Bool
}

package enum OpenMode: Sendable {
  case read
  /// Read and write; made when missing.
  case readWrite
  /// Read and write; must not exist yet.
  case createNew
}

package enum Synchronization: Sendable {
  /// The content, and of the metadata what is needed to read it (fdatasync).
  case data
  /// Content and metadata (fsync).
  case full
  /// Everything on the file system that holds the descriptor (syncfs), with write-back errors since Linux 5.8.
  case wholeFileSystem
}

package struct FileStatus: Sendable, Equatable {
  package enum Kind: Sendable { case file, directory, other }
  package var kind: Kind
  package var size: UInt64
  /// Seconds since 1970.
  package var mtime: Int64
  package var owner: UInt32
  package var group: UInt32
}

extension FileSystem {
  /// Writes all the bytes at `offset`.
  package func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemFailure) {
    var done = 0
    while done < bytes.count {
      done += try write(descriptor, UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + UInt64(done))
    }
  }

  package func writeAll(_ descriptor: Int32, _ bytes: [UInt8], at offset: UInt64) throws(SystemFailure) {
    // The closure cannot throw a typed error, so the result carries it.
    let result: Result<Void, SystemFailure> = bytes.withUnsafeBytes { buffer in
      do throws(SystemFailure) {
        return .success(try writeAll(descriptor, buffer, at: offset))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  /// Reads exactly the bytes of `range`, fewer only where the file ends.
  package func readAll(_ descriptor: Int32, from offset: UInt64, count: Int) throws(SystemFailure) -> [UInt8] {
    var failure: SystemFailure?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(SystemFailure) {
        while filled < count {
          let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
          let got = try read(descriptor, into: rest, at: offset + UInt64(filled))
          if got == 0 { break }
          filled += got
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Replaces the file `name` in `directory` so that readers see the old content or the new, never a part.
  /// - Parameters:
  ///   - durable: wait until the new content would survive a power cut.
  ///   - write: writes the new content to a descriptor that is closed afterwards.
  package func replaceFile(
    at directory: Int32, _ name: String, durable: Bool, write: (Int32) throws(SystemFailure) -> Void
  ) throws(SystemFailure) {
    let temporary = Array((name + ".new").utf8)
    if try status(at: directory, temporary) != nil { try remove(at: directory, temporary, isDirectory: false) }
    let file = Descriptor(try openFile(at: directory, temporary, .createNew), self)
    try write(file.number)
    if durable { try synchronize(file.number, .full) }
    try file.close()
    try rename(at: directory, temporary, to: directory, Array(name.utf8))
    if durable { try synchronize(directory, .full) }
  }

  package func replaceFile(
    at directory: Int32, _ name: String, with content: [UInt8], durable: Bool
  ) throws(SystemFailure) {
    try replaceFile(at: directory, name, durable: durable) { (descriptor) throws(SystemFailure) in
      try writeAll(descriptor, content, at: 0)
    }
  }

  /// The whole content of a file, or nil when there is none of that name.
  package func content(at directory: Int32, _ name: String) throws(SystemFailure) -> [UInt8]? {
    guard try status(at: directory, Array(name.utf8)) != nil else { return nil }
    let file = Descriptor(try openFile(at: directory, Array(name.utf8), .read), self)
    let size = try status(of: file.number).size
    let bytes = try readAll(file.number, from: 0, count: Int(size))
    try file.close()
    return bytes
  }
}

/// An open file or directory, closed exactly once.
package struct Descriptor: ~Copyable {
  package let number: Int32
  private let fileSystem: any FileSystem
  private var isOpen = true

  package init(_ number: Int32, _ fileSystem: any FileSystem) {
    self.number = number
    self.fileSystem = fileSystem
  }

  /// Closes and reports what close(2) says: a write-back error may show only here.
  package consuming func close() throws(SystemFailure) {
    isOpen = false
    try fileSystem.close(number)
  }

  /// Hands the open descriptor to someone else, who closes it.
  package consuming func release() -> Int32 {
    isOpen = false
    return number
  }

  // On an error path the first error is the one that matters; a second one from close adds nothing.
  deinit { if isOpen { try? fileSystem.close(number) } }
}
