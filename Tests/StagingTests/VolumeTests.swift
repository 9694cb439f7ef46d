internal import Common
internal import Foundation
internal import TestSupport
internal import Testing

@testable internal import Staging

@Suite struct VolumeTests {
  @Test func anotherSourceIsRefusedAndNamed() throws {
    let rig = try VolumeRig()
    do { _ = try rig.open() }
    let other = VolumeSource(host: "h", port: 22, user: "u", folder: "elsewhere")
    let error = #expect(throws: StagingError.self) { try rig.open(source: other) }
    #expect(error?.severity.exitCode == .configuration)
    #expect(error?.reason.contains("sftp://u@h:22/f") == true && error?.reason.contains("elsewhere") == true)
    do { _ = try rig.open(source: other, rebind: true) }
    do { _ = try rig.open(source: other) }
    #expect(throws: StagingError.self) { try rig.open() }
    // A run that does not talk to the server does not care.
    _ = try rig.open(source: nil)
  }

  @Test func aNewerFormatAsksForAnUpgrade() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      var binding = try #require(volume.journal.state.binding)
      binding.format = 2
      try volume.journal.append([.volume(binding)])
    }
    let error = #expect(throws: StagingError.self) { try rig.open() }
    #expect(error?.code == "newer-format")
    #expect(error?.severity.exitCode == .fatal)
  }

  @Test func theLockExcludesASecondRun() throws {
    let rig = try VolumeRig()
    let first = try rig.open()
    let error = #expect(throws: StagingError.self) { try rig.open() }
    #expect(error?.severity.exitCode == .locked)
    #expect(error?.reason.contains("test since") == true)
    _ = try rig.snapshot()
    withExtendedLifetime(first) {}
  }

  @Test(arguments: ["/proc/1/root-that-is-not-there", "/dev/null", "/proc"])
  func anUnusableDirectoryIsAConfigurationError(path: String) throws {
    let error = #expect(throws: StagingError.self) {
      try StagingVolume.open(
        path: path, source: VolumeRig.source, runStart: RunStart(command: "test", version: "0"))
    }
    #expect(error?.severity.exitCode == .configuration)
    #expect(error?.subject == path)
    #expect(error?.advice?.contains("STAGING_DIR") == true)
  }

  @Test func aRecordedRenameIsDoneAgain() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      try rig.stage(volume, "dir/a", "old")
      try rig.stage(volume, "dir/a", "new", install: false)
      try rig.stage(volume, "b", "never renamed", install: false)
      let (_, unrecorded) = try volume.makeTemporary()
      try volume.fileSystem.close(unrecorded)
      #expect(try rig.names("tmp").count == 3)
      #expect(try rig.read("files/dir/a") == Array("old".utf8))
    }
    _ = try rig.open()
    #expect(try rig.read("files/dir/a") == Array("new".utf8))
    #expect(try rig.read("files/b") == Array("never renamed".utf8))
    #expect(try rig.names("tmp").isEmpty)
  }

  @Test func aRecordedDropIsDoneAgainButNotToALaterFile() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      let first = try rig.stage(volume, "a/x", "1")
      let second = try rig.stage(volume, "b", "2")
      try volume.journal.append([.dropped(path: RemotePath("b"), generation: second)])
      try rig.stage(volume, "b", "3")
      try volume.journal.append([.dropped(path: RemotePath("a/x"), generation: first)])
      // A file where the directory was, recorded and not yet renamed.
      try rig.stage(volume, "a", "4", install: false)
    }
    _ = try rig.open()
    #expect(try rig.read("files/a") == Array("4".utf8))
    #expect(try rig.read("files/b") == Array("3".utf8))
  }

  @Test func aRecordedTimeIsSetAgainButNotOfALaterGeneration() throws {
    let rig = try VolumeRig()
    func time(_ path: String) throws -> Int {
      let attributes = try FileManager.default.attributesOfItem(atPath: rig.file("files/" + path))
      return Int(try #require(attributes[.modificationDate] as? Date).timeIntervalSince1970)
    }
    let later: Int
    do {
      let volume = try rig.open()
      let touched = try rig.stage(volume, "d/touched", "1")
      let again = try rig.stage(volume, "d/again", "2")
      let first = try rig.stage(volume, "d/later", "3")
      let missing = try rig.stage(volume, "d/missing", "4")
      let uninstalled = try rig.stage(volume, "uninstalled", "5", install: false)
      // As a run leaves it that was killed between these records and the setting of the times.
      try volume.journal.append([
        .touched(path: RemotePath("d/touched"), generation: touched, mtime: 4_600),
        .touched(path: RemotePath("d/again"), generation: again, mtime: 4_600),
        .touched(path: RemotePath("d/again"), generation: again, mtime: 1_700),
        .touched(path: RemotePath("d/later"), generation: first, mtime: 4_600),
        .touched(path: RemotePath("d/missing"), generation: missing, mtime: 4_600),
        .touched(path: RemotePath("uninstalled"), generation: uninstalled, mtime: 4_600),
      ])
      try rig.stage(volume, "d/later", "6")
      later = try time("d/later")
      removeTree(rig.file("files/d/missing"))
    }
    let volume = try rig.open()
    #expect(try time("d/touched") == 4_600 && time("d/again") == 1_700 && time("uninstalled") == 4_600)
    #expect(try time("d/later") == later)
    #expect(!rig.exists("files/d/missing"))
    #expect(volume.journal.withState { $0.paths.count(where: \.isUnproven) } == 4)
  }

  @Test func newTimesAreMadeDurableOnce() throws {
    let rig = try VolumeRig()
    let synchronized = Box(0)
    let volume = try rig.open(
      fileSystem: HookedFileSystem { operation, _ throws(SystemFailure) in
        if operation == "synchronize" { synchronized.current += 1 }
      })
    try rig.stage(volume, "a", "1")
    let staged = volume.makeStagedFiles()
    synchronized.current = 0
    try staged.setModificationTime(of: RemotePath("a"), seconds: 4_600)
    try staged.synchronizeChanges()
    #expect(synchronized.current == 1)
    try staged.setModificationTime(of: RemotePath("a"), seconds: 4_600)
    try staged.synchronizeChanges()
    #expect(synchronized.current == 1, "it had that time already")
  }

  @Test("the process dies at any step of setting times: the next start finishes it")
  func timesThatWereCutOff() throws {
    var outcomes: Set<Bool> = []
    for failing in 1...12 {
      let rig = try VolumeRig()
      let left = Box<Int?>(nil)
      do {
        let volume = try rig.open(
          fileSystem: HookedFileSystem { operation, _ throws(SystemFailure) in
            guard let steps = left.current else { return }
            left.current = steps - 1
            if steps <= 1 { throw SystemFailure(errno: 5, operation: operation, subject: "") }
          })
        let generation = try rig.stage(volume, "a", "1")
        let staged = volume.makeStagedFiles()
        left.current = failing
        try? volume.commit { () throws(StagingError) in
          try volume.journal.append([.touched(path: try! RemotePath("a"), generation: generation, mtime: 4_600)])
          try onVolume("test") { () throws(SystemFailure) in
            try staged.setModificationTime(of: try! RemotePath("a"), seconds: 4_600)
            try staged.synchronizeChanges()
          }
        }
        left.current = nil
        try volume.writeCheckpoint()
      }
      let state = try rig.open().journal.state
      let known = try #require(state.paths[RemotePath("a")])
      let attributes = try FileManager.default.attributesOfItem(atPath: rig.file("files/a"))
      let time = try #require(attributes[.modificationDate] as? Date).timeIntervalSince1970
      outcomes.insert(known.isUnproven)
      // Until the record is durable nothing was set; from then on the time is that of the record.
      if known.isUnproven {
        #expect(known.fingerprint.mtime == 4_600 && time == 4_600, "step \(failing)")
      } else {
        #expect(known.fingerprint.mtime == 1_000 && time != 4_600, "step \(failing)")
      }
    }
    #expect(outcomes == [true, false], "deaths before the record and after it")
  }

  @Test func aSymbolicLinkInFilesIsNeverFollowed() throws {
    let rig = try VolumeRig()
    let outside = try TemporaryDirectory()
    let volume = try rig.open()
    try FileManager.default.createSymbolicLink(atPath: rig.file("files/dir"), withDestinationPath: outside.path)
    try Data("secret".utf8).write(to: URL(filePath: outside.path + "/secret"))
    try FileManager.default.createSymbolicLink(
      atPath: rig.file("files/link"), withDestinationPath: outside.path + "/secret")
    let staged = volume.makeStagedFiles()
    #expect(throws: SystemFailure.self) { try staged.prepare(RemotePath("dir/a")) }
    #expect(throws: SystemFailure.self) { try staged.prepare(RemotePath("link")) }
    #expect(throws: (any Error).self) { try rig.stage(volume, "dir/a", "1") }
    #expect(try staged.openForReading(RemotePath("link")) == nil)
    #expect(try staged.openForReading(RemotePath("dir/secret")) == nil)
    try staged.remove(RemotePath("dir/secret"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: outside.path) == ["secret"])
  }

  @Test func removingTheLastFileRemovesItsDirectories() throws {
    let rig = try VolumeRig()
    let volume = try rig.open()
    try rig.stage(volume, "a/b/c", "1")
    try rig.stage(volume, "a/d", "2")
    let staged = volume.makeStagedFiles()
    try staged.remove(RemotePath("a/b/c"))
    try staged.synchronizeChanges()
    #expect(!rig.exists("files/a/b") && rig.exists("files/a/d"))
    try staged.remove(RemotePath("a/d"))
    try staged.remove(RemotePath("a/d"))
    try staged.synchronizeChanges()
    #expect(try rig.names("files").isEmpty)
  }

  @Test func manyDirectoriesAreStagedWithFewDescriptors() throws {
    let rig = try VolumeRig()
    let volume = try rig.open()
    let staged = volume.makeStagedFiles()
    for number in 0..<200 {
      let (name, descriptor) = try volume.makeTemporary()
      try volume.fileSystem.close(descriptor)
      try staged.install(temporary: name, as: RemotePath("d\(number)/e/f"))
    }
    try staged.synchronizeChanges()
    #expect(try rig.names("files").count == 200)
    #expect(rig.exists("files/d199/e/f"))
  }

  @Test func anUnfitFileSystemIsRefusedWithWhatItLacks() throws {
    let rig = try VolumeRig()
    // A file system that takes only UTF-8 names, as some network mounts do.
    let error = #expect(throws: StagingError.self) {
      try rig.open(
        fileSystem: HookedFileSystem { operation, name throws(SystemFailure) in
          if operation == "openFile", String(validating: name, as: UTF8.self) == nil {
            throw SystemFailure(errno: 84, operation: operation, subject: "")
          }
        })
    }
    #expect(error?.code == "staging-unfit")
    #expect(error?.reason.contains("names of any bytes") == true)
    #expect(error?.severity.exitCode == .configuration)
  }

  @Test func aCommitThatFailedAfterItsRecordIsFinishedByTheNextRun() throws {
    let rig = try VolumeRig()
    let full = Box(false)
    do {
      let volume = try rig.open(
        fileSystem: HookedFileSystem { operation, _ throws(SystemFailure) in
          if operation == "rename", full.current { throw SystemFailure(errno: 28, operation: operation, subject: "") }
        })
      try rig.stage(volume, "before", "1")
      full.current = true
      #expect(throws: StagingError.self) {
        try volume.commit { () throws(StagingError) in
          do {
            try rig.stage(volume, "only/copy", "2")
          } catch {
            throw .broken(error as! SystemFailure, doing: "test")
          }
        }
      }
      full.current = false
      #expect(volume.hasUnfinishedCommits)
      // A checkpoint here would hide the unfinished rename from the next start.
      try volume.writeCheckpoint()
      #expect(!rig.exists("state/checkpoint"))
    }
    let volume = try rig.open()
    #expect(try rig.read("files/only/copy") == Array("2".utf8))
    #expect(!volume.hasUnfinishedCommits)
    try volume.writeCheckpoint()
    #expect(rig.exists("state/checkpoint"))
  }

  @Test func aFileWhosePlaceIsTakenKeepsItsBytesAndStopsNothing() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      try rig.stage(volume, "a", "wanted", install: false)
      try rig.stage(volume, "b", "other", install: false)
    }
    try FileManager.default.createDirectory(atPath: rig.file("files/a/foreign"), withIntermediateDirectories: true)
    try rig.write("files/a/foreign/file", [1])
    for _ in 0..<2 {
      let volume = try rig.open()
      #expect(volume.warnings.count == 1 && volume.warnings[0].contains("files/a"))
      #expect(volume.hasUnfinishedCommits)
      #expect(try rig.names("tmp").count == 1)
      #expect(try rig.read("files/b") == Array("other".utf8))
      try volume.writeCheckpoint()
    }
    removeTree(rig.file("files/a"))
    #expect(try rig.open().warnings.isEmpty)
    #expect(try rig.read("files/a") == Array("wanted".utf8))
  }

  @Test func emptyDirectoriesOfAnInterruptedRunGiveWay() throws {
    let rig = try VolumeRig()
    let volume = try rig.open()
    let staged = volume.makeStagedFiles()
    try staged.prepare(RemotePath("p/q/r"))
    #expect(rig.exists("files/p/q"))
    try staged.prepare(RemotePath("p"))
    try rig.stage(volume, "p", "a file now")
    try staged.synchronizeChanges()
    #expect(try rig.read("files/p") == Array("a file now".utf8))
  }

  @Test func aProbeThatWasKilledLeavesNothingInTheWay() throws {
    let rig = try VolumeRig()
    #expect(throws: StagingError.self) {
      try rig.open(
        fileSystem: HookedFileSystem { operation, _ throws(SystemFailure) in
          if operation == "remove" { throw SystemFailure(errno: 5, operation: operation, subject: "") }
          if operation == "setModificationTime" { throw SystemFailure(errno: 5, operation: operation, subject: "") }
        })
    }
    #expect(try !rig.names("tmp").isEmpty)
    _ = try rig.open()
    #expect(try rig.names("tmp").isEmpty)
  }

  @Test func theSameFolderWrittenWithASlashIsTheSame() throws {
    let rig = try VolumeRig()
    do { _ = try rig.open() }
    _ = try rig.open(source: VolumeSource(host: "h", port: 22, user: "u", folder: "f//"))
    #expect(VolumeSource(host: "h", port: 22, user: "u", folder: "/").folder == "/")
  }

  @Test func observationsSurviveButNotAReboot() throws {
    let path = try RemotePath("a"), gone = try RemotePath([0xff])
    let observations = Observations(
      unsettled: [
        path: Observations.Sighting(
          fingerprint: Fingerprint(size: 3, mtime: 4), sinceBootMilliseconds: 5, unsettledSinceBootMilliseconds: 1)
      ], absent: [gone])
    var encoded: [UInt8] = []
    try observations.encode(bootID: "boot-1") { encoded += $0 }
    func decoded(_ encoded: [UInt8], _ bootID: String, _ now: Int64, pieceLength: Int = 1 << 20) -> Observations {
      var decoder = ObservationsDecoder(bootID: bootID, nowMilliseconds: now)
      for start in stride(from: 0, to: encoded.count, by: pieceLength) {
        decoder.add(Array(encoded[start..<min(encoded.count, start + pieceLength)]))
      }
      return decoder.finished()
    }
    for length in 1...encoded.count { #expect(decoded(encoded, "boot-1", 100, pieceLength: length) == observations) }
    #expect(decoded(encoded, "boot-1", 100) == observations)
    #expect(decoded(encoded, "boot-2", 100) == Observations(absent: [gone]))
    for length in encoded.indices {
      #expect(decoded(Array(encoded[..<length]), "boot-1", 100) != observations)
    }
    #expect(decoded(Array("garbage\n".utf8), "boot-1", 100).isEmpty)
    // From the future: the clock was set back, or the file was damaged.
    #expect(decoded(encoded, "boot-1", 4) == Observations(absent: [gone]))
  }
}
