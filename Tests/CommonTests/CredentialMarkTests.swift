internal import Common
internal import Testing

@Suite struct CredentialMarkTests {
  private static let salt = [UInt8](repeating: 7, count: 16)

  private func source(_ changes: [String: String?] = [:]) throws -> SFTPSource {
    var variables = [
      "SFTP_HOST": "sftp.example.com", "SFTP_USER": "in", "SFTP_PASS": "s3cret", "SFTP_FOLDER_NAME": "inbox",
    ]
    for (name, value) in changes { variables[name] = value }
    let reader = SettingsReader(environment: variables.mapValues { Array($0.utf8) })
    return try #require(try Configuration(reader, needs: .sftp).sftp)
  }

  @Test(arguments: [
    ["SFTP_HOST": "sftp2.example.com"], ["SFTP_PORT": "2222"], ["SFTP_USER": "out"], ["SFTP_PASS": "s3cret "],
    ["SFTP_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----"], ["SFTP_KEY_PASSPHRASE": "open"],
    ["SFTP_USER": "in,6:s3cret"],
  ])
  func aChangeIsNoticed(_ changes: [String: String]) throws {
    let mark = CredentialMark(of: try source(), salt: Self.salt)
    #expect(!mark.matches(try source(changes)))
  }

  @Test func whatHasNoPartInALogInIsNone() throws {
    let mark = CredentialMark(of: try source())
    #expect(mark.salt.count == 16 && mark.digits.utf8.count == 3)
    #expect(mark.matches(try source(["SFTP_FOLDER_NAME": "else", "SFTP_TIMEOUT": "5", "SFTP_CONNECTIONS": "1"])))
    #expect(CredentialMark(of: try source()).salt != mark.salt)
  }

  /// RFC 7914 §11.
  @Test(arguments: [
    ("passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    ("Password", "NaCl", 80_000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
  ])
  func pbkdf2(password: String, salt: String, rounds: Int, expected: String) {
    #expect(hex(pbkdf2SHA256(password: Array(password.utf8), salt: Array(salt.utf8), rounds: rounds)) == expected)
  }
}
