package import Common

/// Told what a walk finds. Calls come one at a time, though from any of the threads that walk; paths are relative to
/// the walk's root, and nil is the root itself.
package protocol TreeVisitor: AnyObject {
  /// Whether to list a directory that was found; when not, nothing more is said about it.
  func shouldDescend(into directory: RemotePath) -> Bool
  /// The files of one directory, in the order they were listed, all of them at once. Told once for each directory,
  /// before what became of its listing.
  func found(_ files: [ListedFile], in directory: RemotePath?)
  /// The directory was listed to its end without an error, and all its entries have been delivered.
  func listedDirectory(_ path: RemotePath?)
  /// The directory could not be listed, or not to its end: what was not delivered may exist all the same.
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError)
  /// An entry that exists and is not mirrored.
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason)
}

/// One file of a directory.
package struct ListedFile: Sendable, Equatable {
  /// A name that makes a ``RemotePath`` together with its directory's.
  package var name: [UInt8]
  package var fingerprint: Fingerprint

  package init(name: [UInt8], fingerprint: Fingerprint) {
    self.name = name
    self.fingerprint = fingerprint
  }
}

/// Why an entry of a listing is not mirrored.
package enum SkipReason: Sendable, Equatable, CustomStringConvertible {
  case symlink
  /// Device, socket or named pipe.
  case special
  case badName(RemotePath.Fault)
  /// Type, size or modification time could not be learned.
  case noAttributes(String)

  package var description: String {
    switch self {
    case .symlink: "symbolic link"
    case .special: "neither file nor directory"
    case .badName(let fault): fault.rawValue
    case .noAttributes(let reason): reason
    }
  }
}
