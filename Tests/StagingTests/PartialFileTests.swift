internal import Common
internal import Foundation
internal import Testing

@testable internal import Staging

/// Sidecars, and what a start keeps of tmp/ by them.
@Suite struct PartialFileTests {
  private func partial(_ temporary: String, _ content: String, path: [UInt8] = [0x61]) throws -> PartialFile {
    PartialFile(
      temporary: temporary, path: try RemotePath(path), fingerprint: Fingerprint(size: 1_000, mtime: 7),
      source: "sftp://u@h:22/f", offset: UInt64(content.utf8.count), sha256: .of(Array(content.utf8)))
  }

  /// A file under way with this content, and its sidecar.
  @discardableResult
  private func keep(_ volume: StagingVolume, _ content: String, path: [UInt8] = [0x61]) throws -> PartialFile {
    let (name, descriptor) = try volume.makeTemporary()
    try volume.fileSystem.writeAll(descriptor, Array(content.utf8), at: 0)
    try volume.fileSystem.close(descriptor)
    let kept = try partial(name, content, path: path)
    try volume.keep(kept, isFirst: true)
    return kept
  }

  @Test(arguments: [[0x61], Array("a/b \"c\"\n".utf8), [0xff, 0xfe]] as [[UInt8]])
  func aSidecarSaysWhatItWasTold(path: [UInt8]) throws {
    let partial = try partial("0123-4", "some", path: path)
    let name = Array(PartialFile.sidecarName(for: partial.temporary).utf8)
    let encoded = partial.encoded()
    #expect(PartialFile(encoded, sidecar: name) == partial)
    for length in encoded.indices { #expect(PartialFile(Array(encoded[..<length]), sidecar: name) == nil) }
    for wrong in ["partial-.json", "partial-a", "other-a.json", "partial-a.json.new"] {
      #expect(PartialFile(encoded, sidecar: Array(wrong.utf8)) == nil)
    }
    for (what, instead) in [("\"offset\":4", "\"offset\":0"), ("\"offset\":4", "\"offset\":1001"), ("\":1,", "\":2,")] {
      let text = String(decoding: encoded, as: UTF8.self).replacing(what, with: instead)
      #expect(PartialFile(Array(text.utf8), sidecar: name) == nil)
    }
  }

  @Test func aStartKeepsWhatSidecarsTellOfAndNothingElse() throws {
    let rig = try VolumeRig()
    var kept: [PartialFile] = []
    do {
      let volume = try rig.open()
      kept = [try keep(volume, "one"), try keep(volume, "two", path: [0xff])]
      let short = try keep(volume, "longer")
      try rig.write("tmp/" + short.temporary, Array("short".utf8))
      let lost = try keep(volume, "lost")
      try volume.removeTemporary(lost.temporary)
      let torn = try keep(volume, "torn")
      try rig.write("state/" + PartialFile.sidecarName(for: torn.temporary), [0x7b])
      try rig.write("state/partial-x.json.new", [1])
      try rig.write("tmp/stray", [1])
    }
    for _ in 0..<2 {
      // A run that does not talk to the server keeps them too.
      let volume = try rig.open(source: nil)
      #expect(volume.partials == kept.sorted { $0.temporary < $1.temporary })
      #expect(try rig.names("tmp") == kept.map(\.temporary).sorted())
      #expect(try rig.names("state").filter { $0.hasPrefix("partial") }.count == 2)
    }
    let volume = try rig.open()
    try volume.removePartial(kept[0].temporary)
    try volume.removePartial(kept[0].temporary)
    #expect(try rig.names("tmp") == [kept[1].temporary])
    try volume.removeAllPartials()
    #expect(try rig.names("tmp").isEmpty)
    #expect(try !rig.names("state").contains { $0.hasPrefix("partial") })
  }

  @Test func aFileThatWasRecordedIsInstalledAndItsSidecarForgotten() throws {
    let rig = try VolumeRig()
    do {
      let volume = try rig.open()
      let whole = try keep(volume, "whole")
      try volume.journal.append([
        .fetched(
          FetchedFile(
            path: RemotePath("a"), fingerprint: Fingerprint(size: 5, mtime: 1), sha256: whole.sha256,
            temporary: whole.temporary))
      ])
    }
    let volume = try rig.open()
    #expect(volume.partials.isEmpty)
    #expect(try rig.read("files/a") == Array("whole".utf8))
    #expect(try !rig.names("state").contains { $0.hasPrefix("partial") })
  }

  @Test func aSidecarNeverClaimsWhatIsNotDurable() throws {
    let rig = try VolumeRig()
    let calls = Box<[String]>([])
    let volume = try rig.open(
      fileSystem: HookedFileSystem { operation, name throws(SystemFailure) in
        calls.current.append(operation == "synchronize" ? operation : operation + " " + escaped(name))
      })
    let (name, descriptor) = try volume.makeTemporary()
    try volume.fileSystem.writeAll(descriptor, Array("some".utf8), at: 0)
    try volume.fileSystem.close(descriptor)
    calls.current = []
    try volume.keep(partial(name, "some"), isFirst: true)
    let sidecar = PartialFile.sidecarName(for: name)
    // The bytes and the name of the file, then the sidecar's bytes, then its name.
    #expect(
      calls.current.filter { $0 == "synchronize" || $0.hasPrefix("rename") || $0.hasPrefix("openFile") } == [
        "openFile \(name)", "synchronize", "synchronize", "openFile \(sidecar).new", "synchronize",
        "rename \(sidecar)", "synchronize",
      ])
    let before = try rig.read("state/" + sidecar)
    // Bytes that cannot be made durable are not claimed.
    let broken = try VolumeRig()
    let failing = Box(false)
    let other = try broken.open(
      fileSystem: HookedFileSystem { operation, _ throws(SystemFailure) in
        if operation == "synchronize", failing.current {
          throw SystemFailure(errno: 5, operation: operation, subject: "")
        }
      })
    let (second, file) = try other.makeTemporary()
    try other.fileSystem.close(file)
    failing.current = true
    #expect(throws: SystemFailure.self) { try other.keep(partial(second, "some"), isFirst: true) }
    #expect(!broken.exists("state/" + PartialFile.sidecarName(for: second)))
    #expect(!before.isEmpty)
  }
}
