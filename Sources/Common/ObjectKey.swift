/// The key of a path's object, or why it cannot have one.
package enum ObjectKey: Equatable, Sendable {
  case key([UInt8])
  /// S3 keys are UTF-8 text; the name's bytes are not.
  case notUTF8
  /// Over 1,024 bytes (AWS, "Naming Amazon S3 objects").
  case tooLong(bytes: Int)

  package static let maximumLength = 1_024

  /// Maps a path to a key of the destination: prefix + path, bytes kept, never normalised. Different paths have
  /// different keys, so a key belongs to one path.
  ///
  /// | path | key |
  /// |---|---|
  /// | not valid UTF-8 | none |
  /// | prefix + path over 1,024 bytes | none |
  /// | else | prefix + path |
  package static func of(_ path: RemotePath, folder: String) -> ObjectKey {
    if path.text == nil { return .notUTF8 }
    let key = Array(folder.utf8) + path.bytes
    return key.count > maximumLength ? .tooLong(bytes: key.count) : .key(key)
  }
}
