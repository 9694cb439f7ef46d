import Testing

@testable import SFTP

/// Which line of a known_hosts file speaks of which host.
@Suite struct KnownHostsTests {
  private static let key = "AAAAC3NzaC1lZDI1NTE5AAAAIELe6rKXird9qmi8I5eli1Dtoj2+eVsbOK7VF3HLceZb"

  private func isKnown(_ patterns: String, _ host: String, _ port: UInt16 = 22) -> Bool {
    !KnownHosts(parsing: Array("\(patterns) ssh-ed25519 \(Self.key) a comment\r\n".utf8))
      .keys(host: host, port: port).isEmpty
  }

  @Test(
    arguments: [
      ("example.com", "example.com", 22, true), ("Example.COM", "example.com", 22, true),
      ("example.com", "EXAMPLE.com", 22, true), ("example.com", "example.org", 22, false),
      ("a,example.com,b", "example.com", 22, true), ("[example.com]:2222", "example.com", 2222, true),
      ("[example.com]:2222", "example.com", 22, false), ("example.com", "example.com", 2222, true),
      ("*.example.com", "sftp.example.com", 22, true), ("*.example.com", "example.com", 22, false),
      ("*.example.com,!bad.example.com", "bad.example.com", 22, false), ("host?", "host1", 22, true),
      ("host?", "host", 22, false), ("*", "anything", 2222, true), ("*a*b*", "xxaxxbxx", 22, true),
      ("|1|JfKTdBh7rNbXkVAQCRp4OQoPfmI=|USECr3SWf1JUPsms5AqfD5QfxkM=", "example.org", 22, false),
      ("|1|x|y", "h", 22, false),
      ("2001:db8::1", "2001:db8::1", 22, true), ("[2001:db8::1]:2222", "2001:db8::1", 2222, true),
    ] as [(String, String, UInt16, Bool)])
  func patterns(_ pattern: String, _ host: String, _ port: UInt16, _ expected: Bool) {
    #expect(isKnown(pattern, host, port) == expected)
  }

  @Test func hashedNamesOfOpenSSHMatch() throws {
    let keys = try KeyRing()
    try keys.write(
      "known", "sftp.example.com ssh-ed25519 \(Self.key)\n[sftp.example.com]:2222 ssh-ed25519 \(Self.key)\n")
    try keys.run("/usr/bin/ssh-keygen", ["-q", "-H", "-f", keys.path + "/known"])
    let known = KnownHosts(parsing: Array(try keys.read("known").utf8))
    #expect(known.keys(host: "sftp.example.com", port: 22).count == 1)
    #expect(known.keys(host: "SFTP.example.com", port: 2222).count == 1)
    #expect(known.keys(host: "sftp.example.org", port: 22).isEmpty)
  }

  @Test(arguments: [
    "", "\n\n", "#example.com ssh-ed25519 \(key)", "example.com", "example.com ssh-ed25519",
    "example.com ssh-ed25519 ====", "example.com ssh-rsa \(key)", "@cert-authority example.com ssh-ed25519 \(key)",
    "@unheard-of example.com ssh-ed25519 \(key)", "example.com ssh-ed25519 AAAA",
  ])
  func aLineThatSaysNothingIsPassedOver(_ line: String) {
    let text = line + "\nexample.org ssh-ed25519 \(Self.key)\n"
    let known = KnownHosts(parsing: Array(text.utf8))
    #expect(known.keys(host: "example.com", port: 22).isEmpty)
    #expect(known.keys(host: "example.org", port: 22).count == 1)
  }
}

/// Telling a server with few handles from a file that cannot be opened.
@Suite struct HandleBudgetTests {
  @Test func threeRefusalsInARowLowerTheLimitToWhatIsHeld() {
    var budget = HandleBudget(maximum: 8)
    for _ in 0..<8 { budget.opening() }
    budget.opened()
    budget.opened()
    #expect(budget.refused(below: nil) == .retry(below: 2))
    #expect(budget.refused(below: nil) == .retry(below: 2))
    #expect(budget.limit == 8)
    #expect(budget.refused(below: nil) == .retry(below: 2))
    #expect(budget.limit == 2)
    #expect(budget.inUse == 5)
    #expect(!budget.hasRoom)
  }

  @Test func aRefusalWithNothingHeldIsTheFilesOwn() {
    var budget = HandleBudget(maximum: 1)
    budget.opening()
    #expect(budget.refused(below: nil) == .ownFailure)
    #expect(budget.hasRoom)
  }

  @Test func aSecondRefusalIsTheFilesOwnAndTheLimitRecovers() {
    var budget = HandleBudget(maximum: 4)
    for _ in 0..<4 { budget.opening() }
    budget.opened()
    for _ in 0..<3 { _ = budget.refused(below: nil) }
    #expect(budget.limit == 1)
    budget.closed()
    budget.opening()
    #expect(budget.refused(below: 1) == .ownFailure)
    #expect(budget.limit == 4)
    #expect(budget.inUse == 0)
  }
}
