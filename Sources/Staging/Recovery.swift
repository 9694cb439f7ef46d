internal import Common

/// What a start does before anything else: makes durable what is there, proves the journal, sets a torn tail aside,
/// finishes renames, removals and changes of times that were recorded and not done, and clears tmp/ but for partial
/// files.
struct Recovery {
  private enum Step {
    case install(temporary: String, path: RemotePath, generation: UInt64)
    case remove(path: RemotePath, generation: UInt64)
    case touch(path: RemotePath, generation: UInt64)
  }

  let fileSystem: any FileSystem
  let directories: StagingVolume.Directories
  /// Names in tmp/, as bytes: a probe leaves one that is no text when it is killed.
  private var temporaries: Set<[UInt8]> = []
  private var steps: [Step] = []
  /// A commit was under way when the last run ended: its renames may be done, and not durable.
  private var wasCutOff = false
  /// The record of a tail that was set aside.
  private(set) var tailEntry: JournalEntry?
  /// Large files of which a part has come, by the sidecars that were kept.
  private(set) var partials: [PartialFile] = []

  init(fileSystem: any FileSystem, directories: StagingVolume.Directories) {
    self.fileSystem = fileSystem
    self.directories = directories
  }

  /// Reads the journal, after making durable whatever a killed run had written and not synchronised: no decision may
  /// rest on bytes that a power cut could still take away.
  mutating func load() throws(StagingError) -> LoadedJournal {
    let (fileSystem, directories) = (fileSystem, directories)
    temporaries = try onVolume("list tmp/") { () throws(SystemFailure) in
      Set(try fileSystem.names(in: directories.temporaries))
    }
    let checkpoint = try onVolume("read the checkpoint") { () throws(SystemFailure) in
      let segments = try fileSystem.names(in: directories.journal).filter { segmentNumber($0) != nil }
      // Sealed segments were durable before their successor was begun.
      if let last = segments.max(by: { $0.lexicographicallyPrecedes($1) }) {
        let file = Descriptor(try fileSystem.openFile(at: directories.journal, last, .read), fileSystem)
        try fileSystem.synchronize(file.number, .full)
        try file.close()
        try fileSystem.synchronize(directories.journal, .full)
      }
      return try Checkpoint.read(at: directories.state, fileSystem)
    }
    var steps: [Step] = []
    var changesSinceEnd = 0
    let temporaries = temporaries
    let loader = JournalLoader(fileSystem: fileSystem, directory: directories.journal)
    let loaded = try loader.load(consume checkpoint) { record in
      switch record.entry {
      case .fetched(let file):
        changesSinceEnd += 1
        if temporaries.contains(Array(file.temporary.utf8)) {
          steps.append(.install(temporary: file.temporary, path: file.path, generation: record.seq))
        }
      case .dropped(let path, let generation):
        changesSinceEnd += 1
        steps.append(.remove(path: path, generation: generation))
      case .touched(let path, let generation, _):
        changesSinceEnd += 1
        steps.append(.touch(path: path, generation: generation))
      case .end: changesSinceEnd = 0
      default: break
      }
    }
    self.steps = steps
    wasCutOff = changesSinceEnd > 0
    return loaded
  }

  /// Copies a torn tail to a file of its own, durably, and only then cuts it off.
  /// - Returns: a line for the person who runs this, when there was one.
  mutating func repairTail(_ loaded: LoadedJournal, runID: String) throws(StagingError) -> [String] {
    guard let torn = loaded.torn else { return [] }
    let (fileSystem, directories) = (fileSystem, directories)
    let segment = loaded.position.segment
    let saved = segmentName(segment).dropLast(6) + "-\(torn.offset)-\(runID).torn"
    try onVolume("set a torn tail aside") { () throws(SystemFailure) in
      let name = Array(segmentName(segment).utf8)
      let file = Descriptor(try fileSystem.openFile(at: directories.journal, name, .readWrite), fileSystem)
      let bytes = try fileSystem.readAll(file.number, from: torn.offset, count: Int(torn.count))
      try fileSystem.replaceFile(at: directories.journal, String(saved), with: bytes, durable: true)
      try fileSystem.truncate(file.number, to: torn.offset)
      try fileSystem.synchronize(file.number, .full)
      try file.close()
    }
    tailEntry = .recovered(segment: segment, offset: torn.offset, bytes: torn.count, savedAs: String(saved))
    return ["the last run was cut off while it wrote the journal: \(torn.count) bytes set aside as journal/\(saved)"]
  }

  /// Does again, in the journal's order, what was recorded and may not have been done; then empties tmp/ of all that
  /// no sidecar tells of.
  /// - Returns: a line for each file that something foreign keeps from its place; its bytes stay in tmp/.
  mutating func redo(_ state: MirrorState) throws(StagingError) -> [String] {
    let (fileSystem, directories, steps) = (fileSystem, directories, steps)
    let staged = StagedFiles(fileSystem: fileSystem, root: directories.files, temporaries: directories.temporaries)
    var left = temporaries
    var stuck: [String] = []
    do throws(SystemFailure) {
      for step in steps {
        switch step {
        case .install(let temporary, let path, let generation) where state.paths[path]?.generation == generation:
          left.remove(Array(temporary.utf8))
          do throws(SystemFailure) {
            try staged.prepare(path)
            try staged.install(temporary: temporary, as: path)
          } catch {
            guard error.isAboutThePlace else { throw error }
            stuck.append(
              "files/\(path) cannot be put in place (\(error.reason)); move away what stands there;"
                + " its bytes wait in tmp/\(temporary)"
            )
          }
        case .remove(let path, let generation)
        where state.paths[path]?.generation == generation && state.paths[path]?.isDropped == true:
          try staged.remove(path)
        case .touch(let path, let generation):
          guard let known = state.paths[path], known.generation == generation, !known.isDropped else { break }
          try staged.setModificationTime(of: path, seconds: known.fingerprint.mtime)
        default: break  // Overtaken by a later record of the same path.
        }
      }
      try staged.synchronizeChanges()
      if wasCutOff { try fileSystem.synchronize(directories.root, .wholeFileSystem) }
      partials = try keepPartials(among: left)
      for partial in partials { left.remove(Array(partial.temporary.utf8)) }
      for name in left where try fileSystem.status(at: directories.temporaries, name)?.kind == .file {
        try fileSystem.remove(at: directories.temporaries, name, isDirectory: false)
      }
    } catch {
      throw .broken(error, doing: "finish what the last run had recorded")
    }
    return stuck
  }

  /// The partial files that can be gone on with; removes the sidecars of all others.
  private func keepPartials(among temporaries: Set<[UInt8]>) throws(SystemFailure) -> [PartialFile] {
    var kept: [PartialFile] = []
    for name in try fileSystem.names(in: directories.state) where PartialFile.isSidecar(name) {
      if let partial = try fileSystem.partialFile(at: directories.state, sidecar: name),
        temporaries.contains(Array(partial.temporary.utf8)),
        let there = try fileSystem.status(at: directories.temporaries, Array(partial.temporary.utf8)),
        there.kind == .file, there.size >= partial.offset
      {
        kept.append(partial)
      } else {
        try fileSystem.remove(at: directories.state, name, isDirectory: false)
      }
    }
    return kept.sorted { $0.temporary < $1.temporary }
  }
}

extension SystemFailure {
  /// True when something else stands where a file should go: one path's trouble, not the volume's.
  package var isAboutThePlace: Bool {
    ["eisdir", "eexist", "enotdir", "eloop", "enametoolong", "enotempty"].contains(code)
  }
}
