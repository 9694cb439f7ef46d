package import Common

/// What was seen on the remote and not yet acted on: when a fingerprint was first seen, and which known paths were
/// absent from the last clean listing. Disposable: without it every file settles anew.
package struct Observations: Sendable, Equatable {
  /// Milliseconds since boot at which a path was first seen with this fingerprint.
  package struct Sighting: Sendable, Equatable {
    package var fingerprint: Fingerprint
    package var sinceBootMilliseconds: Int64
    /// Since when the path has been unsettled, whatever its fingerprint was.
    package var unsettledSinceBootMilliseconds: Int64

    package init(
      fingerprint: Fingerprint, sinceBootMilliseconds: Int64, unsettledSinceBootMilliseconds: Int64? = nil
    ) {
      self.fingerprint = fingerprint
      self.sinceBootMilliseconds = sinceBootMilliseconds
      self.unsettledSinceBootMilliseconds = unsettledSinceBootMilliseconds ?? sinceBootMilliseconds
    }
  }

  package var unsettled: Sightings
  /// Absent once from a clean full listing.
  package var absent: Set<RemotePath>

  package init(unsettled: Sightings = [:], absent: Set<RemotePath> = []) {
    self.unsettled = unsettled
    self.absent = absent
  }

  package var isEmpty: Bool { unsettled.isEmpty && absent.isEmpty }
}

/// A sighting of each of many paths, some 60 bytes and the name each.
package struct Sightings: Sendable, Equatable, RandomAccessCollection, ExpressibleByDictionaryLiteral {
  private var table = PathTable()
  private var sightings: [Observations.Sighting] = []

  package init(dictionaryLiteral elements: (RemotePath, Observations.Sighting)...) {
    for (path, sighting) in elements { note(sighting, of: path) }
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { sightings.count }
  package subscript(position: Int) -> (path: RemotePath, sighting: Observations.Sighting) {
    (table.path(position), sightings[position])
  }
  package subscript(path: RemotePath) -> Observations.Sighting? { table.number(of: path).map { sightings[$0] } }
  /// The sightings alone.
  package var values: some Sequence<Observations.Sighting> { sightings }

  /// Replaces what was noted of the path before.
  package mutating func note(_ sighting: Observations.Sighting, of path: RemotePath) {
    let number = table.insert(path)
    if number < sightings.count { sightings[number] = sighting } else { sightings.append(sighting) }
  }

  /// The sighting of a path of another table.
  package func sighting(
    of number: Int, of other: borrowing PathTable, _ counterparts: inout PathCounterparts
  ) -> Observations.Sighting? {
    counterparts.number(of: number, of: other, in: table).map { sightings[$0] }
  }
}
