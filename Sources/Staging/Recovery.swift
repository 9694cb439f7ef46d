internal import Common

/// What a start does before anything else: makes durable what is there, proves the journal, sets a torn tail aside,
/// finishes renames and removals that were recorded and not done, and clears tmp/.
struct Recovery {
  private enum Step {
    case install(temporary: String, path: RemotePath, generation: UInt64)
    case remove(path: RemotePath, generation: UInt64)
  }

  let fileSystem: any FileSystem
  let directories: StagingVolume.Directories
  private var temporaries: Set<String> = []
  private var steps: [Step] = []
  /// The record of a tail that was set aside.
  private(set) var tailEntry: JournalEntry?

  init(fileSystem: any FileSystem, directories: StagingVolume.Directories) {
    self.fileSystem = fileSystem
    self.directories = directories
  }

  /// Reads the journal, after making durable whatever a killed run had written and not synchronised: no decision may
  /// rest on bytes that a power cut could still take away.
  mutating func load() throws(StagingError) -> LoadedJournal {
    let (fileSystem, directories) = (fileSystem, directories)
    temporaries = try onVolume("list tmp/") { () throws(SystemFailure) in
      Set(try fileSystem.names(in: directories.temporaries).map { String(decoding: $0, as: UTF8.self) })
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
      return try fileSystem.content(at: directories.state, "checkpoint").flatMap { Checkpoint($0) }
    }
    var steps: [Step] = []
    let temporaries = temporaries
    let loader = JournalLoader(fileSystem: fileSystem, directory: directories.journal)
    let loaded = try loader.load(checkpoint: checkpoint) { record in
      switch record.entry {
      case .fetched(let file) where temporaries.contains(file.temporary):
        steps.append(.install(temporary: file.temporary, path: file.path, generation: record.seq))
      case .dropped(let path, let generation): steps.append(.remove(path: path, generation: generation))
      default: break
      }
    }
    self.steps = steps
    return loaded
  }

  /// Copies a torn tail to a file of its own, durably, and only then cuts it off.
  /// - Returns: a line for the person who runs this, when there was one.
  mutating func repairTail(_ loaded: LoadedJournal) throws(StagingError) -> [String] {
    guard let torn = loaded.torn else { return [] }
    let (fileSystem, directories) = (fileSystem, directories)
    let segment = loaded.position.segment
    let saved = segmentName(segment).dropLast(6) + "-\(torn.offset).torn"
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

  /// Does again, in the journal's order, what was recorded and may not have been done; then empties tmp/.
  mutating func redo(_ state: MirrorState) throws(StagingError) {
    let (fileSystem, directories, steps) = (fileSystem, directories, steps)
    let staged = StagedFiles(fileSystem: fileSystem, root: directories.files, temporaries: directories.temporaries)
    var left = temporaries
    do throws(SystemFailure) {
      for step in steps {
        switch step {
        case .install(let temporary, let path, let generation) where state.paths[path]?.generation == generation:
          try staged.install(temporary: temporary, as: path)
          left.remove(temporary)
        case .remove(let path, let generation)
        where state.paths[path]?.generation == generation && state.paths[path]?.isDropped == true:
          try staged.remove(path)
        default: break  // Overtaken by a later record of the same path.
        }
      }
      try staged.synchronizeChanges()
      for name in left where try fileSystem.status(at: directories.temporaries, Array(name.utf8))?.kind == .file {
        try fileSystem.remove(at: directories.temporaries, Array(name.utf8), isDirectory: false)
      }
    } catch {
      throw .broken(error, doing: "finish what the last run had recorded")
    }
  }
}
