internal import Common
internal import Staging

/// The rules of going on with a large file of which a part has come. Pure.
enum Resumption {
  /// Smaller files begin anew.
  static let leastFileBytes: UInt64 = 32 << 20
  /// What has come is made durable, and told, every so many bytes.
  static let markBytes: UInt64 = 64 << 20
  /// So many of the last bytes that have come are asked for again, and compared.
  static let overlapBytes: UInt64 = 1 << 20

  /// Where READs go on when `bytes` of a file have come: 0 where going on is not worth it.
  static func start(after bytes: UInt64) -> UInt64 { bytes > overlapBytes ? bytes - overlapBytes : 0 }
}

/// What to do with a partial file that an earlier run left.
enum PartialDecision: Equatable {
  case resume
  /// Nothing certain can be said, or its turn has not come.
  case keep
  case remove
}

/// Decides on one partial file. Pure.
///
/// | resuming is switched on, and the source the same | its file | so |
/// |---|---|---|
/// | no | any | remove |
/// | yes | is to be fetched, with the same fingerprint | resume |
/// | yes | was seen with the same fingerprint, and waits to settle or for what stands in its place | keep |
/// | yes | is under a directory that could not be listed | keep |
/// | yes | has another fingerprint, is staged already, or is not there | remove |
func decidePartial(
  isWelcome: Bool, wanted: Fingerprint?, waiting: Fingerprint?, isUnknown: Bool, of partial: PartialFile
) -> PartialDecision {
  if !isWelcome { return .remove }
  if wanted == partial.fingerprint { return .resume }
  return waiting == partial.fingerprint || isUnknown ? .keep : .remove
}

/// The partial files that earlier runs left, against a plan.
struct PartialPlan {
  /// By the place of the item in ``FetchPlan/fetch``.
  private(set) var resume: [Int: PartialFile] = [:]
  private(set) var remove: [PartialFile] = []

  /// - Parameters:
  ///   - source: what this run reads from.
  ///   - unproven: files that a later run reads again though nothing is to be fetched of them now.
  ///   - isEnabled: SFTP_RESUME.
  init(
    _ partials: [PartialFile], plan: FetchPlan, listing: RemoteListing, unproven: [RemotePath: Fingerprint] = [:],
    source: String, isEnabled: Bool
  ) {
    if partials.isEmpty { return }
    let paths = Set(partials.map(\.path))
    var wanted: [RemotePath: Int] = [:]
    for (index, item) in plan.fetch.enumerated() where paths.contains(item.path) { wanted[item.path] = index }
    let blocked = Set(plan.blocked)
    for partial in partials {
      let path = partial.path
      let index = wanted[path]
      let decision = decidePartial(
        isWelcome: isEnabled && partial.source == source, wanted: index.map { plan.fetch.fingerprint(at: $0) },
        waiting: plan.observations.unsettled[path]?.fingerprint
          ?? (blocked.contains(path) ? partial.fingerprint : unproven[path]),
        isUnknown: index == nil && listing.viewOfMissing(path) == .unknown, of: partial)
      switch decision {
      case .keep: break
      case .resume:
        // One file, one partial file: a second one can only be left over.
        if let index, resume[index] == nil { resume[index] = partial } else { remove.append(partial) }
      case .remove: remove.append(partial)
      }
    }
  }
}
