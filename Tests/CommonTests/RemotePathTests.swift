internal import Common
internal import Testing

@Suite struct RemotePathTests {
  @Test(
    "names that could leave the folder, or that no file system keeps, are refused",
    arguments: [
      ([], .empty), (Array(".".utf8), .dot), (Array("..".utf8), .dot), (Array("a/b".utf8), .slash),
      (Array("/etc".utf8), .slash), ([0x61, 0x00], .nul), ([UInt8](repeating: 0x61, count: 256), .nameTooLong),
    ] as [([UInt8], RemotePath.Fault)])
  func refusesName(name: [UInt8], fault: RemotePath.Fault) throws {
    #expect(throws: fault) { try RemotePath(directory: nil, name: name) }
    #expect(throws: fault) { try RemotePath(directory: RemotePath("in"), name: name) }
  }

  @Test(arguments: ["a//b", "/a", "a/", "a/../b", "a/./b", "../a"])
  func refusesPath(text: String) { #expect(throws: RemotePath.Fault.self) { try RemotePath(text) } }

  @Test func keepsBytes() throws {
    let name: [UInt8] = [0xff, 0x80, 0x20, 0x0a]
    #expect(try RemotePath(directory: RemotePath("dir"), name: name).bytes == Array("dir/".utf8) + name)
    #expect(try RemotePath(name).text == nil)
    #expect(try RemotePath("e\u{301}") != RemotePath("\u{e9}"))
    #expect(try RemotePath("...").bytes == [0x2e, 0x2e, 0x2e])
  }

  @Test func knowsItsDirectories() throws {
    let path = try RemotePath("a/b/c.txt")
    #expect(path.ancestors.map(\.description) == ["a/b", "a"])
    #expect(Array(path.name) == Array("c.txt".utf8))
    #expect(path.depth == 3)
    #expect(try RemotePath("x").parent == nil)
  }

  @Test func boundsDepthAndLength() throws {
    let deep = try RemotePath(Array(repeating: "d", count: 64).joined(separator: "/"))
    #expect(throws: RemotePath.Fault.tooDeep) { try RemotePath(directory: deep, name: [0x61]) }
    let long = try RemotePath(Array(repeating: String(repeating: "n", count: 250), count: 12).joined(separator: "/"))
    #expect(throws: RemotePath.Fault.tooLong) {
      try RemotePath(directory: long, name: [UInt8](repeating: 0x6e, count: 250))
    }
  }

  @Test func sortsByBytes() throws {
    let paths = try ["b", "a/z", "a", "a.b", "B"].map { try RemotePath($0) }
    #expect(paths.sorted().map(\.description) == ["B", "a", "a.b", "a/z", "b"])
  }
}

@Suite struct EscapingTests {
  @Test(
    arguments: [
      (Array("plain name.txt".utf8), "plain name.txt"), (Array("é😀".utf8), "é😀"), (Array("a\\b".utf8), "a\\\\b"),
      (Array("a\nb\u{1b}[31m".utf8), "a\\x0ab\\x1b[31m"), ([0x63, 0xff, 0x64], "c\\xffd"),
      ([0xe2, 0x82], "\\xe2\\x82"), (Array("x\u{202e}y".utf8), "x\\xe2\\x80\\xaey"),
      (Array("\u{2028}".utf8), "\\xe2\\x80\\xa8"),
    ] as [([UInt8], String)])
  func shows(bytes: [UInt8], expected: String) { #expect(escaped(bytes) == expected) }

  @Test func hexadecimalGoesBothWays() {
    #expect(hex([0, 15, 255]) == "000fff")
    #expect(bytes(fromHex: "000fFF".utf8) == [0, 15, 255])
    #expect(bytes(fromHex: "0".utf8) == nil)
    #expect(bytes(fromHex: "0g".utf8) == nil)
  }
}

@Suite struct DigestTests {
  /// FIPS 180-4 and RFC 1321's own examples.
  @Test func knownAnswers() {
    #expect(
      SHA256Digest.of(Array("abc".utf8)).hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    var hasher = ContentHasher(withMD5: true)
    hasher.update(Array("a".utf8))
    hasher.update(Array("bc".utf8))
    #expect(hasher.md5Digest()?.hex == "900150983cd24fb0d6963f7d28e17f72")
    #expect(hasher.md5Digest()?.base64 == "kAFQmDzST7DWlj99KOF/cg==")
    #expect(hasher.sha256() == SHA256Digest.of(Array("abc".utf8)))
  }

  @Test func refusesOtherLengths() {
    #expect(SHA256Digest(bytes: [1, 2, 3]) == nil)
    #expect(SHA256Digest(hex: String(repeating: "0", count: 63)) == nil)
    #expect(MD5Digest(bytes: []) == nil)
  }

  /// RFC 4231, test case 2.
  @Test func keyedHash() {
    #expect(
      hex(hmacSHA256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
  }
}

@Suite struct TimeTests {
  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (1_794_992_400_123, "2026-11-18T09:00:00.123Z"),
      (-1, "1969-12-31T23:59:59.999Z"), (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
    ] as [(Int64, String)])
  func formatsAndParses(milliseconds: Int64, text: String) {
    #expect(timestamp(wallMilliseconds: milliseconds) == text)
    #expect(wallMilliseconds(fromTimestamp: text) == milliseconds)
  }

  @Test func basicForm() { #expect(basicTimestamp(wallMilliseconds: 1_794_992_400_999) == "20261118T090000Z") }

  @Test(arguments: ["", "2026-11-18 09:00:00.123Z", "2026-11-18T09:00:00Z", "x026-11-18T09:00:00.123Z"])
  func refuses(text: String) { #expect(wallMilliseconds(fromTimestamp: text) == nil) }
}

@Suite struct ExitCodeTests {
  /// The first of 7, 8, 5, 6 that applies.
  @Test(
    arguments: [
      ([.done, .done], .done), ([.partial, .temporary], .temporary), ([.temporary, .guarded], .guarded),
      ([.guarded, .fatal], .fatal), ([.done, .partial], .partial), ([.configuration, .done], .configuration),
      ([.configuration, .partial], .partial), ([], .done),
    ] as [([ExitCode], ExitCode)])
  func combines(codes: [ExitCode], expected: ExitCode) {
    #expect(ExitCode.combined(codes) == expected)
    #expect(ExitCode.combined(codes.reversed()) == expected)
  }
}
