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

  package var unsettled: [RemotePath: Sighting]
  /// Absent once from a clean full listing.
  package var absent: Set<RemotePath>

  package init(unsettled: [RemotePath: Sighting] = [:], absent: Set<RemotePath> = []) {
    self.unsettled = unsettled
    self.absent = absent
  }

  package var isEmpty: Bool { unsettled.isEmpty && absent.isEmpty }

  /// One JSON object a line; the first names the boot that the times belong to.
  func encoded(bootID: String) -> [UInt8] {
    var header = FlatJSONWriter()
    header.field("format", 1)
    header.field("boot", bootID)
    var out = header.finished() + [0x0a]
    for (path, sighting) in unsettled.sorted(by: { $0.key < $1.key }) {
      var line = FlatJSONWriter()
      line.path(path)
      line.field("size", sighting.fingerprint.size)
      line.field("mtime", UInt64(sighting.fingerprint.mtime))
      line.field("since", UInt64(max(0, sighting.sinceBootMilliseconds)))
      line.field("first", UInt64(max(0, sighting.unsettledSinceBootMilliseconds)))
      out += line.finished() + [0x0a]
    }
    for path in absent.sorted() {
      var line = FlatJSONWriter()
      line.path(path)
      line.field("absent", 1)
      out += line.finished() + [0x0a]
    }
    return out
  }

  /// Empty for anything that is not whole and of this format. Sightings of another boot, or from the future, are
  /// dropped, since their times mean nothing now; absences are kept.
  init(_ encoded: [UInt8], bootID: String, nowMilliseconds: Int64) {
    self.init()
    guard encoded.last == 0x0a else { return }
    var lines = encoded.split(separator: 0x0a).makeIterator()
    guard let header = lines.next().flatMap({ FlatJSON(Array($0)) }), header.number("format") == 1 else { return }
    let sameBoot = !bootID.isEmpty && header.text("boot") == bootID
    while let line = lines.next() {
      guard let json = FlatJSON(Array(line)), let path = json.path() else {
        self.init()
        return
      }
      if json.number("absent") == 1 {
        absent.insert(path)
      } else if sameBoot, let size = json.number("size"),
        let mtime = json.number("mtime").flatMap(UInt32.init(exactly:)),
        let since = json.number("since").flatMap(Int64.init(exactly:)),
        let first = json.number("first").flatMap(Int64.init(exactly:)), since <= nowMilliseconds, first <= since
      {
        unsettled[path] = Sighting(
          fingerprint: Fingerprint(size: size, mtime: mtime), sinceBootMilliseconds: since,
          unsettledSinceBootMilliseconds: first)
      }
    }
  }
}
