package import Common

/// The journal folded up: what is staged, what each destination has, and what failed.
package struct MirrorState: Sendable, Equatable {
  package private(set) var binding: VolumeBinding?
  package private(set) var paths = KnownPaths()
  /// Latest failure of a path in each phase, until a success clears it.
  package private(set) var failures: [FailureKey: FailedItem] = [:]
  /// How many of the paths are gone from the remote.
  package private(set) var goneCount = 0
  /// What the destinations have: each has a column with the generation of every path, by number; 0 is none.
  private var destinations: [String] = []
  private var published: [[UInt64]] = []

  /// Paths whose last fetch failed.
  package var fetchFailures: [RemotePath] { failures.keys.filter { $0.phase == .fetch }.map(\.path) }

  package struct FailureKey: Hashable, Sendable {
    package let path: RemotePath
    package let phase: FailedItem.Phase

    package init(_ path: RemotePath, _ phase: FailedItem.Phase) {
      self.path = path
      self.phase = phase
    }
  }

  package init() {}

  package mutating func apply(_ record: JournalRecord) {
    switch record.entry {
    case .volume(let volume): binding = volume
    case .fetched(let file):
      var wasGone = false
      let isNew = paths.update(file.path) { path in
        wasGone = path.isGone
        path.generation = record.seq
        path.fingerprint = file.fingerprint
        path.sha256 = file.sha256
        path.md5 = file.md5
        path.fetchedMilliseconds = record.wallMilliseconds
        path.isGone = false
        path.isDropped = false
        path.hasDrifted = false
        path.isUnproven = false
      }
      if isNew { for column in published.indices { published[column].append(0) } }
      if wasGone { goneCount -= 1 }
      forget(file.path, .fetch)
      forget(file.path, .publish)
    case .gone(let path, let generation):
      forget(path, .fetch)
      var isNews = false
      paths.update(path, generation: generation) { path in
        isNews = !path.isGone
        path.isGone = true
      }
      if isNews { goneCount += 1 }
    case .dropped(let path, let generation): paths.update(path, generation: generation) { $0.isDropped = true }
    case .touched(let path, let generation, let mtime):
      paths.update(path, generation: generation) { path in
        path.fingerprint.mtime = mtime
        path.isUnproven = true
      }
    case .proven(let path, let generation):
      forget(path, .fetch)
      paths.update(path, generation: generation) { $0.isUnproven = false }
    case .drift(let drift): paths.update(drift.path, generation: drift.generation) { $0.hasDrifted = true }
    case .failed(let item): failures[FailureKey(item.path, item.phase)] = item
    case .published(let object):
      let column = column(of: object.destination)
      guard let known = paths[object.path] else { return }
      published[column][Int(known.number)] = object.generation
      if known.generation == object.generation { forget(object.path, .publish) }
    case .run, .superseded, .recovered, .sealed, .end: break
    }
  }

  private mutating func forget(_ path: RemotePath, _ phase: FailedItem.Phase) {
    if !failures.isEmpty { failures[FailureKey(path, phase)] = nil }
  }

  /// True when the latest generation of the path is in the destination; with no destination, in any.
  package func isPublished(_ path: PathState, to destination: Destination?) -> Bool {
    isPublished(path, in: columns(of: destination))
  }

  /// True when the destination lacks the latest generation of the path, and the volume still has it.
  package func isPending(_ path: PathState, for destination: Destination?) -> Bool {
    !path.isDropped && !isPublished(path, to: destination)
  }

  /// Calls `body` with every path whose latest generation the destination lacks, and the volume still has.
  package func forEachPending(for destination: Destination?, _ body: (PathState) -> Void) {
    let columns = columns(of: destination)
    for path in paths where !path.isDropped && !isPublished(path, in: columns) { body(path) }
  }

  private func isPublished(_ path: PathState, in columns: Range<Int>) -> Bool {
    columns.contains { published[$0][Int(path.number)] == path.generation }
  }

  /// The column of a destination, none when nothing was ever published there; all columns when there is no destination.
  private func columns(of destination: Destination?) -> Range<Int> {
    guard let name = destination?.description else { return destinations.indices }
    return destinations.firstIndex(of: name).map { $0..<($0 + 1) } ?? 0..<0
  }

  private mutating func column(of destination: String) -> Int {
    if let known = destinations.firstIndex(of: destination) { return known }
    destinations.append(destination)
    published.append([UInt64](repeating: 0, count: paths.count))
    return destinations.count - 1
  }
}

// The checkpoint's private form: little-endian numbers and length-prefixed bytes.
extension MirrorState {
  func encode(into out: inout ByteWriter) {
    out.put(UInt8(binding == nil ? 0 : 1))
    if let binding {
      out.put(binding.format)
      out.put(binding.port)
      for text in [binding.volumeID, binding.host, binding.user, binding.folder] { out.put(bytes: Array(text.utf8)) }
    }
    out.put(UInt64(failures.count))
    for item in failures.values {
      out.put(UInt8(item.phase == .fetch ? 0 : 1))
      out.put(bytes: item.path.bytes)
      out.put(item.generation ?? 0)
      out.put(bytes: Array(item.code.utf8))
      out.put(bytes: Array(item.message.utf8))
    }
    paths.encode(into: &out)
    out.put(UInt64(destinations.count))
    for (name, column) in zip(destinations, published) {
      out.put(bytes: Array(name.utf8))
      for generation in column { out.put(generation) }
    }
  }

  init?(_ input: inout ByteReader) {
    guard let isBound = input.number(UInt8.self) else { return nil }
    if isBound == 1 {
      guard let format = input.number(), let port = input.number(), let id = input.text(), let host = input.text(),
        let user = input.text(), let folder = input.text()
      else { return nil }
      binding = VolumeBinding(format: format, volumeID: id, host: host, port: port, user: user, folder: folder)
    }
    guard let failureCount = input.number() else { return nil }
    for _ in 0..<failureCount {
      guard let phase = input.number(UInt8.self), let path = input.path(), let generation = input.number(),
        let code = input.text(), let message = input.text()
      else { return nil }
      let item = FailedItem(
        phase: phase == 0 ? .fetch : .publish, path: path, generation: generation == 0 ? nil : generation, code: code,
        message: message)
      failures[FailureKey(path, item.phase)] = item
    }
    guard let paths = KnownPaths(&input), let destinationCount = input.number() else { return nil }
    self.paths = paths
    goneCount = paths.reduce(0) { $1.isGone ? $0 + 1 : $0 }
    for _ in 0..<destinationCount {
      guard let name = input.text(), input.remaining / 8 >= UInt64(paths.count) else { return nil }
      var column: [UInt64] = []
      column.reserveCapacity(paths.count)
      for _ in 0..<paths.count {
        guard let generation = input.number() else { return nil }
        column.append(generation)
      }
      destinations.append(name)
      published.append(column)
    }
  }
}
