package import Common

/// Signature Version 4 in its S3 flavour, as pure functions: the path is encoded once and not normalised, and the
/// payload's SHA-256 is a header of its own (AWS, "Authenticating Requests: Using the Authorization Header").
package enum SigV4 {
  package static let algorithm = "AWS4-HMAC-SHA256"

  /// What is signed, and the names of the headers in it.
  package struct CanonicalRequest: Sendable {
    package let text: String
    /// Lower case, sorted, separated by semicolons.
    package let signedHeaders: String
  }

  /// Where and when a signature holds: `20130524/us-east-1/s3/aws4_request`.
  package struct Scope: Hashable, Sendable {
    /// `YYYYMMDD`, UTC.
    package var date: String
    package var region: String
    package var service: String

    package init(date: String, region: String, service: String) {
      self.date = date
      self.region = region
      self.service = service
    }

    package var text: String { "\(date)/\(region)/\(service)/aws4_request" }
  }

  /// The headers this program signs: those that say what the request means. Anything on the way may change others;
  /// Accept-Encoding, for one, is rewritten by Google's front end.
  package static func isSigned(_ lowerCaseName: String) -> Bool {
    switch lowerCaseName {
    case "host", "content-md5", "content-type", "content-encoding": true
    default: lowerCaseName.hasPrefix("x-amz-")
    }
  }

  /// The query in the form that is signed and sent: encoded, sorted by name, then by value; `name=` for an empty value.
  package static func canonicalQuery(_ items: [(name: String, value: [UInt8])]) -> String {
    items.map { (PercentEncoding.query($0.name.utf8), PercentEncoding.query($0.value)) }
      .sorted { $0 < $1 }
      .map { "\($0)=\($1)" }
      .joined(separator: "&")
  }

  /// AWS, "Signature Version 4, Create a canonical request".
  ///
  /// `path` and `query` are encoded already and go into the request line as they are. All `headers` given are signed:
  /// names lower case and sorted, values trimmed, runs of spaces made one, values of one name joined by commas.
  package static func canonicalRequest(
    method: String, path: String, query: String, headers: [(name: String, value: String)], payloadSHA256: String
  ) -> CanonicalRequest {
    var sorted = headers.enumerated().map { (name: $1.name.lowercased(), order: $0, value: trimmed($1.value)) }
    sorted.sort { ($0.name, $0.order) < ($1.name, $1.order) }
    var text = "\(method)\n\(path)\n\(query)\n"
    var names = ""
    var last: String?
    for (name, _, value) in sorted {
      if name == last {
        text += ",\(value)"
        continue
      }
      if last != nil {
        text += "\n"
        names += ";"
      }
      text += "\(name):\(value)"
      names += name
      last = name
    }
    if last != nil { text += "\n" }
    text += "\n\(names)\n\(payloadSHA256)"
    return CanonicalRequest(text: text, signedHeaders: names)
  }

  /// AWS, "Signature Version 4, Create a string to sign"; `timestamp` is that of x-amz-date.
  package static func stringToSign(timestamp: String, scope: Scope, canonicalRequest: String) -> String {
    "\(algorithm)\n\(timestamp)\n\(scope.text)\n\(SHA256Digest.of(canonicalRequest.utf8).hex)"
  }

  /// The key of one day, region and service (AWS, "Signature Version 4, Calculate the signature").
  package static func signingKey(secret: Secret, scope: Scope) -> [UInt8] {
    var key = Array("AWS4".utf8) + Array(secret.reveal().utf8)
    for part in [scope.date, scope.region, scope.service, "aws4_request"] {
      key = hmacSHA256(key: key, Array(part.utf8))
    }
    return key
  }

  /// 64 lower-case hexadecimal digits.
  package static func signature(key: [UInt8], stringToSign: String) -> String {
    hex(hmacSHA256(key: key, Array(stringToSign.utf8)))
  }

  /// The value of the Authorization header.
  package static func authorization(accessKeyID: String, scope: Scope, signedHeaders: String, signature: String)
    -> String
  {
    "\(algorithm) Credential=\(accessKeyID)/\(scope.text), SignedHeaders=\(signedHeaders), Signature=\(signature)"
  }

  /// A header's value as it is signed (AWS: Trim() and "convert sequential spaces to a single space").
  private static func trimmed(_ value: String) -> String {
    let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
    let bytes = value.utf8
    var previous: UInt8 = 0x20
    var irregular = false
    for byte in bytes {
      if isSpace(byte) && (isSpace(previous) || byte == 0x09) { irregular = true }
      previous = byte
    }
    if !irregular && !isSpace(previous) { return value }
    return bytes.split(whereSeparator: isSpace).map { String(Substring($0)) }.joined(separator: " ")
  }
}

/// Signs requests of one set of credentials; keeps the key and the timestamp as long as they hold.
package struct Signer {
  private let credentials: S3Credentials
  private let region: String
  private let service: String
  private var cached: (second: Int64, timestamp: String, scope: SigV4.Scope, key: [UInt8])?

  package init(credentials: S3Credentials, region: String, service: String) {
    self.credentials = credentials
    self.region = region
    self.service = service
  }

  /// The headers to send: those given, and x-amz-date, x-amz-content-sha256, x-amz-security-token and Authorization.
  ///
  /// `authority` is what the Host header will say. Only ``SigV4/isSigned(_:)`` headers are signed.
  package mutating func sign(
    method: String, authority: String, path: String, query: String, headers: [(name: String, value: String)],
    payloadSHA256: String, wallMilliseconds: Int64
  ) -> [(name: String, value: String)] {
    let (timestamp, scope, key) = day(wallMilliseconds)
    var sent = headers
    sent.append(("x-amz-date", timestamp))
    sent.append(("x-amz-content-sha256", payloadSHA256))
    if let token = credentials.sessionToken { sent.append(("x-amz-security-token", token.reveal())) }
    var signed = sent.filter { SigV4.isSigned($0.name.lowercased()) }
    signed.append(("host", authority))
    let canonical = SigV4.canonicalRequest(
      method: method, path: path, query: query, headers: signed, payloadSHA256: payloadSHA256)
    let text = SigV4.stringToSign(timestamp: timestamp, scope: scope, canonicalRequest: canonical.text)
    let authorization = SigV4.authorization(
      accessKeyID: credentials.accessKeyID, scope: scope, signedHeaders: canonical.signedHeaders,
      signature: SigV4.signature(key: key, stringToSign: text))
    sent.append(("authorization", authorization))
    return sent
  }

  private mutating func day(_ wallMilliseconds: Int64) -> (String, SigV4.Scope, [UInt8]) {
    let second = wallMilliseconds / 1000
    if let cached, cached.second == second { return (cached.timestamp, cached.scope, cached.key) }
    let timestamp = basicTimestamp(wallMilliseconds: wallMilliseconds)
    let scope = SigV4.Scope(date: String(timestamp.prefix(8)), region: region, service: service)
    let same = cached.flatMap { $0.scope == scope ? $0.key : nil }
    let key = same ?? SigV4.signingKey(secret: credentials.secretAccessKey, scope: scope)
    cached = (second, timestamp, scope, key)
    return (timestamp, scope, key)
  }
}
