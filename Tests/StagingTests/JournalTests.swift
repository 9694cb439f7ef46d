internal import Common
internal import TestSupport
internal import Testing

@testable internal import Staging

@Suite struct JournalTests {
  @Test func aRunThatRecordsNothingLeavesTheJournalAsItWas() throws {
    let rig = try VolumeRig()
    do { _ = try rig.open() }
    let before = try rig.read(VolumeRig.segment)
    do { _ = try rig.open() }
    #expect(try rig.read(VolumeRig.segment) == before)
    #expect(try rig.lines().count == 2)  // run, volume
  }

  @Test func reopeningFoldsToTheSameState() throws {
    let rig = try VolumeRig()
    let state: MirrorState
    do {
      let volume = try rig.open()
      let seq = try rig.stage(volume, "a/b.txt", "one")
      try rig.stage(volume, "c.txt", "two")
      try volume.journal.append([rig.published("a/b.txt", seq)])
      state = volume.journal.state
      #expect(state.isPublished(try #require(state.paths[RemotePath("a/b.txt")]), to: VolumeRig.destination))
      #expect(state.isPending(try #require(state.paths[RemotePath("c.txt")]), for: VolumeRig.destination))
    }
    #expect(try rig.open().journal.state == state)
    #expect(try rig.snapshot().state == state)
  }

  @Test(
    "the lines of an adopted time and of its proof",
    arguments: [
      (
        .touched(path: try! RemotePath("a/b"), generation: 7, mtime: 4_294_967_295),
        #""op":"touched","path":"a/b","gen":7,"mtime":4294967295"#
      ),
      (.proven(path: try! RemotePath("a/b"), generation: 7), #""op":"proven","path":"a/b","gen":7"#),
    ] as [(JournalEntry, String)])
  func linesOfTimes(entry: JournalEntry, text: String) {
    let record = JournalRecord(seq: 9, wallMilliseconds: 0, run: "r", batch: 9, entry: entry)
    let line = JournalLine.encode(record, after: JournalLine.genesis).line
    #expect(
      String(decoding: line.dropLast(JournalLine.tailLength), as: UTF8.self)
        == #"{"seq":9,"at":"1970-01-01T00:00:00.000Z","run":"r","b":9,"# + text)
    #expect(line.withUnsafeBytes { JournalLine.decode($0) } == record)
  }

  @Test func anAdoptedTimeWaitsForItsProofAlsoInTheCheckpoint() throws {
    let rig = try VolumeRig()
    let paths = try ["proven", "fetched", "waiting", "other"].map { try RemotePath($0) }
    do {
      let volume = try rig.open()
      let generations = try paths.map { try rig.stage(volume, $0.description, "1") }
      try volume.journal.append(
        zip(paths, generations).map { .touched(path: $0, generation: $1, mtime: 4_600) }
          + [rig.published("waiting", generations[2])])
      try volume.journal.append([
        .failed(FailedItem(phase: .fetch, path: paths[0], code: "c", message: "m")),
        .proven(path: paths[0], generation: generations[0]),
        .proven(path: paths[3], generation: generations[0]),
        .touched(path: paths[3], generation: 1, mtime: 9),
      ])
      try rig.stage(volume, "fetched", "2")
      #expect(volume.journal.state.failures.isEmpty)
      try volume.writeCheckpoint()
    }
    let journal = try rig.open().journal
    #expect(journal.recordsSinceCheckpoint == 0)
    #expect(try paths.map { try #require(journal.state.paths[$0]).isUnproven } == [false, false, true, true])
    #expect(try paths.map { try #require(journal.state.paths[$0]).fingerprint.mtime } == [4_600, 1_000, 4_600, 4_600])
    #expect(
      journal.state.isPublished(try #require(journal.state.paths[paths[2]]), to: VolumeRig.destination),
      "the generation stays, so nothing is published again")
  }

  @Test func theCheckpointGivesTheStateOfTheReplay() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open(segmentLimit: 2_000)
      for number in 0..<20 { try rig.stage(volume, "f\(number)", "\(number)") }
      try volume.journal.append([
        .failed(FailedItem(phase: .publish, path: RemotePath([0xff]), generation: 3, code: "c", message: "m")),
        rig.published("f1", 5), .gone(path: RemotePath("f2"), generation: 6),
      ])
      try volume.writeCheckpoint()
      try rig.stage(volume, "after", "checkpoint")
    }
    let withCheckpoint = try rig.open(segmentLimit: 2_000).journal
    #expect(withCheckpoint.recordsSinceCheckpoint == 1)
    try rig.write("state/checkpoint", [])
    let without = try rig.open(segmentLimit: 2_000).journal
    #expect(without.recordsSinceCheckpoint == without.position.seq)
    #expect(withCheckpoint.state == without.state)
    #expect(withCheckpoint.position == without.position)
    #expect(without.position.sealed.count > 2)
  }

  @Test func aDamagedOrStrangeCheckpointIsIgnored() throws {
    let rig = try VolumeRig()
    let state: MirrorState
    do {
      let volume = try rig.open()
      try rig.stage(volume, "a", "1")
      try volume.writeCheckpoint()
      state = volume.journal.state
    }
    let good = try rig.read("state/checkpoint")
    for index in stride(from: 0, to: good.count, by: 7) {
      var bad = good
      bad[index] ^= 0x40
      try rig.write("state/checkpoint", bad)
      #expect(try rig.snapshot().state == state)
    }
    let other = try VolumeRig()
    do {
      let volume = try other.open()
      for number in 0..<3 { try other.stage(volume, "x\(number)", "2") }
      try volume.writeCheckpoint()
    }
    try rig.write("state/checkpoint", try other.read("state/checkpoint"))
    #expect(try rig.snapshot().state == state)
  }

  @Test func aTailCutAtAnyByteLosesOnlyItsBatch() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      try rig.stage(volume, "kept", "1")
      try volume.journal.append([
        .gone(path: RemotePath("kept"), generation: 3), .superseded(path: RemotePath("x"), generation: 1),
        .superseded(path: RemotePath("y"), generation: 1),
      ])
    }
    let whole = try rig.read(VolumeRig.segment)
    let lines = try rig.lines()
    let lastBatch = whole.count - lines.suffix(3).reduce(0) { $0 + $1.count + 1 }
    for length in (lastBatch + 1)..<whole.count {
      try rig.write(VolumeRig.segment, Array(whole[..<length]))
      let read = try rig.snapshot()
      // A line that is cut before its batch number can be read leaves the whole lines before it.
      #expect(read.seq >= 3 && read.seq < 6)
      #expect(read.state.paths.count == 1)
      #expect(try rig.read(VolumeRig.segment).count == length, "a reader must not repair")
    }
    // A writer sets the torn bytes aside and says so in the journal.
    try rig.write(VolumeRig.segment, Array(whole.dropLast(10)))
    let volume = try rig.open()
    #expect(volume.warnings.count == 1)
    let torn = try rig.names("journal").filter { $0.hasSuffix(".torn") }
    #expect(torn.count == 1)
    #expect(try rig.read("journal/" + torn[0]) == Array(whole.dropLast(10)[lastBatch...]))
    #expect(try String(decoding: rig.lines().last!, as: UTF8.self).contains("\"op\":\"recovered\""))
    #expect(volume.journal.withState { $0.paths.first?.isGone } == false)
  }

  @Test func anyAlteredByteIsFoundUnlessItIsInTheLastBatch() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      try rig.stage(volume, "a", "1")
      try rig.stage(volume, "b", "2")
    }
    let whole = try rig.read(VolumeRig.segment)
    let lastLine = whole.count - (try rig.lines().last!.count) - 1
    for index in whole.indices {
      var bad = whole
      bad[index] ^= 0x01
      try rig.write(VolumeRig.segment, bad)
      if index < lastLine {
        let error = #expect(throws: StagingError.self) { try rig.open() }
        #expect(error?.code == "journal-damaged", "byte \(index): \(String(describing: error))")
        #expect(error?.severity.exitCode == .fatal)
        #expect(try rig.read(VolumeRig.segment) == bad, "a damaged journal must not be touched")
      } else {
        #expect(try rig.snapshot().seq == 3)
      }
    }
  }

  @Test func droppedSwappedAndDoubledLinesAreDamage() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      for name in ["a", "b", "c", "d"] { try rig.stage(volume, name, name) }
    }
    let lines = try rig.lines()
    var dropped = lines, swapped = lines, doubled = lines
    dropped.remove(at: 3)
    swapped.swapAt(2, 3)
    doubled.insert(lines[3], at: 3)
    for altered in [dropped, swapped, doubled] {
      try rig.write(VolumeRig.segment, altered.flatMap { $0 + [0x0a] })
      let error = #expect(throws: StagingError.self) { try rig.snapshot() }
      #expect(error?.code == "journal-damaged")
    }
  }

  @Test func bytesBehindASealAreDamage() throws {
    let rig = try VolumeRig()
    do { _ = try rig.open(segmentLimit: 1) }
    #expect(try rig.names("journal") == ["00000001.jsonl"])
    let sealed = try rig.read(VolumeRig.segment)
    for tail in ["garbage", "garbage\n"] {
      try rig.write(VolumeRig.segment, sealed + Array(tail.utf8))
      let error = #expect(throws: StagingError.self) { try rig.open(segmentLimit: 1) }
      #expect(error?.code == "journal-damaged")
    }
    try rig.write(VolumeRig.segment, sealed)
    try rig.stage(try rig.open(segmentLimit: 1), "a", "1")
    #expect(try rig.snapshot().state.paths.count == 1)
  }

  @Test func aSecondTornTailIsKeptBesideTheFirst() throws {
    let rig = try VolumeRig()
    do { _ = try rig.open() }
    let whole = try rig.read(VolumeRig.segment)
    for tail in ["first", "second"] {
      try rig.write(VolumeRig.segment, whole + Array(tail.utf8))
      _ = try rig.open()
    }
    #expect(try rig.names("journal").filter { $0.hasSuffix(".torn") }.count == 2)
  }

  @Test func aMissingSegmentIsDamage() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open(segmentLimit: 500)
      for name in ["a", "b", "c", "d", "e"] { try rig.stage(volume, name, name) }
    }
    #expect(try rig.names("journal").count > 2)
    removeTree(rig.file("journal/00000002.jsonl"))
    let error = #expect(throws: StagingError.self) { try rig.open() }
    #expect(error?.subject.contains("00000002.jsonl") == true)
  }

  @Test func aSecondWriterIsNoticedBeforeAnythingIsWritten() throws {
    let rig = try VolumeRig()
    let volume = try rig.open()
    try rig.stage(volume, "a", "1")
    let tampered = try rig.read(VolumeRig.segment) + Array("{}\n".utf8)
    try rig.write(VolumeRig.segment, tampered)
    let error = #expect(throws: StagingError.self) { try rig.stage(volume, "b", "2") }
    #expect(error?.code == "second-writer")
    #expect(try rig.read(VolumeRig.segment) == tampered)
  }

  @Test func aFailedAppendLeavesTheJournalAsItWas() throws {
    for operation in ["write", "synchronize"] {
      let rig = try VolumeRig()
      let failing = Box<Int32?>(nil)
      let volume = try rig.open(
        fileSystem: HookedFileSystem { name, _ throws(SystemFailure) in
          if name == operation, let errno = failing.current {
            throw SystemFailure(errno: errno, operation: name, subject: "")
          }
        })
      try rig.stage(volume, "a", "1")
      let before = try rig.read(VolumeRig.segment)
      failing.current = 5  // EIO
      #expect(throws: StagingError.self) {
        try volume.journal.append([.superseded(path: RemotePath("x"), generation: 1)])
      }
      failing.current = nil
      #expect(try rig.read(VolumeRig.segment) == before)
      // An error of the journal ends the run: later appends fail too.
      #expect(throws: StagingError.self) {
        try volume.journal.append([.superseded(path: RemotePath("x"), generation: 1)])
      }
      #expect(try rig.read(VolumeRig.segment) == before)
    }
  }

  @Test func aFullDiskReleasesTheReserveAndGoesOn() throws {
    let rig = try VolumeRig()
    let full = Box(false)
    let volume = try rig.open(
      fileSystem: HookedFileSystem { name, target throws(SystemFailure) in
        if name == "remove", target == Array("reserve".utf8) { full.current = false }
        if name == "write", full.current { throw SystemFailure(errno: 28, operation: name, subject: "") }
      })
    #expect(rig.exists("state/reserve"))
    full.current = true
    try volume.journal.append([.superseded(path: RemotePath("x"), generation: 1)])
    #expect(!rig.exists("state/reserve"))
    full.current = true
    let error = #expect(throws: StagingError.self) {
      try volume.journal.append([.superseded(path: RemotePath("y"), generation: 1)])
    }
    #expect(error?.code == "staging-full")
    #expect(error?.severity.exitCode == .guarded)
    #expect(try rig.snapshot().seq == 3)
  }

  @Test(
    "the truth table of judgeTornTail",
    arguments: [
      (nil, [30], .damaged), (10, [21, 22], .damaged), (nil, [21], .damaged), (10, [20], .damaged),
      (nil, [20, 20], .tornFromLine), (20, [20], .tornFromLine), (nil, [10], .tornFromBatch),
      (10, [10], .tornFromBatch),
      (10, [], .tornFromBatch), (20, [], .tornFromLine), (nil, [], .tornFromLine),
    ] as [(UInt64?, [UInt64], TornTailVerdict)])
  func tornTail(own: UInt64?, following: [UInt64], verdict: TornTailVerdict) {
    #expect(judgeTornTail(batch: 10, nextSeq: 20, ownBatch: own, followingBatches: following) == verdict)
  }
}
