package import Common

/// The journal folded up: what is staged, what each destination has, and what failed.
package struct MirrorState: Sendable, Equatable {
  package private(set) var binding: VolumeBinding?
  package private(set) var paths: [RemotePath: PathState] = [:]
  /// Latest failure of a path in each phase, until a success clears it.
  package private(set) var failures: [FailureKey: FailedItem] = [:]
  /// How many of the paths are gone from the remote.
  package private(set) var goneCount = 0
  private var destinationNumbers: [String: UInt32] = [:]

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
      var path = paths[file.path] ?? PathState()
      if path.isGone { goneCount -= 1 }
      path.generation = record.seq
      path.fingerprint = file.fingerprint
      path.sha256 = file.sha256
      path.md5 = file.md5
      path.fetchedMilliseconds = record.wallMilliseconds
      path.isGone = false
      path.isDropped = false
      path.hasDrifted = false
      paths[file.path] = path
      failures[FailureKey(file.path, .fetch)] = nil
      failures[FailureKey(file.path, .publish)] = nil
    case .gone(let path, let generation):
      failures[FailureKey(path, .fetch)] = nil
      if let known = paths[path], known.generation == generation, !known.isGone { goneCount += 1 }
      update(path, generation) { $0.isGone = true }
    case .dropped(let path, let generation): update(path, generation) { $0.isDropped = true }
    case .drift(let drift): update(drift.path, drift.generation) { $0.hasDrifted = true }
    case .failed(let item): failures[FailureKey(item.path, item.phase)] = item
    case .published(let object):
      let number = number(of: object.destination)
      guard paths[object.path] != nil else { return }
      paths[object.path]!.marks.set(destination: number, generation: object.generation)
      if paths[object.path]!.generation == object.generation { failures[FailureKey(object.path, .publish)] = nil }
    case .run, .superseded, .recovered, .sealed, .end: break
    }
  }

  private mutating func update(_ path: RemotePath, _ generation: UInt64, _ change: (inout PathState) -> Void) {
    guard paths[path]?.generation == generation else { return }
    change(&paths[path]!)
  }

  /// True when the latest generation of the path is in the destination; with no destination, in any.
  package func isPublished(_ path: PathState, to destination: Destination?) -> Bool {
    guard let destination else { return path.marks.contains(generation: path.generation) }
    guard let number = destinationNumbers[destination.description] else { return false }
    return path.marks.generation(at: number) == path.generation
  }

  /// True when the destination lacks the latest generation of the path, and the volume still has it.
  package func isPending(_ path: PathState, for destination: Destination?) -> Bool {
    !path.isDropped && !isPublished(path, to: destination)
  }

  private mutating func number(of destination: String) -> UInt32 {
    if let known = destinationNumbers[destination] { return known }
    let next = UInt32(destinationNumbers.count)
    destinationNumbers[destination] = next
    return next
  }
}

/// What the journal knows of one path.
package struct PathState: Sendable, Equatable {
  /// `seq` of the `fetched` record of the latest generation.
  package var generation: UInt64 = 0
  package var fingerprint = Fingerprint(size: 0, mtime: 0)
  package var sha256 = SHA256Digest(bytes: [UInt8](repeating: 0, count: 32))!
  package var md5: MD5Digest?
  package var fetchedMilliseconds: Int64 = 0
  /// The remote no longer has it.
  package var isGone = false
  /// The staged bytes were removed on purpose.
  package var isDropped = false
  /// The staged bytes were found missing or altered: fetch again.
  package var hasDrifted = false
  var marks = PublishedMarks()
}

/// Which generation each destination has; nearly always there is one destination, so that one needs no allocation.
struct PublishedMarks: Sendable, Equatable {
  private var first: (destination: UInt32, generation: UInt64)?
  private var others: [UInt32: UInt64]?

  func generation(at destination: UInt32) -> UInt64? {
    if let first, first.destination == destination { return first.generation }
    return others?[destination]
  }

  func contains(generation: UInt64) -> Bool {
    first?.generation == generation || others?.values.contains(generation) == true
  }

  mutating func set(destination: UInt32, generation: UInt64) {
    if first == nil || first?.destination == destination {
      first = (destination, generation)
    } else {
      others = others ?? [:]
      others![destination] = generation
    }
  }

  var all: [(destination: UInt32, generation: UInt64)] {
    (first.map { [$0] } ?? []) + (others ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  static func == (left: PublishedMarks, right: PublishedMarks) -> Bool {
    left.all.elementsEqual(right.all) { $0 == $1 }
  }
}

// The checkpoint's private form: fixed-width little-endian numbers and length-prefixed bytes.
extension MirrorState {
  func encode(into out: inout ByteWriter) {
    out.put(binding == nil ? 0 : 1)
    if let binding {
      out.put(binding.format)
      out.put(binding.port)
      for text in [binding.volumeID, binding.host, binding.user, binding.folder] { out.put(bytes: Array(text.utf8)) }
    }
    let names = destinationNumbers.sorted { $0.value < $1.value }
    out.put(UInt64(names.count))
    for name in names { out.put(bytes: Array(name.key.utf8)) }
    out.put(UInt64(failures.count))
    for item in failures.values {
      out.put(item.phase == .fetch ? 0 : 1)
      out.put(bytes: item.path.bytes)
      out.put(item.generation ?? 0)
      out.put(bytes: Array(item.code.utf8))
      out.put(bytes: Array(item.message.utf8))
    }
    out.put(UInt64(paths.count))
    for (path, state) in paths {
      out.put(bytes: path.bytes)
      out.put(state.generation)
      out.put(state.fingerprint.size)
      out.put(UInt64(state.fingerprint.mtime))
      out.put(fixed: state.sha256.bytes)
      out.put(bytes: state.md5?.bytes ?? [])
      out.put(UInt64(bitPattern: state.fetchedMilliseconds))
      out.put((state.isGone ? 1 : 0) | (state.isDropped ? 2 : 0) | (state.hasDrifted ? 4 : 0))
      let marks = state.marks.all
      out.put(UInt64(marks.count))
      for mark in marks {
        out.put(UInt64(mark.destination))
        out.put(mark.generation)
      }
    }
  }

  init?(_ input: inout ByteReader) {
    guard let isBound = input.number() else { return nil }
    if isBound == 1 {
      guard let format = input.number(), let port = input.number(), let id = input.text(), let host = input.text(),
        let user = input.text(), let folder = input.text()
      else { return nil }
      binding = VolumeBinding(format: format, volumeID: id, host: host, port: port, user: user, folder: folder)
    }
    guard let nameCount = input.number() else { return nil }
    for number in 0..<nameCount {
      guard let name = input.text() else { return nil }
      destinationNumbers[name] = UInt32(truncatingIfNeeded: number)
    }
    guard let failureCount = input.number() else { return nil }
    for _ in 0..<failureCount {
      guard let phase = input.number(), let path = input.path(), let generation = input.number(),
        let code = input.text(),
        let message = input.text()
      else { return nil }
      let item = FailedItem(
        phase: phase == 0 ? .fetch : .publish, path: path, generation: generation == 0 ? nil : generation, code: code,
        message: message)
      failures[FailureKey(path, item.phase)] = item
    }
    guard let pathCount = input.number(), pathCount <= input.remaining else { return nil }
    paths.reserveCapacity(Int(pathCount))
    for _ in 0..<pathCount {
      guard let path = input.path(), let state = PathState(&input) else { return nil }
      if state.isGone { goneCount += 1 }
      paths[path] = state
    }
  }
}

extension PathState {
  init?(_ input: inout ByteReader) {
    guard let generation = input.number(), let size = input.number(),
      let mtime = input.number().flatMap(UInt32.init(exactly:)),
      let sha256 = input.fixed(32).flatMap({ SHA256Digest(bytes: $0) }), let md5 = input.bytes(),
      let fetched = input.number(), let flags = input.number(), let markCount = input.number()
    else { return nil }
    self.init()
    self.generation = generation
    self.fingerprint = Fingerprint(size: size, mtime: mtime)
    self.sha256 = sha256
    self.md5 = MD5Digest(bytes: md5)
    self.fetchedMilliseconds = Int64(bitPattern: fetched)
    isGone = flags & 1 != 0
    isDropped = flags & 2 != 0
    hasDrifted = flags & 4 != 0
    for _ in 0..<markCount {
      guard let destination = input.number().flatMap(UInt32.init(exactly:)), let mark = input.number() else {
        return nil
      }
      marks.set(destination: destination, generation: mark)
    }
  }
}
