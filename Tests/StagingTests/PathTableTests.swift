internal import Common
internal import TestSupport
internal import Testing

@testable internal import Staging

@Suite struct PathTableTests {
  @Test func numbersPathsInTheOrderTheyComeAndFindsThemAgain() throws {
    var table = PathTable()
    var expected: [RemotePath: Int] = [:]
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      // Few letters and short names: many collide, many are parts of others.
      let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        String((0..<Int.random(in: 1...3, using: &random)).map { _ in "abcdeé".randomElement(using: &random)! })
      }
      let path = try RemotePath(parts.joined(separator: "/"))
      #expect(table.number(of: path) == expected[path])
      let number = table.insert(path)
      #expect(number == expected[path] ?? expected.count)
      expected[path] = number
    }
    #expect(table.count == expected.count)
    for (path, number) in expected {
      #expect(table.path(number) == path)
      #expect(table.directoryPath(table.directory(of: number)) == path.parent)
      let directory = try #require(table.directoryNumber(path.parent))
      #expect(table.number(of: Array(path.name), inDirectory: directory) == number)
      #expect(table.number(of: Array(path.name) + [0x7a], inDirectory: directory) == nil)
    }
  }

  @Test func aDirectoryAndAFileOfOneNameAreDifferentThings() throws {
    var table = PathTable()
    table.insert(try RemotePath("a/b"))
    #expect(!table.contains(try RemotePath("a")))
    #expect(table.directoryNumber(try RemotePath("a")) != nil)
    #expect(table.directoryNumber(nil) == nil)
    table.insert(try RemotePath("a"))
    #expect(table.contains(try RemotePath("a")))
    #expect(table.directoryNumber(nil) != nil)
  }

  @Test func theCheckpointKeepsEveryDestinationAndField() throws {
    let rig = try VolumeRig()
    let state: MirrorState
    do {
      let volume = try rig.open()
      var entries: [JournalEntry] = []
      for number in 0..<5_000 {
        let path = try RemotePath("directory-\(number % 37)/file \(number)")
        entries.append(
          .fetched(
            FetchedFile(
              path: path, fingerprint: Fingerprint(size: UInt64(number) << 33, mtime: UInt32(number)),
              sha256: .of([UInt8(number & 255)]),
              md5: number % 3 == 0 ? nil : MD5Digest(bytes: [UInt8](repeating: UInt8(number & 255), count: 16)),
              temporary: "gone-\(number)")))
      }
      let first = try volume.journal.append(entries)
      for (number, name) in ["http://a/b/", "http://c/d/", "http://e/f/"].enumerated() {
        let marks = try stride(from: number, to: 5_000, by: 2).map { index in
          JournalEntry.published(
            PublishedObject(
              path: try RemotePath("directory-\(index % 37)/file \(index)"), generation: first + UInt64(index),
              destination: name, bytesSent: 0, sha256: .of([]),
              md5: MD5Digest(bytes: [UInt8](repeating: 0, count: 16))!))
        }
        try volume.journal.append(marks)
      }
      try volume.journal.append([
        .gone(path: RemotePath("directory-0/file 0"), generation: first),
        .dropped(path: RemotePath("directory-1/file 1"), generation: first + 1),
        .drift(StagedDrift(path: try RemotePath("directory-2/file 2"), generation: first + 2, what: "w", done: "d")),
        .failed(FailedItem(phase: .fetch, path: RemotePath([0xff]), code: "c", message: "m")),
      ])
      try volume.writeCheckpoint()
      state = volume.journal.state
    }
    let again = try rig.open().journal
    #expect(again.recordsSinceCheckpoint == 0)
    #expect(again.state == state)
    #expect(again.state.goneCount == 1)
    for (name, expected) in [("a", 2_500), ("c", 2_500), ("e", 2_499)] {
      let bucket = ["a": "b", "c": "d", "e": "f"][name]!
      let destination = try Destination(endpoint: Endpoint(parsing: "http://" + name), bucket: bucket, folder: "")
      #expect(again.state.paths.count { again.state.isPublished($0, to: destination) } == expected)
      var pending = 0
      again.state.forEachPending(for: destination) { _ in pending += 1 }
      #expect(pending == again.state.paths.count { again.state.isPending($0, for: destination) })
    }
  }

  @Test func aCheckpointThatCannotBeReadIsAnErrorNotAnEmptyOne() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      try rig.stage(volume, "a", "1")
      try volume.writeCheckpoint()
    }
    let error = #expect(throws: StagingError.self) {
      let isReading = Box(false)
      _ = try rig.open(
        fileSystem: HookedFileSystem { operation, name throws(SystemFailure) in
          if operation == "openFile" { isReading.current = name == Array("checkpoint".utf8) }
          if operation == "read", isReading.current {
            throw SystemFailure(errno: 5, operation: operation, subject: "")
          }
        })
    }
    #expect(error?.code == "staging-failed")
  }
}
