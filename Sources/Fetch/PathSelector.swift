package import Common

/// Says which paths of a listing are mirrored, for one thread.
///
/// | path | mirrored |
/// |---|---|
/// | its name is one of an upload under way, unless these are wanted | no |
/// | a directory above it is not entered | no |
/// | it is a marker (see ``Selection/doneSuffix``) | no |
/// | the filter leaves it out | no |
/// | else | yes; with markers, once its own is there |
package final class PathSelector {
  private let selection: Selection
  private let matcher: PathMatcher

  package init(_ selection: Selection) {
    self.selection = selection
    matcher = selection.filter.makeMatcher()
  }

  /// Judges a file, the directories above it left aside.
  package func takes(_ file: RemotePath) -> Bool { takes(name: file.name) && matcher.takes(file: file) }

  /// As ``takes(_:)``; makes a path of the two only when there are rules that look at it.
  package func takes(_ name: [UInt8], in directory: RemotePath?) -> Bool {
    guard takes(name: name[...]) else { return false }
    if selection.filter.ruleCount == 0 { return true }
    // Never fails: the walk has judged the name.
    return (try? RemotePath(directory: directory, name: name)).map(matcher.takes(file:)) ?? false
  }

  private func takes(name: ArraySlice<UInt8>) -> Bool { !isUploadUnderWay(name) && !isMarker(name) }

  /// Judges a directory, those above it left aside.
  package func enters(_ directory: RemotePath) -> Bool {
    !isUploadUnderWay(directory.name) && matcher.takes(directory: directory)
  }

  /// The names whose markers are among the names of the same directory; nil when no markers are wanted.
  package func markedNames(among names: some Sequence<[UInt8]>) -> Set<ArraySlice<UInt8>>? {
    guard let suffix = selection.doneSuffix else { return nil }
    return Set(names.lazy.filter { self.isMarker($0[...]) }.map { $0.dropLast(suffix.count) })
  }

  private func isMarker(_ name: ArraySlice<UInt8>) -> Bool {
    guard let suffix = selection.doneSuffix else { return false }
    return name.suffix(suffix.count).elementsEqual(suffix)
  }

  private static let temporarySuffixes = [".part", ".filepart", ".partial", ".tmp"].map { Array($0.utf8) }
  private static let temporaryPrefixes = [Array(".in.".utf8)]

  private func isUploadUnderWay(_ name: ArraySlice<UInt8>) -> Bool {
    if !selection.excludeDefaults { return false }
    return Self.temporarySuffixes.contains { name.suffix($0.count).elementsEqual($0) }
      || Self.temporaryPrefixes.contains { name.starts(with: $0) }
  }
}
