package import Common

/// One request, as it goes on the wire: nothing is added to the path, no redirect is followed.
package struct HTTPRequest: Sendable {
  package enum Method: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case put = "PUT"
    case delete = "DELETE"
  }

  package var method: Method
  /// Scheme, host, port, path and query, percent-encoded by the caller; sent byte for byte.
  package var url: String
  /// In the order they are sent. Host, Content-Length and User-Agent are added.
  package var headers: [(name: String, value: String)]
  package var body: HTTPBody
  /// Bytes of the answer's body that are kept; a longer answer is an error.
  package var maximumResponseBytes: Int
  /// On a connection of its own, not one from the pool: after a 503 another server may answer.
  package var freshConnection: Bool

  package init(
    method: Method, url: String, headers: [(name: String, value: String)] = [], body: HTTPBody = .none,
    maximumResponseBytes: Int = 1 << 20, freshConnection: Bool = false
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.maximumResponseBytes = maximumResponseBytes
    self.freshConnection = freshConnection
  }
}

/// What a request carries.
package enum HTTPBody: Sendable {
  case none
  case bytes([UInt8])
  /// An open descriptor, read with pread(2) from offset 0; it stays the caller's and must stay open until the
  /// request has ended. `size` in bytes is what Content-Length says.
  case file(descriptor: Int32, size: UInt64)

  package var size: UInt64 {
    switch self {
    case .none: 0
    case .bytes(let bytes): UInt64(bytes.count)
    case .file(_, let size): size
    }
  }
}

/// An answer of whatever status.
package struct HTTPResponse: Sendable {
  package let status: Int
  package let body: [UInt8]
  /// The header block of the last answer as it came.
  private let headerBlock: [UInt8]

  package init(status: Int, headerBlock: [UInt8], body: [UInt8]) {
    self.status = status
    self.headerBlock = headerBlock
    self.body = body
  }

  /// The first value of a header, name in any case, without the white space around it.
  package func header(_ name: String) -> String? {
    var found: String?
    forEachHeader { candidate, value in
      guard found == nil, candidate.count == name.utf8.count else { return }
      if zip(candidate, name.utf8).allSatisfy({ lowered($0) == lowered($1) }) {
        found = String(decoding: value, as: UTF8.self)
      }
    }
    return found
  }

  /// All headers, names in lower case, in the order they came.
  package var headers: [(name: String, value: String)] {
    var all = [(name: String, value: String)]()
    forEachHeader { name, value in
      all.append((String(decoding: name.map(lowered), as: UTF8.self), String(decoding: value, as: UTF8.self)))
    }
    return all
  }

  private func forEachHeader(_ visit: (ArraySlice<UInt8>, ArraySlice<UInt8>) -> Void) {
    for line in headerBlock.split(separator: UInt8(ascii: "\n")) {
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
      var value = line[(colon + 1)...]
      while let first = value.first, first <= 0x20 { value = value.dropFirst() }
      while let last = value.last, last <= 0x20 { value = value.dropLast() }
      visit(line[..<colon], value)
    }
  }
}

private func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

/// Why no answer came.
package struct TransportError: Error, Sendable {
  package enum Kind: String, Sendable {
    case nameNotFound = "name-not-found"
    case connectionRefused = "connection-refused"
    case connectFailed = "connect-failed"
    case connectionLost = "connection-lost"
    case timeout
    /// The handshake failed for a reason that may pass.
    case tls
    /// The server's certificate does not hold: running again will not help.
    case certificate
    /// The server answered the handshake with something that is not TLS.
    case notTLS = "not-tls"
    /// The server answered with something that is not HTTP.
    case notHTTP = "not-http"
    case responseTooLarge = "response-too-large"
    /// The body given to be sent could not be read, or ended before its size.
    case body = "body-unreadable"
    /// The request cannot be sent as it is: a control character in a header.
    case invalidRequest = "invalid-request"
    case other = "transport"
  }

  package let kind: Kind
  /// libcurl's words, or ours.
  package let reason: String

  package init(kind: Kind, reason: String) {
    self.kind = kind
    self.reason = reason
  }
}

/// How a client reaches servers.
package struct HTTPSettings: Sendable {
  package var userAgent: String
  /// PEM file of the authorities to trust instead of the system's.
  package var caBundlePath: String?
  /// Seconds without a byte in either direction after which a request has failed.
  package var idleSeconds: Int
  /// Seconds to wait for a connection.
  package var connectSeconds: Int
  /// Whether plain http is allowed at all.
  package var scheme: Endpoint.Scheme
  /// Told when bytes of a large body go out.
  package var heartbeat: Heartbeat?
  /// How fast bodies are sent, all requests together; nil for as fast as they go.
  package var bandwidth: BandwidthLimit?

  package init(
    userAgent: String, caBundlePath: String? = nil, idleSeconds: Int = 30, connectSeconds: Int = 10,
    scheme: Endpoint.Scheme, heartbeat: Heartbeat? = nil
  ) {
    self.userAgent = userAgent
    self.caBundlePath = caBundlePath
    self.idleSeconds = idleSeconds
    self.connectSeconds = connectSeconds
    self.scheme = scheme
    self.heartbeat = heartbeat
  }
}
