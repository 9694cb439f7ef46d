package import Common

/// What the journal knows of one path. Plain data, 88 bytes: a fold holds one for each path.
package struct PathState: Sendable, Equatable {
  /// `seq` of the `fetched` record of the latest generation.
  package var generation: UInt64 = 0
  private var size: UInt64 = 0
  package var sha256 = SHA256Digest(bytes: [UInt8](repeating: 0, count: 32))!
  private var md5Digest = MD5Digest(bytes: [UInt8](repeating: 0, count: 16))!
  package var fetchedMilliseconds: Int64 = 0
  private var mtime: UInt32 = 0
  /// Which of the fold's paths it is.
  package fileprivate(set) var number: UInt32 = 0
  private var flags: UInt8 = 0

  package init() {}

  package var fingerprint: Fingerprint {
    get { Fingerprint(size: size, mtime: mtime) }
    set { (size, mtime) = (newValue.size, newValue.mtime) }
  }

  package var md5: MD5Digest? {
    get { self[flag: 8] ? md5Digest : nil }
    set {
      self[flag: 8] = newValue != nil
      if let newValue { md5Digest = newValue }
    }
  }

  /// The remote no longer has it.
  package var isGone: Bool {
    get { self[flag: 1] }
    set { self[flag: 1] = newValue }
  }

  /// The staged bytes were removed on purpose.
  package var isDropped: Bool {
    get { self[flag: 2] }
    set { self[flag: 2] = newValue }
  }

  /// The staged bytes were found missing or altered: fetch again.
  package var hasDrifted: Bool {
    get { self[flag: 4] }
    set { self[flag: 4] = newValue }
  }

  /// Its modification time was adopted without reading the file: its bytes are to be compared with the remote's.
  package var isUnproven: Bool {
    get { self[flag: 16] }
    set { self[flag: 16] = newValue }
  }

  /// Staged, and on the remote as far as is known.
  package var isMirrored: Bool { !isGone && !isDropped }

  /// True when a file that the remote shows like this is staged, as far as is known.
  package func isStaged(as remote: Fingerprint) -> Bool { !isGone && !hasDrifted && fingerprint == remote }

  private subscript(flag bit: UInt8) -> Bool {
    get { flags & bit != 0 }
    set { flags = newValue ? flags | bit : flags & ~bit }
  }
}

/// All paths of the fold, in the order of their first records.
package struct KnownPaths: Sendable, Equatable, RandomAccessCollection {
  package private(set) var table = PathTable()
  private var states: [PathState] = []

  package init() {}

  package var startIndex: Int { 0 }
  package var endIndex: Int { states.count }
  package subscript(position: Int) -> PathState { states[position] }
  package subscript(path: RemotePath) -> PathState? { table.number(of: path).map { states[$0] } }
  /// The path that a state of this fold is about.
  package func path(of state: PathState) -> RemotePath { table.path(Int(state.number)) }

  /// Changes what is known of a path, which is added when it is new.
  /// - Returns: true when it is new.
  mutating func update(_ path: RemotePath, _ change: (inout PathState) -> Void) -> Bool {
    let number = table.insert(path)
    let isNew = number == states.count
    if isNew { add(PathState()) }
    change(&states[number])
    return isNew
  }

  /// Changes what is known of a path when this is its latest generation.
  mutating func update(_ path: RemotePath, generation: UInt64, _ change: (inout PathState) -> Void) {
    guard let number = table.number(of: path), states[number].generation == generation else { return }
    change(&states[number])
  }

  private mutating func add(_ state: PathState) {
    states.append(state)
    states[states.count - 1].number = UInt32(states.count - 1)
  }
}

// The checkpoint's private form: directories, then for each path its directory's number, name and state.
extension KnownPaths {
  func encode(into out: inout ByteWriter) {
    out.put(UInt64(table.directoryCount))
    for directory in 0..<table.directoryCount {
      table.withDirectory(directory) { bytes in
        out.put(UInt16(bytes.count))
        out.put(raw: bytes)
      }
    }
    out.put(UInt64(count))
    for state in states {
      let number = Int(state.number)
      out.put(UInt32(table.directory(of: number)))
      table.withName(of: number) { bytes in
        out.put(UInt8(bytes.count))
        out.put(raw: bytes)
      }
      state.encode(into: &out)
    }
  }

  init?(_ input: inout ByteReader) {
    guard let directories = input.number() else { return nil }
    for _ in 0..<directories {
      guard let length = input.number(UInt16.self), length <= RemotePath.maximumLength,
        input.raw(Int(length), { length == 0 || RemotePath.isPath($0) ? table.insertDirectory($0).isNew : false })
          == true
      else { return nil }
    }
    // A path takes more than this many bytes, so a number that was not meant as one cannot claim much memory.
    guard let count = input.number(), count <= input.remaining / UInt64(PathState.encodedLength) else { return nil }
    table.reserve(paths: Int(count), nameBytes: Int(input.remaining) - Int(count) * PathState.encodedLength)
    states.reserveCapacity(Int(count))
    for _ in 0..<count {
      guard let directory = input.number(UInt32.self), directory < directories, let length = input.number(UInt8.self),
        input.raw(Int(length), { RemotePath.isName($0) && table.insert($0, in: Int(directory)).isNew }) == true,
        let state = PathState(&input)
      else { return nil }
      add(state)
    }
  }
}

extension PathState {
  fileprivate static let encodedLength = 8 + 8 + 32 + 16 + 8 + 4 + 1

  fileprivate func encode(into out: inout ByteWriter) {
    out.put(generation)
    out.put(size)
    sha256.withBytes { out.put(raw: $0) }
    md5Digest.withBytes { out.put(raw: $0) }
    out.put(UInt64(bitPattern: fetchedMilliseconds))
    out.put(mtime)
    out.put(flags)
  }

  fileprivate init?(_ input: inout ByteReader) {
    guard let generation = input.number(), let size = input.number(),
      let sha256 = input.raw(32, { SHA256Digest($0) }), let sha256, let md5 = input.raw(16, { MD5Digest($0) }), let md5,
      let fetched = input.number(), let mtime = input.number(UInt32.self), let flags = input.number(UInt8.self)
    else { return nil }
    (self.generation, self.size, self.sha256, md5Digest) = (generation, size, sha256, md5)
    (fetchedMilliseconds, self.mtime, self.flags) = (Int64(bitPattern: fetched), mtime, flags)
  }
}
