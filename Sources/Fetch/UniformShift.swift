internal import Common
package import Staging

/// A server whose clock was changed for daylight saving shows every modification time an hour off. Fetching everything
/// again for that would be wrong; so the new times are adopted, and full-sync proves the bytes later.
package struct UniformShift: Equatable, Sendable {
  /// Fewer files may have come to such times by chance.
  static let leastFiles = 8
  /// Of the files that are judged, in percent.
  static let leastPercent = 90
  /// Files that are written anew every hour, to the same size, show the same shift. At every look the last of their
  /// times is less than an hour old, so what is younger than a day is not judged: the server's clock may be off, too.
  static let leastAgeSeconds: Int64 = 86_400

  /// 3600 or −3600.
  let seconds: Int64
  /// Now, since 1970.
  private let wallSeconds: Int64

  /// Finds the shift in a listing; nil when there is none, or when the listing shows a path both as a file and as a
  /// directory.
  package init?(_ listing: RemoteListing, _ state: borrowing MirrorState, wallSeconds: Int64) {
    let files = listing.files
    var (later, earlier, judged) = (0, 0, 0)
    var inJournal = PathCounterparts()
    for number in files.indices {
      guard let known = inJournal.number(of: number, of: files.table, in: state.paths.table).map({ state.paths[$0] }),
        let shift = Self.judge(files.fingerprint(number), known, wallSeconds: wallSeconds)
      else { continue }
      judged += 1
      if shift == 3_600 { later += 1 }
      if shift == -3_600 { earlier += 1 }
    }
    if max(later, earlier) < Self.leastFiles { return nil }
    // Of those that are staged as they are shown, the listing kept a mark only.
    for known in state.paths where listing.isStaged(Int(known.number)) {
      if Self.judge(known.fingerprint, known, wallSeconds: wallSeconds) != nil { judged += 1 }
    }
    guard let seconds = Self.decide(later: later, earlier: earlier, judged: judged),
      listing.filesThatAreDirectories(state.paths).isEmpty
    else { return nil }
    self.seconds = seconds
    self.wallSeconds = wallSeconds
  }

  /// True when this shift is all that distinguishes the remote's file from the staged one.
  func explains(_ fingerprint: Fingerprint, _ known: PathState) -> Bool {
    Self.judge(fingerprint, known, wallSeconds: wallSeconds) == seconds
  }

  /// By how much a file is shifted, in seconds; 0 for another change or none, nil for a file that is not judged. Pure.
  ///
  /// | file in the journal | on the remote | shift |
  /// |---|---|---|
  /// | gone, dropped, or drifted | any | not judged |
  /// | any | time less than a day ago, or in the future | not judged |
  /// | unproven | same fingerprint | not judged: an adoption that was cut off goes on with the others |
  /// | any other | other size | 0 |
  /// | any other | same size | the difference of the times |
  static func judge(_ fingerprint: Fingerprint, _ known: PathState, wallSeconds: Int64) -> Int64? {
    if !known.isMirrored || known.hasDrifted || wallSeconds - Int64(fingerprint.mtime) < leastAgeSeconds { return nil }
    let before = known.fingerprint
    if known.isUnproven, before == fingerprint { return nil }
    return before.size == fingerprint.size ? Int64(fingerprint.mtime) - Int64(before.mtime) : 0
  }

  /// The shift of a listing, in seconds. Pure.
  ///
  /// | files an hour later | files an hour earlier | shift |
  /// |---|---|---|
  /// | at least 8, and 90 % of those judged | any | 3600 |
  /// | any | at least 8, and 90 % of those judged | −3600 |
  /// | fewer | fewer | none |
  static func decide(later: Int, earlier: Int, judged: Int) -> Int64? {
    func isUniform(_ count: Int) -> Bool { count >= leastFiles && count * 100 >= judged * leastPercent }
    if isUniform(later) { return 3_600 }
    return isUniform(earlier) ? -3_600 : nil
  }
}

/// Which unproven files one run reads again.
struct ProvingPlan {
  /// What a full-sync reads for this, so that one after a change of clocks does not read everything.
  static let bytesPerRun: UInt64 = 1 << 30

  /// 0: none.
  let maximumBytes: UInt64
  private var candidates: [FetchPlan.Item] = []

  init(maximumBytes: UInt64) { self.maximumBytes = maximumBytes }

  mutating func add(_ item: FetchPlan.Item) {
    if maximumBytes > 0 { candidates.append(item) }
  }

  /// In the order of their paths, those that failed before last, up to the first that does not fit any more; the first
  /// of all in any case.
  func items(failedBefore: (RemotePath) -> Bool) -> [FetchPlan.Item] {
    if candidates.isEmpty { return [] }
    var ordered = candidates.sorted { $0.path < $1.path }
    let failed = ordered.filter { failedBefore($0.path) }
    if !failed.isEmpty { ordered = ordered.filter { !failedBefore($0.path) } + failed }
    var bytes: UInt64 = 0
    let count = ordered.prefix { item in
      bytes += item.fingerprint.size
      return bytes <= maximumBytes || bytes == item.fingerprint.size
    }.count
    return Array(ordered[..<count])
  }
}
