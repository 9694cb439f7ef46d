/// What to make of a line that does not continue the chain.
enum TornTailVerdict: Equatable {
  /// The append that wrote this line never finished: cut from the line itself.
  case tornFromLine
  /// The line belongs to the batch before it, which therefore never became durable: cut that whole batch.
  case tornFromBatch
  /// Something durable was altered: stop, a person must look.
  case damaged
}

/// Judges the first bad line of the open segment, from the rule that a batch is not written before the one in front of
/// it is durable.
///
/// The bad line stands where record `nextSeq` should be, so its batch is `batch` (that of the last good record) or
/// `nextSeq` (it opens a batch of its own).
///
/// | readable lines after it | the bad line's own batch | verdict |
/// |---|---|---|
/// | one of a batch later than `nextSeq` | any | damaged |
/// | one of batch `nextSeq` | not `batch` | torn from the line |
/// | one of batch `nextSeq` | `batch` | damaged: its batch was durable before `nextSeq` was written |
/// | one of `batch` | any | torn from the batch |
/// | none | `batch` | torn from the batch |
/// | none | `nextSeq`, or not readable | torn from the line |
///
/// - Parameters:
///   - batch: batch of the last good record, 0 when there is none.
///   - ownBatch: the batch that the bad line itself names, when that much of it can be read.
///   - followingBatches: the batches of all readable lines after it.
func judgeTornTail(
  batch: UInt64, nextSeq: UInt64, ownBatch: UInt64?, followingBatches: [UInt64]
) -> TornTailVerdict {
  if followingBatches.contains(where: { $0 > nextSeq }) { return .damaged }
  if followingBatches.contains(nextSeq) { return ownBatch == batch && batch != nextSeq ? .damaged : .tornFromLine }
  if followingBatches.contains(where: { $0 == batch }) { return .tornFromBatch }
  return ownBatch == batch ? .tornFromBatch : .tornFromLine
}

/// The number of the field `b` in the beginning of a line that may be broken further on.
func leadingBatch(_ line: UnsafeRawBufferPointer) -> UInt64? {
  let name = Array(",\"b\":".utf8)
  let head = Array(line.prefix(256))
  guard head.starts(with: "{\"seq\":".utf8) else { return nil }
  var start = 0
  while start + name.count < head.count, !head[start...].starts(with: name) { start += 1 }
  let digits = head[min(start + name.count, head.count)...].prefix { (0x30...0x39).contains($0) }
  // Only a number that something follows is known to be whole.
  guard digits.endIndex < head.count else { return nil }
  return UInt64(String(decoding: digits, as: UTF8.self))
}
