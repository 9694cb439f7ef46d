internal import Common
internal import Testing

@Suite struct ConfigurationTests {
  static let complete = [
    "SFTP_HOST": "sftp.example.com", "SFTP_USER": "in", "SFTP_PASS": "s3cret-pass", "SFTP_FOLDER_NAME": "inbox",
    "S3_ENDPOINT": "https://s3.example.com", "S3_BUCKET_NAME": "bucket", "S3_ACCESS_KEY_ID": "AK",
    "S3_SECRET_ACCESS_KEY": "s3cret-key",
  ]

  private func configuration(
    _ changes: [String: String?] = [:], flags: [String: String] = [:], files: [String: String] = [:],
    needs: Configuration.Needs = [.sftp, .s3]
  ) throws(ConfigurationError) -> Configuration {
    var variables = Self.complete
    for (name, value) in changes { variables[name] = value }
    struct Missing: Error {}
    let reader = SettingsReader(
      flags: flags, environment: variables.mapValues { Array($0.utf8) },
      readFile: { path in
        guard let content = files[path] else { throw Missing() }
        return Array(content.utf8)
      })
    return try Configuration(reader, needs: needs)
  }

  private func problems(
    _ changes: [String: String?], flags: [String: String] = [:], files: [String: String] = [:],
    needs: Configuration.Needs = [.sftp, .s3]
  ) -> [String] {
    do throws(ConfigurationError) {
      _ = try configuration(changes, flags: flags, files: files, needs: needs)
      return []
    } catch {
      return error.problems
    }
  }

  @Test func defaults() throws {
    let read = try configuration()
    #expect(read.sftp?.port == 22)
    #expect(read.sftp?.filesInFlight == 128)
    #expect(read.s3?.region == "us-east-1")
    #expect(read.s3?.service == "s3")
    #expect(read.s3?.addressing == .path)
    #expect(read.staging.directory == "/staging")
    #expect(read.staging.settleSeconds == 45)
    #expect(read.destination?.description == "https://s3.example.com/bucket/")
  }

  @Test func everyMissingSettingIsNamedAtOnce() {
    let missing: [String: String?] = Dictionary(uniqueKeysWithValues: Self.complete.keys.map { ($0, nil) })
    let found = problems(missing)
    for name in [
      "SFTP_HOST", "SFTP_USER", "SFTP_PASS", "SFTP_FOLDER_NAME", "S3_ENDPOINT", "S3_BUCKET_NAME",
      "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY",
    ] {
      #expect(found.filter { $0.contains(name) }.count == 1, "\(name): \(found)")
    }
  }

  @Test(
    "a wrong value is named with what is wanted",
    arguments: [
      ("SFTP_PORT", "abc", "1 to 65535"), ("SFTP_PORT", "0", "1 to 65535"), ("SFTP_PORT", "65536", "1 to 65535"),
      ("SFTP_HOST", "sftp://host", "without scheme"), ("SFTP_HOST_KEY", "MD5:aa", "SHA256:"),
      ("SFTP_KEY", "/root/.ssh/id_ed25519", "SFTP_KEY_FILE"), ("S3_ENDPOINT", "ftp://x", "neither http nor https"),
      ("S3_ENDPOINT", "https://host/bucket", "host and port only"), ("S3_ENDPOINT", "https://u:p@host", "credentials"),
      ("S3_BUCKET_NAME", "a/b", "S3_FOLDER_NAME"), ("S3_ADDRESSING", "dns", "path, virtual-host"),
      ("SETTLE_SECONDS", "-1", "0 to 86400"), ("LOG_LEVEL", "loud", "debug, info"), ("S3_REGION", "eu west", "ASCII"),
      ("S3_SECRET_ACCESS_KEY", "abc\r", "control character"), ("EXCLUDE_DEFAULTS", "maybe", "1 or 0"),
      ("INCLUDE", "a***", "two stars"), ("INCLUDE", "\n# none\n", "no pattern"),
      ("EXCLUDE", "{{a+}}", "regular expressions"),
      ("FILTER_FROM", "/none", "cannot read /none"), ("DONE_SUFFIX", "/done", "no slash"), ("BWLIMIT", "512", "unit"),
      ("BWLIMIT", "fast", "unit"), ("MAX_DURATION", "90", "90s"), ("MAX_DURATION", "-1h", "90s"),
      ("SFTP_RESUME", "x", "1 or 0"),
    ])
  func wrongValue(name: String, value: String, wanted: String) {
    let found = problems([name: value])
    #expect(found.count == 1, "\(found)")
    #expect(found.first?.contains(name) == true && found.first?.contains(wanted) == true, "\(found)")
  }

  @Test func aFileGivesTheValueWithoutItsLastLineEnd() throws {
    for ending in ["", "\n", "\r\n"] {
      let read = try configuration(
        ["SFTP_PASS": nil, "SFTP_PASS_FILE": "/run/secrets/pass"], files: ["/run/secrets/pass": "from file" + ending])
      #expect(read.sftp?.password?.reveal() == "from file")
    }
  }

  @Test func nameAndFileTogetherAreAnError() {
    #expect(
      problems(["SFTP_PASS_FILE": "/x"], files: ["/x": "y"]) == [
        "SFTP_PASS and SFTP_PASS_FILE are both set; set one of them"
      ])
  }

  @Test func aMissingFileIsNamed() {
    #expect(problems(["SFTP_PASS": nil, "SFTP_PASS_FILE": "/none"]) == ["SFTP_PASS_FILE: cannot read /none"])
  }

  @Test func aFlagWinsOverTheEnvironment() throws {
    let read = try configuration(["STAGING_DIR": "/env"], flags: ["STAGING_DIR": "/flag"])
    #expect(read.staging.directory == "/flag")
  }

  @Test func filtersComeFromLinesAndFiles() throws {
    let rules = "# all of one kind\n\n  + *.csv\t\r\n; no more\n- *\n"
    func takes(_ changes: [String: String], _ path: String, flags: [String: String] = [:]) throws -> Bool {
      let read = try configuration(changes, flags: flags, files: ["/rules": rules, "/more": "- x.csv\n"])
      return try read.sftp!.selection.filter.makeMatcher().takes(file: RemotePath(path))
    }
    #expect(try takes(["FILTER_FROM": "/rules"], "a.csv") && !takes(["FILTER_FROM": "/rules"], "a.txt"))
    #expect(try !takes(["FILTER_FROM": "/more\n/rules"], "x.csv") && takes(["FILTER_FROM": "/more\n/rules"], "y.csv"))
    #expect(try takes(["INCLUDE": "a b.txt\n#c\n\n *.md "], "a b.txt"))
    #expect(try takes(["INCLUDE": "a b.txt\n#c\n\n *.md "], "x.md"))
    #expect(try !takes(["INCLUDE": "a b.txt\n#c\n\n *.md "], "b.txt"))
    // A flag takes the variable's place.
    #expect(try takes(["EXCLUDE": "a"], "a", flags: ["EXCLUDE": "b"]))
    #expect(
      problems(["FILTER_FROM": "/r", "EXCLUDE": "[\n]"], files: ["/r": "*.csv\n+ {a"]) == [
        "EXCLUDE holds \"[\": a [ without its ]", "EXCLUDE holds \"]\": a ] without its [",
        "FILTER_FROM holds \"*.csv\": a rule is \"+ pattern\", \"- pattern\" or \"!\"",
        "FILTER_FROM holds \"+ {a\": a { without its }",
      ])
    // Commands that do not fetch do not care.
    #expect(problems(["INCLUDE": "a***"], needs: .s3) == [])
  }

  @Test(
    arguments: [
      ("2048B", 2048), ("1k", 1024), ("512K", 524_288), ("512Ki", 524_288), ("512KiB", 524_288), ("1.5M", 1_572_864),
      ("1G", 1_073_741_824), ("512", nil), ("", nil), ("k", nil), ("1000b", nil), ("-1M", nil), ("1e3k", nil),
      ("1T", nil),
      ("1MB", nil), ("0.5k", nil), ("1.2.3k", nil), ("9999999999999G", nil),
    ] as [(String, UInt64?)])
  func rate(text: String, bytes: UInt64?) { #expect(byteRate(fromText: text) == bytes) }

  @Test(
    arguments: [
      ("90s", 90), ("45m", 2700), ("2h", 7200), ("1d", 86_400), ("1", nil), ("0s", nil), ("+1s", nil), ("1.5h", nil),
      ("1h30m", nil), ("99999d", nil), ("s", nil),
    ] as [(String, Int?)])
  func span(text: String, seconds: Int?) { #expect(wholeSeconds(fromText: text) == seconds) }

  @Test func limitsAreOffByDefaultAndOnDemand() throws {
    for changes in [[:], ["BWLIMIT": "0", "MAX_DURATION": "off"], ["BWLIMIT": "OFF", "MAX_DURATION": "0"]] {
      let limits = try configuration(changes.mapValues { $0 }).limits
      #expect(limits.bytesPerSecond == nil && limits.durationSeconds == nil)
    }
    let limits = try configuration(["BWLIMIT": "10M", "MAX_DURATION": "90m"]).limits
    #expect(limits.bytesPerSecond == 10 << 20 && limits.durationSeconds == 5400)
  }

  @Test func eachCommandNeedsOnlyItsSide() throws {
    let noS3: [String: String?] = Dictionary(
      uniqueKeysWithValues: Self.complete.keys.filter { $0.hasPrefix("S3_") }.map { ($0, nil) })
    #expect(problems(noS3, needs: .sftp) == [])
    let noSFTP: [String: String?] = Dictionary(
      uniqueKeysWithValues: Self.complete.keys.filter { $0.hasPrefix("SFTP_") }.map { ($0, nil) })
    #expect(problems(noSFTP, needs: .s3) == [])
    #expect(problems(noS3.merging(noSFTP) { $1 }, needs: []) == [])
  }

  @Test func secretsNeverPrint() throws {
    let read = try configuration()
    let dumped = "\(read) \(String(reflecting: read)) \(String(describing: read.s3)) \(String(describing: read.sftp))"
    #expect(!dumped.contains("s3cret"))
    var text = ""
    dump(read, to: &text)
    #expect(!text.contains("s3cret"))
    for (name, value) in [
      ("S3_ENDPOINT", "https://AKIA:s3cret@host"), ("SFTP_HOST", "sftp://u:s3cret@host"),
      ("S3_ACCESS_KEY_ID", "s3cret/swapped"),
    ] {
      let found = problems([name: value])
      #expect(found.count == 1 && !found[0].contains("s3cret"), "\(found)")
    }
    for name in ["SFTP_PASS", "S3_SECRET_ACCESS_KEY"] {
      let found = problems([name: "s3cret \u{1}", "SFTP_PORT": "x"])
      #expect(!found.joined().contains("s3cret"))
    }
  }

  @Test(arguments: [
    ("", ""), ("/", ""), ("///", ""), ("a", "a/"), ("/a", "a/"), ("a/", "a/"), ("//a/b//", "a/b/"), ("a//b", "a//b/"),
    (" ü", " ü/"),
  ])
  func folderName(given: String, prefix: String) { #expect(Destination.prefix(fromFolderName: given) == prefix) }

  @Test(arguments: [
    ("s3.example.com", "https://s3.example.com", "s3.example.com"),
    ("http://127.0.0.1:8333", "http://127.0.0.1:8333", "127.0.0.1:8333"),
    ("HTTPS://S3.Example.com:443/", "https://s3.example.com", "s3.example.com"),
    ("localhost:9000", "https://localhost:9000", "localhost:9000"), ("http://[::1]:80", "http://[::1]", "[::1]"),
  ])
  func endpoint(given: String, shown: String, authority: String) throws {
    let endpoint = try Endpoint(parsing: given)
    #expect(endpoint.description == shown)
    #expect(endpoint.authority == authority)
  }

  @Test(arguments: ["", "https://", "http://host:0", "http://host:99999", "http://ho st", "http://[::1", "a?b"])
  func wrongEndpoint(text: String) { #expect(throws: Endpoint.Fault.self) { try Endpoint(parsing: text) } }

  @Test func amazonWantsTheBucketInTheHost() throws {
    let amazon = try Endpoint(parsing: "s3.eu-west-1.amazonaws.com")
    #expect(Addressing.preferred(for: amazon, bucket: "bucket") == .virtualHost)
    #expect(try Addressing.preferred(for: Endpoint(parsing: "s3.amazonaws.com.evil.example"), bucket: "b") == .path)
    // No certificate of Amazon's holds for a name with another dot.
    #expect(Addressing.preferred(for: amazon, bucket: "my.bucket") == .path)
    let plain = try Endpoint(parsing: "http://s3.amazonaws.com")
    #expect(Addressing.preferred(for: plain, bucket: "my.bucket") == .virtualHost)
  }

  @Test func keys() throws {
    #expect(ObjectKey.of(try RemotePath("a/é b"), folder: "in/") == .key(Array("in/a/é b".utf8)))
    #expect(ObjectKey.of(try RemotePath([0xff]), folder: "") == .notUTF8)
    let long = try RemotePath(Array(repeating: String(repeating: "n", count: 255), count: 4).joined(separator: "/"))
    #expect(ObjectKey.of(long, folder: "").isKey)
    #expect(ObjectKey.of(long, folder: "x/") == .tooLong(bytes: 1_025))
  }
}

extension ObjectKey {
  fileprivate var isKey: Bool { if case .key = self { true } else { false } }
}
