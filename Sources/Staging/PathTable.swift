package import Common

/// Numbers paths 0, 1, 2 … in the order they come; a number never changes. Each directory is kept once, so a path costs
/// its last component and some 20 bytes, and can be looked up by directory and name without being put together.
package struct PathTable: Sendable, Equatable {
  /// Whole paths of directories that hold entries; the mirrored folder itself is the empty one. All in scope 0.
  private var directories = NameTable()
  /// Last components, each in the scope of its directory's number.
  private var names = NameTable()

  package init() {}

  package var count: Int { names.count }
  package var isEmpty: Bool { names.count == 0 }
  package var directoryCount: Int { directories.count }

  package func contains(_ path: RemotePath) -> Bool { number(of: path) != nil }

  package func number(of path: RemotePath) -> Int? {
    path.withParts { directory, name in
      directories.find(directory, in: 0).flatMap { names.find(name, in: UInt32($0)) }
    }
  }

  /// The number of the path, which is added when it is new.
  @discardableResult
  package mutating func insert(_ path: RemotePath) -> Int {
    path.withParts { directory, name in insert(name, in: directories.insert(directory, in: 0).number).number }
  }

  package func path(_ number: Int) -> RemotePath {
    let directory = directory(of: number)
    return names.withBytes(of: number) { name in
      directories.withBytes(of: directory) { RemotePath(directoryOfPath: $0, nameOfPath: name) }
    }
  }

  // MARK: By directory

  /// The number of a directory that holds, or held, a path of the table; nil stands for the mirrored folder itself.
  package func directoryNumber(_ directory: RemotePath?) -> Int? {
    (directory?.bytes ?? []).withUnsafeBytes { directories.find($0, in: 0) }
  }

  package func number(of name: [UInt8], inDirectory directory: Int) -> Int? {
    name.withUnsafeBytes { names.find($0, in: UInt32(directory)) }
  }

  /// The number of the directory, nil being the mirrored folder itself, which is added when it is new.
  package mutating func insertDirectory(_ directory: RemotePath?) -> Int {
    (directory?.bytes ?? []).withUnsafeBytes { insertDirectory($0).number }
  }

  /// The number of the path with this name in a directory of the table, which is added when it is new.
  @discardableResult
  package mutating func insert(_ name: [UInt8], inDirectory directory: Int) -> Int {
    name.withUnsafeBytes { insert($0, in: directory).number }
  }

  /// The number of the directory that holds a path.
  package func directory(of number: Int) -> Int { Int(names.scope(of: number)) }

  /// The path of a directory; nil for the mirrored folder itself.
  package func directoryPath(_ directory: Int) -> RemotePath? {
    directories.withBytes(of: directory) { $0.isEmpty ? nil : RemotePath(bytesOfPath: $0) }
  }

  mutating func insertDirectory(_ directory: UnsafeRawBufferPointer) -> (number: Int, isNew: Bool) {
    directories.insert(directory, in: 0)
  }

  mutating func insert(_ name: UnsafeRawBufferPointer, in directory: Int) -> (number: Int, isNew: Bool) {
    names.insert(name, in: UInt32(directory))
  }

  /// Makes room for this many paths in so many directories.
  mutating func reserve(paths: Int, nameBytes: Int) { names.reserve(paths, bytes: nameBytes) }

  fileprivate func number(ofName name: UnsafeRawBufferPointer, inDirectory directory: Int) -> Int? {
    names.find(name, in: UInt32(directory))
  }

  func withName<Result>(of number: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    names.withBytes(of: number, body)
  }

  func withDirectory<Result>(_ directory: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    directories.withBytes(of: directory, body)
  }
}

/// Finds the entries of one table in another; cheap when entries of the same directory follow each other.
package struct PathCounterparts {
  private var directory: Int?
  private var counterpart: Int?

  package init() {}

  /// The number in `other` of the path that has this number in `table`; always the same two tables.
  package mutating func number(of number: Int, of table: borrowing PathTable, in other: borrowing PathTable) -> Int? {
    if table.directory(of: number) != directory {
      let directory = table.directory(of: number)
      self.directory = directory
      counterpart = other.directoryNumber(table.directoryPath(directory))
    }
    guard let counterpart else { return nil }
    return table.withName(of: number) { other.number(ofName: $0, inDirectory: counterpart) }
  }
}
