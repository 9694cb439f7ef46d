package import Common
package import Staging

/// What fetch does with one path.
package enum FetchDecision: Equatable, Sendable {
  /// Staged already, or nothing certain can be said.
  case nothing
  /// Remember what was seen; a later listing decides.
  case observe
  case fetch
  case observeAbsence
  case gone
}

/// How the remote shows one path.
package enum RemoteView: Equatable, Sendable {
  case file(Fingerprint)
  /// Its nearest known directory was listed to the end and the name is not there.
  case absent
  /// Under a directory that could not be listed.
  case unknown
  /// There, but not to be fetched: a symbolic link, a special file, an excluded name.
  case skipped
}

/// Decides on one path. Pure.
///
/// | remote | journal | seen before | do |
/// |---|---|---|---|
/// | file | fetched, same fingerprint, staged bytes good | any | nothing |
/// | file | fetched, same fingerprint, staged bytes drifted | any | fetch |
/// | file | not known, gone, or another fingerprint | same fingerprint, at least `settleMilliseconds` ago | fetch |
/// | file | not known, gone, or another fingerprint | not, or too recently | observe (fetch when nothing is to settle) |
/// | absent | fetched, not gone | not absent in the last clean listing | observe the absence |
/// | absent | fetched, not gone | absent in the last clean listing | gone |
/// | absent | not known, or gone | any | nothing |
/// | unknown, skipped | any | any | nothing |
package func decideFetch(
  remote: RemoteView, known: PathState?, sighting: Observations.Sighting?, wasAbsent: Bool, nowMilliseconds: Int64,
  settleMilliseconds: Int64
) -> FetchDecision {
  switch remote {
  case .unknown, .skipped: return .nothing
  case .absent:
    guard let known, !known.isGone else { return .nothing }
    return wasAbsent ? .gone : .observeAbsence
  case .file(let fingerprint):
    if let known, !known.isGone, known.fingerprint == fingerprint { return known.hasDrifted ? .fetch : .nothing }
    if settleMilliseconds == 0 { return .fetch }
    guard let sighting, sighting.fingerprint == fingerprint else { return .observe }
    return nowMilliseconds - sighting.sinceBootMilliseconds >= settleMilliseconds ? .fetch : .observe
  }
}

/// All that one listing asks fetch to do, in the order of doing it.
package struct FetchPlan: Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    package var path: RemotePath
    package var fingerprint: Fingerprint
  }

  package struct Touch: Sendable, Equatable {
    package var path: RemotePath
    package var generation: UInt64
    /// To be adopted.
    package var mtime: UInt32
  }

  package struct Removal: Sendable, Equatable {
    package var path: RemotePath
    package var generation: UInt64
  }

  /// Staged generations that stand where a new path needs a directory, or a file; already published.
  package var drop: [Removal] = []
  /// Files to fetch; those that failed before come last.
  package var fetch = ListedFileSelection()
  package var gone: [Removal] = []
  /// Files whose modification time a ``UniformShift`` explains: the new one is adopted.
  package var touched: [Touch] = []
  /// New paths that wait until what stands in their place has been published.
  package var blocked: [RemotePath] = []
  /// Paths that the listing shows as a file and as a directory, and what it shows below them: none can be believed.
  package var contradictory: [RemotePath] = []
  /// Files that are in the journal as they are on the remote.
  package var unchanged = 0
  /// Milliseconds since boot at which the first of the unsettled files can be judged again.
  package var nextDueMilliseconds: Int64?
  /// What the next listing needs to know; `unsettled` holds the files waiting to settle.
  package var observations = Observations()
  /// What had been seen before. Those of the files to fetch let them be fetched now: without them a file whose fetch
  /// fails would have to settle anew.
  package var settled: Sightings = [:]

  package init() {}

  /// - Parameters:
  ///   - listing: one walk of the remote.
  ///   - state: the journal's fold.
  ///   - observations: from the listing before; empty when they are not to be trusted.
  ///   - destination: where a staged generation must have been published before it may be dropped; nil means anywhere.
  ///   - shift: of modification times, in this listing.
  ///   - provingBytes: of what is staged and unproven, so much is read again, last of all.
  package init(
    listing: RemoteListing, state: borrowing MirrorState, observations: Observations, destination: Destination?,
    shift: UniformShift? = nil, provingBytes: UInt64 = 0, nowMilliseconds: Int64, settleMilliseconds: Int64
  ) {
    let files = listing.files
    settled = observations.unsettled
    fetch = ListedFileSelection(of: files)
    unchanged = listing.stagedCount
    var failedBefore = fetch
    var proving = ProvingPlan(maximumBytes: provingBytes)
    var present = listing.stagedCount
    var hasNew = false
    var (inJournal, inSightings) = (PathCounterparts(), PathCounterparts())
    for number in files.indices {
      let known = inJournal.number(of: number, of: files.table, in: state.paths.table).map { state.paths[$0] }
      if let known, !known.isGone, !listing.isStaged(Int(known.number)) { present += 1 }
      if let shift, let known, shift.explains(files.fingerprint(number), known) {
        let item = files[number]
        touched.append(Touch(path: item.path, generation: known.generation, mtime: item.fingerprint.mtime))
        proving.add(item)
        continue
      }
      let sighting = settled.sighting(of: number, of: files.table, &inSightings)
      let decision = decideFetch(
        remote: .file(files.fingerprint(number)), known: known, sighting: sighting, wasAbsent: false,
        nowMilliseconds: nowMilliseconds, settleMilliseconds: settleMilliseconds)
      switch decision {
      case .fetch:
        if known?.isDropped ?? true { hasNew = true }
        if state.failures.isEmpty || state.failures[MirrorState.FailureKey(files[number].path, .fetch)] == nil {
          fetch.append(number: number)
        } else {
          failedBefore.append(number: number)
        }
      case .observe: observe(files[number], sighting, nowMilliseconds, settleMilliseconds)
      case .nothing, .observeAbsence, .gone:
        unchanged += 1
        if let known, known.isMirrored, known.isUnproven { proving.add(files[number]) }
      }
    }
    fetch.append(failedBefore)
    // Only when something known did not show up is it worth asking what.
    if present < state.paths.count - state.goneCount || !state.fetchFailures.isEmpty {
      decideAbsences(listing, state, observations, nowMilliseconds, settleMilliseconds)
    }
    refuseContradictions(listing, state)
    if hasNew { resolveConflicts(listing, state, destination) }
    if provingBytes > 0 { prove(&proving, listing, state) }
  }

  /// Adds what is read again as a proof, after everything else.
  private mutating func prove(_ proving: inout ProvingPlan, _ listing: RemoteListing, _ state: borrowing MirrorState) {
    for known in state.paths
    where known.isUnproven && known.isMirrored && listing.isStaged(Int(known.number)) {
      proving.add(Item(path: state.paths.path(of: known), fingerprint: known.fingerprint))
    }
    let again = proving.items { state.failures[MirrorState.FailureKey($0, .fetch)] != nil }
    if again.isEmpty { return }
    let both = listing.filesThatAreDirectories(state.paths)
    for item in again {
      if both.contains(item.path) || item.path.ancestors.contains(where: { both.contains($0) }) {
        contradictory.append(item.path)
      } else {
        fetch.append(item)
      }
    }
  }

  private mutating func refuseContradictions(_ listing: RemoteListing, _ state: borrowing MirrorState) {
    if fetch.isEmpty { return }
    let both = listing.filesThatAreDirectories(state.paths)
    if both.isEmpty { return }
    fetch.removeAll { number in
      let path = listing.files[number].path
      let isRefused = both.contains(path) || path.ancestors.contains { both.contains($0) }
      if isRefused { contradictory.append(path) }
      return isRefused
    }
  }

  private mutating func observe(
    _ item: Item, _ sighting: Observations.Sighting?, _ now: Int64, _ settle: Int64
  ) {
    let since = sighting.flatMap { $0.fingerprint == item.fingerprint ? $0.sinceBootMilliseconds : nil } ?? now
    let noted = Observations.Sighting(
      fingerprint: item.fingerprint, sinceBootMilliseconds: since,
      unsettledSinceBootMilliseconds: sighting?.unsettledSinceBootMilliseconds ?? now)
    observations.unsettled.note(noted, of: item.path)
    nextDueMilliseconds = min(nextDueMilliseconds ?? .max, since + settle)
  }

  private mutating func decideAbsences(
    _ listing: RemoteListing, _ state: borrowing MirrorState, _ before: Observations, _ now: Int64, _ settle: Int64
  ) {
    for known in state.paths where !known.isGone && !listing.isStaged(Int(known.number)) {
      let path = state.paths.path(of: known)
      if listing.files.contains(path) { continue }
      let decision = decideFetch(
        remote: listing.viewOfMissing(path), known: known, sighting: nil, wasAbsent: before.absent.contains(path),
        nowMilliseconds: now, settleMilliseconds: settle)
      switch decision {
      case .observeAbsence: observations.absent.insert(path)
      case .gone: gone.append(Removal(path: path, generation: known.generation))
      case .nothing, .observe, .fetch: break
      }
    }
    // A file that could never be fetched and is no longer there stops being a failure the same way.
    for path in state.fetchFailures where state.paths[path] == nil && !listing.files.contains(path) {
      guard listing.viewOfMissing(path) == .absent else { continue }
      if before.absent.contains(path) {
        gone.append(Removal(path: path, generation: 0))
      } else {
        observations.absent.insert(path)
      }
    }
    gone.sort { $0.path < $1.path }
  }

  /// The observations to keep after the transfer: what is fetched needs none any more; what failed, or never had its
  /// turn, stays settled; what changed while it was read is seen anew.
  package func observationsAfter(
    fetched isFetched: (Item) -> Bool, changed: Set<RemotePath>
  ) -> Observations {
    var kept = observations
    for item in fetch where !changed.contains(item.path) && !isFetched(item) {
      if let sighting = settled[item.path] { kept.unsettled.note(sighting, of: item.path) }
    }
    for path in blocked {
      if let sighting = settled[path] { kept.unsettled.note(sighting, of: path) }
    }
    return kept
  }

  /// A path cannot be staged while another staged file is one of its directories, or lies below it. Such a file goes
  /// once it is published and certainly no longer on the remote; until then the new path waits.
  private mutating func resolveConflicts(
    _ listing: RemoteListing, _ state: borrowing MirrorState, _ destination: Destination?
  ) {
    let below = stagedPathsBelow(listing, state)
    var dropped: [RemotePath: UInt64] = [:]
    // Files of a directory follow each other, and have the same staged files above them.
    var (directory, above): (Int?, [RemotePath]) = (nil, [])
    fetch.removeAll { number in
      if listing.files.table.directory(of: number) != directory {
        directory = listing.files.table.directory(of: number)
        above = listing.files[number].path.ancestors.filter { state.paths[$0].map { !$0.isDropped } ?? false }
      }
      if above.isEmpty, below.isEmpty { return false }
      let wanted = listing.files[number].path
      let inTheWay = above + (below[wanted] ?? [])
      let canGo = inTheWay.allSatisfy { path in
        state.paths[path].map { state.isPublished($0, to: destination) } ?? true
          && listing.viewOfMissing(path) == .absent
      }
      if canGo {
        for path in inTheWay { dropped[path] = state.paths[path]?.generation }
      } else {
        blocked.append(wanted)
      }
      return !canGo
    }
    drop = dropped.map { Removal(path: $0.key, generation: $0.value) }.sorted { $0.path < $1.path }
  }

  /// What is staged below each path that is to be fetched, where there is anything.
  private func stagedPathsBelow(
    _ listing: RemoteListing, _ state: borrowing MirrorState
  ) -> [RemotePath: [RemotePath]] {
    let table = state.paths.table
    // By the number of a directory of staged files: it, or those above it, that the listing shows as files.
    var listed: [Int: [RemotePath]] = [:]
    for directory in 0..<table.directoryCount {
      guard let path = table.directoryPath(directory) else { continue }
      let found = ([path] + path.ancestors).filter { listing.files.contains($0) }
      if !found.isEmpty { listed[directory] = found }
    }
    if listed.isEmpty { return [:] }
    let wanted = Set(fetch.lazy.map(\.path))
    var below: [RemotePath: [RemotePath]] = [:]
    for known in state.paths where !known.isDropped {
      for file in listed[table.directory(of: Int(known.number))] ?? [] where wanted.contains(file) {
        below[file, default: []].append(state.paths.path(of: known))
      }
    }
    return below
  }
}
