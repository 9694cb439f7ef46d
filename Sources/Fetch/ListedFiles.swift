package import Common
package import Staging

/// Files of a listing in the order they were seen, each once; 12 bytes and what a ``PathTable`` takes each. A path is
/// made when it is asked for.
package struct ListedFiles: Sendable, Equatable, RandomAccessCollection {
  package private(set) var table = PathTable()
  private var sizes: [UInt64] = []
  private var mtimes: [UInt32] = []

  package init() {}

  package var startIndex: Int { 0 }
  package var endIndex: Int { sizes.count }
  package subscript(number: Int) -> FetchPlan.Item {
    FetchPlan.Item(path: table.path(number), fingerprint: fingerprint(number))
  }

  package func fingerprint(_ number: Int) -> Fingerprint { Fingerprint(size: sizes[number], mtime: mtimes[number]) }

  package func contains(_ path: RemotePath) -> Bool { table.contains(path) }

  mutating func insertDirectory(_ directory: RemotePath?) -> Int { table.insertDirectory(directory) }

  /// The number of a file that is added, unless it is there.
  fileprivate mutating func insert(_ item: FetchPlan.Item) -> Int {
    let number = table.insert(item.path)
    if number == sizes.count {
      sizes.append(item.fingerprint.size)
      mtimes.append(item.fingerprint.mtime)
    }
    return number
  }

  /// Of a name that is listed twice the last fingerprint counts: it is the younger.
  mutating func insert(_ name: [UInt8], inDirectory directory: Int, _ fingerprint: Fingerprint) {
    let number = table.insert(name, inDirectory: directory)
    if number < sizes.count {
      (sizes[number], mtimes[number]) = (fingerprint.size, fingerprint.mtime)
    } else {
      sizes.append(fingerprint.size)
      mtimes.append(fingerprint.mtime)
    }
  }
}

/// Some of the files of a listing, in an order of their own: 4 bytes each besides the listing, which is shared.
package struct ListedFileSelection: Sendable, Equatable, RandomAccessCollection {
  private var files: ListedFiles
  private var numbers: [UInt32] = []

  package init(of files: ListedFiles = ListedFiles()) { self.files = files }

  package var startIndex: Int { 0 }
  package var endIndex: Int { numbers.count }
  package subscript(position: Int) -> FetchPlan.Item { files[Int(numbers[position])] }
  /// As the item's, without making its path.
  package func fingerprint(at position: Int) -> Fingerprint { files.fingerprint(Int(numbers[position])) }

  /// Adds a file that the listing need not have kept.
  mutating func append(_ item: FetchPlan.Item) { numbers.append(UInt32(files.insert(item))) }

  mutating func append(number: Int) { numbers.append(UInt32(number)) }

  mutating func append(_ more: ListedFileSelection) { numbers += more.numbers }

  /// - Parameter isUnwanted: told the file's number in the listing.
  mutating func removeAll(where isUnwanted: (Int) -> Bool) { numbers.removeAll { isUnwanted(Int($0)) } }
}
