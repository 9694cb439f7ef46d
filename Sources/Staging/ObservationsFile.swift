internal import Common

// The file state/observations: one JSON object a line; the first names the boot that the times belong to.
extension Observations {
  private static let name = "observations"
  private static let pieceLength = 1 << 18

  /// Replaces the file, or removes it when there is nothing to keep. Not synchronised.
  func write(to directory: Int32, _ clock: Clock, _ fileSystem: any FileSystem) throws(SystemFailure) {
    if isEmpty {
      let name = Array(Self.name.utf8)
      if try fileSystem.status(at: directory, name) != nil {
        try fileSystem.remove(at: directory, name, isDirectory: false)
      }
      return
    }
    try fileSystem.replaceFile(at: directory, Self.name, durable: false) { (descriptor) throws(SystemFailure) in
      var piece: [UInt8] = []
      var offset: UInt64 = 0
      func flush() throws(SystemFailure) {
        try fileSystem.writeAll(descriptor, piece, at: offset)
        offset += UInt64(piece.count)
        piece.removeAll(keepingCapacity: true)
      }
      try encode(bootID: clock.bootID) { (line) throws(SystemFailure) in
        piece += line
        if piece.count >= Self.pieceLength { try flush() }
      }
      try flush()
    }
  }

  /// Empty when there is no file, and as ``ObservationsDecoder`` says.
  static func read(
    at directory: Int32, _ clock: Clock, _ fileSystem: any FileSystem
  ) throws(SystemFailure) -> Observations {
    guard try fileSystem.status(at: directory, Array(name.utf8)) != nil else { return Observations() }
    let file = Descriptor(try fileSystem.openFile(at: directory, Array(name.utf8), .read), fileSystem)
    var decoder = ObservationsDecoder(bootID: clock.bootID, nowMilliseconds: clock.bootMilliseconds())
    var offset: UInt64 = 0
    while true {
      let piece = try fileSystem.readAll(file.number, from: offset, count: pieceLength)
      if piece.isEmpty { break }
      decoder.add(piece)
      offset += UInt64(piece.count)
    }
    try file.close()
    return decoder.finished()
  }

  /// Gives the lines, each with its line feed, to `put`.
  func encode(bootID: String, _ put: ([UInt8]) throws(SystemFailure) -> Void) throws(SystemFailure) {
    var header = FlatJSONWriter()
    header.field("format", 1)
    header.field("boot", bootID)
    try put(header.finished() + [0x0a])
    for (path, sighting) in unsettled {
      var line = FlatJSONWriter()
      line.path(path)
      line.field("size", sighting.fingerprint.size)
      line.field("mtime", UInt64(sighting.fingerprint.mtime))
      line.field("since", UInt64(max(0, sighting.sinceBootMilliseconds)))
      line.field("first", UInt64(max(0, sighting.unsettledSinceBootMilliseconds)))
      try put(line.finished() + [0x0a])
    }
    for path in absent.sorted() {
      var line = FlatJSONWriter()
      line.path(path)
      line.field("absent", 1)
      try put(line.finished() + [0x0a])
    }
  }
}

/// Puts observations together from pieces of the file. Empty for anything that is not whole and of this format.
/// Sightings of another boot, or from the future, are dropped, since their times mean nothing now; absences are kept.
struct ObservationsDecoder {
  private let bootID: String
  private let nowMilliseconds: Int64
  private var observations = Observations()
  /// Of a line that has not ended.
  private var rest: [UInt8] = []
  /// Nil before the first line.
  private var isSameBoot: Bool?
  private var isBad = false

  init(bootID: String, nowMilliseconds: Int64) {
    self.bootID = bootID
    self.nowMilliseconds = nowMilliseconds
  }

  mutating func add(_ piece: [UInt8]) {
    var start = piece.startIndex
    while !isBad, let end = piece[start...].firstIndex(of: 0x0a) {
      if !take(line: rest + piece[start..<end]) { isBad = true }
      rest.removeAll(keepingCapacity: true)
      start = end + 1
    }
    if !isBad { rest += piece[start...] }
  }

  func finished() -> Observations {
    isBad || isSameBoot == nil || !rest.isEmpty ? Observations() : observations
  }

  private mutating func take(line: [UInt8]) -> Bool {
    guard let json = FlatJSON(line) else { return false }
    guard let isSameBoot else {
      isSameBoot = !bootID.isEmpty && json.text("boot") == bootID
      return json.number("format") == 1
    }
    guard let path = json.path() else { return false }
    if json.number("absent") == 1 {
      observations.absent.insert(path)
    } else if isSameBoot, let size = json.number("size"),
      let mtime = json.number("mtime").flatMap(UInt32.init(exactly:)),
      let since = json.number("since").flatMap(Int64.init(exactly:)),
      let first = json.number("first").flatMap(Int64.init(exactly:)), since <= nowMilliseconds, first <= since
    {
      let sighting = Observations.Sighting(
        fingerprint: Fingerprint(size: size, mtime: mtime), sinceBootMilliseconds: since,
        unsettledSinceBootMilliseconds: first)
      observations.unsettled.note(sighting, of: path)
    }
    return true
  }
}
