package import Common
internal import Staging

/// One line of what publish would do: `>` sends, `!` cannot.
package struct PublishPreviewLine: Sendable, Equatable {
  package let path: RemotePath
  /// Nil when the path has no possible key.
  package let fingerprint: Fingerprint?

  /// For people: the mark and the path.
  package var text: String { "\(mark) \(path)" }

  private var mark: String { fingerprint == nil ? "!" : ">" }

  /// One JSON object.
  package var json: [UInt8] {
    var writer = FlatJSONWriter()
    writer.path(path)
    writer.field("mark", mark)
    writer.field("state", fingerprint == nil ? "no-key" : "pending")
    writer.field("size", fingerprint?.size)
    writer.field("mtime", (fingerprint?.mtime).map { UInt64($0) })
    return writer.finished()
  }
}

extension PublishPlan {
  /// In the order of sending; what cannot be sent comes last.
  package var previewLines: [PublishPreviewLine] {
    items.map { PublishPreviewLine(path: $0.path, fingerprint: $0.fingerprint) }
      + impossible.map { PublishPreviewLine(path: $0.path, fingerprint: nil) }
  }
}
