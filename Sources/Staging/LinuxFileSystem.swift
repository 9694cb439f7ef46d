internal import CLinux
package import Common
internal import Glibc

/// The real file system.
package struct LinuxFileSystem: FileSystem {
  /// Stands for the working directory where a call wants a directory descriptor.
  package static let workingDirectory: Int32 = AT_FDCWD

  package init() {}

  package func openDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> Int32 {
    try check("open the directory", name) { openat(directory, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
  }

  package func openFile(at directory: Int32, _ name: [UInt8], _ mode: OpenMode) throws(SystemFailure) -> Int32 {
    let flags: Int32 =
      switch mode {
      case .read: O_RDONLY | O_NONBLOCK
      case .readWrite: O_RDWR | O_CREAT
      case .createNew: O_RDWR | O_CREAT | O_EXCL
      }
    return try check(mode == .createNew ? "create" : "open", name) {
      openat(directory, $0, flags | O_NOFOLLOW | O_CLOEXEC, 0o644)
    }
  }

  package func close(_ descriptor: Int32) throws(SystemFailure) {
    // Linux releases the descriptor even when close is interrupted, so EINTR is success.
    if Glibc.close(descriptor) != 0, errno != EINTR { throw failure("close", []) }
  }

  package func read(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(SystemFailure) -> Int {
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
      if count >= 0 { return count }
      if errno != EINTR { throw failure("read", []) }
    }
  }

  package func write(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(SystemFailure) -> Int {
    while true {
      let count = pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
      if count >= 0 { return count }
      if errno != EINTR { throw failure("write", []) }
    }
  }

  package func truncate(_ descriptor: Int32, to size: UInt64) throws(SystemFailure) {
    try check("truncate", []) { _ in ftruncate(descriptor, off_t(size)) }
  }

  package func setModificationTime(_ descriptor: Int32, seconds: UInt32) throws(SystemFailure) {
    let times = [timespec(tv_sec: Int(seconds), tv_nsec: 0), timespec(tv_sec: Int(seconds), tv_nsec: 0)]
    try check("set the modification time", []) { _ in futimens(descriptor, times) }
  }

  package func allocate(_ descriptor: Int32, bytes: UInt64) throws(SystemFailure) {
    while true {
      // posix_fallocate returns the error number instead of setting errno.
      let error = posix_fallocate(descriptor, 0, off_t(bytes))
      if error == 0 { return }
      if error != EINTR { throw SystemFailure(errno: error, operation: "reserve space", subject: "") }
    }
  }

  package func synchronize(_ descriptor: Int32, _ what: Synchronization) throws(SystemFailure) {
    try check("make durable", []) { _ in
      switch what {
      case .data: fdatasync(descriptor)
      case .full: fsync(descriptor)
      case .wholeFileSystem: syncfs(descriptor)
      }
    }
  }

  package func releaseCache(_ descriptor: Int32) {
    // Advice: a file system that does not take it is no failure.
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
  }

  package func status(of descriptor: Int32) throws(SystemFailure) -> FileStatus {
    var raw = stat()
    try check("stat", []) { _ in fstat(descriptor, &raw) }
    return FileStatus(raw)
  }

  package func status(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) -> FileStatus? {
    var raw = stat()
    do {
      try check("stat", name) { fstatat(directory, $0, &raw, AT_SYMLINK_NOFOLLOW) }
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
    return FileStatus(raw)
  }

  package func names(in directory: Int32) throws(SystemFailure) -> [[UInt8]] {
    // A descriptor of its own, since fdopendir takes ownership and moves the offset.
    let copy = try check("open the directory", []) { _ in openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard let stream = fdopendir(copy) else {
      let error = failure("list", [])
      _ = Glibc.close(copy)
      throw error
    }
    defer { closedir(stream) }
    var found: [[UInt8]] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw failure("list", []) }
        return found
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: UInt8.self, capacity: 256) {
          Array(UnsafeBufferPointer(start: $0, count: strlen(pointer)))
        }
      }
      if name != [0x2e], name != [0x2e, 0x2e] { found.append(name) }
    }
  }

  package func makeDirectory(at directory: Int32, _ name: [UInt8]) throws(SystemFailure) {
    try check("make the directory", name) { mkdirat(directory, $0, 0o755) }
  }

  package func rename(at from: Int32, _ name: [UInt8], to: Int32, _ newName: [UInt8]) throws(SystemFailure) {
    try check("rename", newName) { target in name.withCString { renameat(from, $0, to, target) } }
  }

  package func remove(at directory: Int32, _ name: [UInt8], isDirectory: Bool) throws(SystemFailure) {
    try check("remove", name) { unlinkat(directory, $0, isDirectory ? AT_REMOVEDIR : 0) }
  }

  package func lock(_ descriptor: Int32) throws(SystemFailure) -> Bool {
    do {
      try check("lock", []) { _ in flock(descriptor, LOCK_EX | LOCK_NB) }
      return true
    } catch {
      if error.errno == EWOULDBLOCK { return false }
      throw error
    }
  }

  package func isOverlay(_ descriptor: Int32) throws(SystemFailure) -> Bool {
    var raw = statfs()
    try check("ask for the file system's type", []) { _ in fstatfs(descriptor, &raw) }
    return raw.f_type == 0x794c_7630
  }

  /// Runs a call that returns -1 on failure, again while it is interrupted.
  @discardableResult
  private func check(
    _ operation: String, _ name: [UInt8], _ call: (UnsafePointer<CChar>) -> Int32
  ) throws(SystemFailure) -> Int32 {
    while true {
      let result = name.withCString(call)
      if result >= 0 { return result }
      if errno != EINTR { throw failure(operation, name) }
    }
  }

  private func failure(_ operation: String, _ name: [UInt8]) -> SystemFailure {
    SystemFailure(errno: errno, operation: operation, subject: escaped(name))
  }
}

extension [UInt8] {
  /// Runs `body` with the bytes as a C string.
  fileprivate func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { buffer in
      for index in 0..<count { buffer[index] = CChar(bitPattern: self[index]) }
      buffer[count] = 0
      return body(buffer.baseAddress!)
    }
  }
}

extension FileStatus {
  fileprivate init(_ raw: stat) {
    kind =
      switch raw.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      default: .other
      }
    size = UInt64(max(0, raw.st_size))
    mtime = Int64(raw.st_mtim.tv_sec)
    owner = raw.st_uid
    group = raw.st_gid
  }
}
