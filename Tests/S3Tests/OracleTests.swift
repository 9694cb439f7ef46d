import Common
import Foundation
import S3
import TestSupport
import Testing

/// Signatures of random requests against those of botocore, the library of AWS's own tools.
@Suite struct OracleTests {
  struct Case: Codable {
    var method: String
    var base: String
    var prefix: String
    /// Hexadecimal.
    var key: String
    var query: [String: String]
    var headers: [String: String]
    var token: String?
    /// Hexadecimal.
    var body: String
    var timestamp = "20261122T091500Z"
  }

  static let wallMilliseconds: Int64 = 1_795_338_900_000

  @Test func aThousandRandomRequestsAreSignedAsBotocoreSignsThem() throws {
    var random = SeededGenerator(seed: 20_261_122)
    let cases = (0..<1000).map { _ in randomCase(&random) }
    let oracle = try botocore(cases)
    #expect(oracle.count == cases.count)
    for (given, expected) in zip(cases, oracle) {
      let actual = sign(given)
      if actual != expected { Issue.record("\(given): ours \(actual), botocore's \(expected)") }
    }
  }

  private func randomCase(_ random: inout SeededGenerator) -> Case {
    let virtual = Bool.random(using: &random)
    var query = [String: String]()
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      query[randomText(1...6, &random)] = randomText(0...8, &random)
    }
    var headers = ["Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="]
    if Bool.random(using: &random) { headers["Content-Type"] = "text/plain;  charset=utf-8 " }
    if Bool.random(using: &random) { headers["x-amz-meta-mtime"] = "1700000000.123" }
    let body = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    return Case(
      method: ["GET", "PUT", "HEAD", "DELETE"].randomElement(using: &random)!,
      base: virtual ? "http://my-bucket.s3.example.com" : "http://s3.example.com:8333",
      prefix: virtual ? "/" : "/my-bucket/", key: hex(randomText(1...40, &random).utf8), query: query,
      headers: headers, token: Bool.random(using: &random) ? "token/with+signs==" : nil, body: hex(body))
  }

  private func sign(_ given: Case) -> String {
    let key = bytes(fromHex: given.key.utf8)!
    let credentials = S3Credentials(
      accessKeyID: "AKEXAMPLE", secretAccessKey: Secret("secret/+example"), sessionToken: given.token.map { Secret($0) }
    )
    var signer = Signer(credentials: credentials, region: "eu-central-1", service: "s3")
    let signed = signer.sign(
      method: given.method, authority: String(given.base.dropFirst("http://".count)),
      path: given.prefix + PercentEncoding.path(key),
      query: SigV4.canonicalQuery(given.query.map { ($0.key, Array($0.value.utf8)) }),
      headers: given.headers.map { ($0.key, $0.value) },
      payloadSHA256: SHA256Digest.of(bytes(fromHex: given.body.utf8)!).hex,
      wallMilliseconds: Self.wallMilliseconds)
    return signed.last { $0.name == "authorization" }!.value
  }

  private func botocore(_ cases: [Case]) throws -> [String] {
    let encoder = JSONEncoder()
    let lines = try cases.map { try encoder.encode($0) + Data("\n".utf8) }.reduce(Data(), +)
    let file = FileManager.default.temporaryDirectory.appending(path: "sign-\(UUID().uuidString).jsonl")
    try lines.write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = packageRoot.appending(path: ".venv/bin/python")
    process.arguments = [packageRoot.appending(path: "Tests/S3Tests/oracle/sign.py").path]
    process.standardInput = try FileHandle(forReadingFrom: file)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let answer = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: answer, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}

/// Text that is awkward in a URL, an XML document or a shell: controls, quotes, percent signs, unnormalised letters.
func randomText(_ length: ClosedRange<Int>, _ random: inout SeededGenerator) -> String {
  let awkward = Array(" %+&=?#;:@!$'\"()*,/<>[]^`{|}~\\.-_\u{7f}\u{1}\t\n\r".unicodeScalars)
  var text = String.UnicodeScalarView()
  for _ in 0..<Int.random(in: length, using: &random) {
    switch Int.random(in: 0..<6, using: &random) {
    case 0, 1: text.append(Unicode.Scalar(UInt8.random(in: 0x30...0x7a, using: &random)))
    case 2: text.append(awkward.randomElement(using: &random)!)
    case 3: text.append(contentsOf: "e\u{301}".unicodeScalars)
    case 4: text.append(Unicode.Scalar(UInt32.random(in: 0xa0...0xd7ff, using: &random))!)
    default: text.append(Unicode.Scalar(UInt32.random(in: 0x1f300...0x1f9ff, using: &random))!)
    }
  }
  return String(text)
}
