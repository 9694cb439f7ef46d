internal import Common

/// A journal as it was found: the state it folds to, where it ends, and what of its end must be cut off.
struct LoadedJournal {
  var position: JournalPosition
  var state: MirrorState
  /// Set when bytes after `position` in the open segment are a torn batch.
  var torn: TornTail?
  /// Records folded after the checkpoint, or all of them without one.
  var replayed: UInt64 = 0

  struct TornTail: Equatable {
    /// Where the bad bytes begin and how many there are, in the open segment.
    var offset: UInt64
    var count: UInt64
  }

  /// Before the first record.
  init() { (position, state) = (JournalPosition(), MirrorState()) }

  init(continuing checkpoint: consuming Checkpoint) { (position, state) = (checkpoint.position, checkpoint.state) }
}

/// Reads and proves a journal: chain, order, segments. Writes nothing.
struct JournalLoader {
  let fileSystem: any FileSystem
  /// Descriptor of journal/.
  let directory: Int32

  /// Folds the journal, starting at the checkpoint where that matches the segments.
  /// - Parameters:
  ///   - checkpoint: given away, so that its fold is continued and not copied.
  ///   - visit: sees every record that is read after the checkpoint, in order, torn ones excluded.
  /// - Throws: ``StagingError`` `journal-damaged` for anything but a torn tail.
  func load(
    _ checkpoint: consuming Checkpoint?, visit: (JournalRecord) -> Void
  ) throws(StagingError) -> LoadedJournal {
    let segments = try segmentCount()
    if let position = checkpoint?.position, try matches(position, segments: segments) {
      let bytes = try content(of: position.segment)
      if let lines = lines(of: bytes, before: position) {
        return try replay(
          from: LoadedJournal(continuing: (consume checkpoint)!), bytes, lines, segments: segments, visit: visit)
      }
    }
    checkpoint = nil
    return try replay(from: LoadedJournal(), try content(of: 1), 0, segments: segments, visit: visit)
  }

  private func segmentCount() throws(StagingError) -> UInt64 {
    let names = try onVolume("list the journal") { () throws(SystemFailure) in try fileSystem.names(in: directory) }
    let numbers = names.compactMap(segmentNumber).sorted()
    for (index, number) in numbers.enumerated() where number != UInt64(index) + 1 {
      throw .damaged(segment: UInt64(index) + 1, line: 0, "this segment is missing, and later ones are there")
    }
    return UInt64(numbers.count)
  }

  /// True when the sealed segments are those the checkpoint was made of, by size and last line.
  private func matches(_ position: JournalPosition, segments: UInt64) throws(StagingError) -> Bool {
    // One past the last when that one is sealed and the next not begun.
    guard position.segment <= segments + 1 else { return false }
    for (index, sealed) in position.sealed.enumerated() {
      let name = Array(segmentName(UInt64(index) + 1).utf8)
      let head: [UInt8]? = try onVolume("read the journal") { () throws(SystemFailure) in
        let file = Descriptor(try fileSystem.openFile(at: directory, name, .read), fileSystem)
        guard try fileSystem.status(of: file.number).size == sealed.size, sealed.size > 73 else { return nil }
        let tail = try fileSystem.readAll(file.number, from: sealed.size - 74, count: 74)
        return tail.withUnsafeBytes { JournalLine.claimedHead(UnsafeRawBufferPointer(rebasing: $0[..<73])) }
      }
      if head != sealed.head { return false }
    }
    return true
  }

  /// How many lines of the open segment lie before the position; nil when its chain does not pass through there.
  private func lines(of segment: [UInt8], before position: JournalPosition) -> Int? {
    let before = position.sealed.last?.head ?? JournalLine.genesis
    let proved = segment.withUnsafeBytes { SegmentScan.head(of: $0, upTo: Int(position.offset), from: before) }
    return proved?.head == position.head ? proved?.lines : nil
  }

  /// Folds on to the end.
  /// - Parameters:
  ///   - bytes: of the segment that the start stands in.
  ///   - lines: of that segment, before the start.
  private func replay(
    from start: consuming LoadedJournal, _ bytes: consuming [UInt8], _ lines: Int, segments: UInt64,
    visit: (JournalRecord) -> Void
  ) throws(StagingError) -> LoadedJournal {
    var loaded = start
    var bytes = bytes
    var lines = lines
    while true {
      let number = loaded.position.segment
      let isLast = number >= segments
      var scan = SegmentScan(loaded.position, lines: lines)
      let outcome = bytes.withUnsafeBytes { buffer in
        scan.run(buffer, isLast: isLast) { record in
          loaded.state.apply(record)
          loaded.replayed += 1
          visit(record)
        }
      }
      loaded.position.seq = scan.mark.seq
      loaded.position.head = scan.mark.head
      loaded.position.offset = UInt64(scan.mark.offset)
      switch outcome {
      case .damaged(let line, let reason): throw .damaged(segment: number, line: line, reason)
      case .torn(let offset):
        loaded.torn = LoadedJournal.TornTail(offset: UInt64(offset), count: UInt64(bytes.count - offset))
        return loaded
      case .whole: break
      }
      if scan.isSealed {
        loaded.position.sealed.append(SealedSegment(size: UInt64(bytes.count), head: scan.mark.head))
        loaded.position.offset = 0
      }
      if isLast { return loaded }
      bytes = []
      bytes = try content(of: loaded.position.segment)
      lines = 0
    }
  }

  private func content(of segment: UInt64) throws(StagingError) -> [UInt8] {
    try onVolume("read the journal") { () throws(SystemFailure) in
      try fileSystem.content(at: directory, segmentName(segment)) ?? []
    }
  }
}
