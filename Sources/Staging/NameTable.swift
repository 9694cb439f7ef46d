internal import Glibc

/// Numbers byte strings 0, 1, 2 … in the order they come, each within a scope. All bytes lie one after the other in one
/// array, and a hash table finds them there: no allocation for an entry, about 20 bytes besides its own.
struct NameTable: Sendable, Equatable {
  private var bytes: [UInt8] = []
  /// Where the bytes of each entry end; they begin where those of the entry before end.
  private var ends: [UInt64] = []
  private var scopes: [UInt32] = []
  /// Open addressing with linear probing: the number of an entry plus one; 0 is free. A power of two, or empty.
  private var slots: [UInt32] = []

  var count: Int { ends.count }

  /// Makes room for this many entries of so many bytes together.
  mutating func reserve(_ entries: Int, bytes length: Int) {
    bytes.reserveCapacity(length)
    ends.reserveCapacity(entries)
    scopes.reserveCapacity(entries)
    if entries * 4 > slots.count * 3 { rebuild(for: entries) }
  }

  func scope(of number: Int) -> UInt32 { scopes[number] }

  func withBytes<Result>(of number: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range(number)])) }
  }

  func find(_ name: UnsafeRawBufferPointer, in scope: UInt32) -> Int? {
    if slots.isEmpty { return nil }
    let slot = slot(of: name, in: scope)
    return slots[slot] == 0 ? nil : Int(slots[slot]) - 1
  }

  /// The number of the entry, which is added when it is new.
  mutating func insert(_ name: UnsafeRawBufferPointer, in scope: UInt32) -> (number: Int, isNew: Bool) {
    if (count + 1) * 4 > slots.count * 3 { rebuild(for: 2 * (count + 1)) }
    let slot = slot(of: name, in: scope)
    if slots[slot] != 0 { return (Int(slots[slot]) - 1, false) }
    bytes.append(contentsOf: name)
    ends.append(UInt64(bytes.count))
    scopes.append(scope)
    slots[slot] = UInt32(count)
    return (count - 1, true)
  }

  private func range(_ number: Int) -> Range<Int> { (number == 0 ? 0 : Int(ends[number - 1]))..<Int(ends[number]) }

  /// The slot that holds the entry, or the free one that it would take.
  private func slot(of name: UnsafeRawBufferPointer, in scope: UInt32) -> Int {
    let mask = slots.count - 1
    var slot = Self.hash(name, scope) & mask
    while slots[slot] != 0, !holds(Int(slots[slot]) - 1, name, scope) { slot = (slot + 1) & mask }
    return slot
  }

  private func holds(_ number: Int, _ name: UnsafeRawBufferPointer, _ scope: UInt32) -> Bool {
    let range = range(number)
    guard scopes[number] == scope, range.count == name.count else { return false }
    if range.isEmpty { return true }
    return bytes.withUnsafeBytes { memcmp($0.baseAddress! + range.lowerBound, name.baseAddress!, range.count) == 0 }
  }

  /// Seeded anew in each process, so that a partner cannot choose names that collide.
  private static func hash(_ name: UnsafeRawBufferPointer, _ scope: UInt32) -> Int {
    var hasher = Hasher()
    hasher.combine(scope)
    hasher.combine(bytes: name)
    return hasher.finalize()
  }

  private mutating func rebuild(for entries: Int) {
    var size = 16
    while size * 3 < entries * 4 { size *= 2 }
    slots = [UInt32](repeating: 0, count: size)
    for number in 0..<count {
      var slot = withBytes(of: number) { Self.hash($0, scopes[number]) } & (size - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = UInt32(number + 1)
    }
  }

  static func == (left: NameTable, right: NameTable) -> Bool {
    left.ends == right.ends && left.scopes == right.scopes && left.bytes == right.bytes
  }
}
