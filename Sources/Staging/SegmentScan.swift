internal import Common

/// Walks the lines of one segment, proves that each continues the chain, and hands out whole batches.
struct SegmentScan {
  /// Where the scan stands after a whole number of batches.
  struct Mark: Equatable {
    var seq: UInt64
    var head: [UInt8]
    var offset: Int
  }

  enum Outcome: Equatable {
    /// Every byte of the segment belongs to a good line.
    case whole
    case torn(at: Int)
    case damaged(line: Int, reason: String)
  }

  private(set) var mark: Mark
  /// True when the last record handed out closes the segment.
  private(set) var isSealed = false
  private var line: Int

  /// - Parameters:
  ///   - position: where to begin; what lies before it in its segment has been proved by ``head(of:upTo:from:)``.
  ///   - lines: of the segment, before the position.
  init(_ position: JournalPosition, lines: Int) {
    mark = Mark(seq: position.seq, head: position.head, offset: Int(position.offset))
    line = lines
  }

  /// Proves the chain of the lines before `limit` without decoding them.
  /// - Returns: the head at `limit`; nil when the chain breaks or no line ends exactly there.
  static func head(of segment: UnsafeRawBufferPointer, upTo limit: Int, from head: [UInt8]) -> (
    head: [UInt8], lines: Int
  )? {
    guard limit <= segment.count else { return nil }
    var (head, offset, lines) = (head, 0, 0)
    while offset < limit {
      guard let line = nextLine(segment, at: offset), let next = JournalLine.follows(head, line) else { return nil }
      head = next
      offset += line.count + 1
      lines += 1
    }
    return offset == limit ? (head, lines) : nil
  }

  /// Reads on to the end of the segment.
  /// - Parameters:
  ///   - isLast: only the last segment may end in a torn batch.
  ///   - visit: sees the records of a batch once the batch is known to be whole.
  mutating func run(_ segment: UnsafeRawBufferPointer, isLast: Bool, visit: (JournalRecord) -> Void) -> Outcome {
    var batch: [JournalRecord] = []
    var next = mark
    func commit(_ scan: inout SegmentScan) {
      for record in batch {
        visit(record)
        if case .sealed = record.entry { scan.isSealed = true }
      }
      batch.removeAll(keepingCapacity: true)
      scan.mark = next
    }
    while next.offset < segment.count {
      line += 1
      let fault: String
      if isSealed {
        return .damaged(line: line, reason: "there are lines after the one that seals the segment")
      } else if let text = Self.nextLine(segment, at: next.offset) {
        if let head = JournalLine.follows(next.head, text) {
          guard let record = JournalLine.decode(text) else {
            return .damaged(
              line: line, reason: "the line is in the chain but not in a form this version knows; a newer one may")
          }
          let opensBatch = record.batch == record.seq
          if record.seq == next.seq + 1, opensBatch || record.batch == batch.first?.batch {
            if opensBatch { commit(&self) }
            batch.append(record)
            next = Mark(seq: record.seq, head: head, offset: next.offset + text.count + 1)
            continue
          }
          fault = "the sequence number or the batch does not follow the record before"
        } else {
          fault = "the line does not continue the chain"
        }
      } else {
        fault = "the line does not end"
      }
      let verdict = judge(
        UnsafeRawBufferPointer(rebasing: segment[next.offset...]), batch: batch.first?.batch, next.seq + 1)
      guard isLast, verdict != .damaged else { return .damaged(line: line, reason: fault) }
      if verdict == .tornFromLine { commit(&self) }
      // What is appended after a seal goes into the next segment: such bytes are no torn append.
      if isSealed { return .damaged(line: line, reason: fault) }
      return .torn(at: mark.offset)
    }
    commit(&self)
    if !isLast, !isSealed { return .damaged(line: line, reason: "the segment ends before the record that seals it") }
    return .whole
  }

  private func judge(_ rest: UnsafeRawBufferPointer, batch: UInt64?, _ nextSeq: UInt64) -> TornTailVerdict {
    let bad = Self.nextLine(rest, at: 0)
    var following: [UInt64] = []
    // A damaged line feed makes one line of two: a record may begin within the bad line.
    var offset = Self.nextRecord(bad ?? rest) ?? bad.map { $0.count + 1 } ?? rest.count
    while offset < rest.count, let text = Self.nextLine(rest, at: offset) {
      if JournalLine.claimedHead(text) != nil, let record = JournalLine.decode(text) { following.append(record.batch) }
      offset += text.count + 1
    }
    return judgeTornTail(
      batch: batch ?? 0, nextSeq: nextSeq, ownBatch: leadingBatch(bad ?? rest), followingBatches: following)
  }

  /// Where a record seems to begin in a line, past its first byte. The bytes cannot stand within a record: there
  /// the quotes would be escaped.
  private static func nextRecord(_ line: UnsafeRawBufferPointer) -> Int? {
    let beginning = Array("{\"seq\":".utf8)
    return line.indices.dropFirst().first { index in
      line[index] == beginning[0] && line[index...].starts(with: beginning)
    }
  }

  /// The line that begins at `offset`, without its line feed; nil when no line feed follows.
  private static func nextLine(_ segment: UnsafeRawBufferPointer, at offset: Int) -> UnsafeRawBufferPointer? {
    let rest = UnsafeRawBufferPointer(rebasing: segment[offset...])
    guard let end = rest.firstIndex(of: 0x0a) else { return nil }
    return UnsafeRawBufferPointer(rebasing: rest[..<end])
  }
}
