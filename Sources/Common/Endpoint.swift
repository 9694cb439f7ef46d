/// Where an S3 service is reached: scheme, host and port, nothing else.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  package enum Scheme: String, Sendable {
    case http, https

    package var defaultPort: UInt16 { self == .http ? 80 : 443 }
  }

  package let scheme: Scheme
  /// A name, an IPv4 address, or an IPv6 address in brackets, in lower case.
  package let host: String
  package let port: UInt16

  /// What is wrong with a text that should name an endpoint.
  package struct Fault: Error, Sendable {
    package let reason: String
  }

  /// Parses `https://host[:port][/]`, `http://…`, or a bare `host[:port]`, which means https.
  package init(parsing text: String) throws(Fault) {
    var rest = text[...]
    if let mark = rest.range(of: "://") {
      let name = rest[..<mark.lowerBound].lowercased()
      guard let known = Scheme(rawValue: name) else {
        throw Fault(reason: "scheme \(escaped(name)) is neither http nor https")
      }
      scheme = known
      rest = rest[mark.upperBound...]
    } else {
      scheme = .https
    }
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    if rest.contains("/") || rest.contains("?") || rest.contains("#") {
      throw Fault(reason: "it must be scheme, host and port only; bucket and folder have settings of their own")
    }
    if rest.contains("@") { throw Fault(reason: "credentials do not belong in the endpoint") }
    let digits: Substring?
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]") else {
        throw Fault(reason: "the bracket of the IPv6 address is not closed")
      }
      host = rest[...end].lowercased()
      let tail = rest[rest.index(after: end)...]
      guard tail.isEmpty || tail.hasPrefix(":") else { throw Fault(reason: "unexpected text after the IPv6 address") }
      digits = tail.isEmpty ? nil : tail.dropFirst()
    } else {
      let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      host = parts[0].lowercased()
      digits = parts.count == 2 ? parts[1] : nil
    }
    let allowed = host.utf8.allSatisfy {
      (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || [0x2d, 0x2e, 0x5f, 0x3a, 0x5b, 0x5d].contains($0)
    }
    if host.isEmpty || !allowed { throw Fault(reason: "\(escaped(host)) is not a host name") }
    if let digits {
      guard let number = UInt16(digits), number > 0 else {
        throw Fault(reason: "port \(escaped(String(digits))) is not a number from 1 to 65535")
      }
      port = number
    } else {
      port = scheme.defaultPort
    }
  }

  private init(scheme: Scheme, host: String, port: UInt16) {
    self.scheme = scheme
    self.host = host
    self.port = port
  }

  /// The same service under `label.host`, for virtual-host addressing.
  package func withHostPrefix(_ label: String) -> Endpoint {
    Endpoint(scheme: scheme, host: label + "." + host, port: port)
  }

  /// The value of the Host header: the port only when it is not the scheme's own (RFC 9110 §7.2).
  package var authority: String { port == scheme.defaultPort ? host : "\(host):\(port)" }

  /// `scheme://authority`.
  package var description: String { "\(scheme.rawValue)://\(authority)" }
}

/// How a bucket is named in a request: in the path, or as the first label of the host.
package enum Addressing: String, Sendable, CaseIterable {
  case path
  case virtualHost = "virtual-host"

  /// AWS wants the bucket in the host name; most other services are safe only with the path.
  ///
  /// A certificate for `*.s3.amazonaws.com` does not hold for `my.bucket.s3.amazonaws.com`, so over https a bucket with
  /// a dot goes into the path even there (AWS, "Bucket naming rules").
  package static func preferred(for endpoint: Endpoint, bucket: String) -> Addressing {
    if endpoint.scheme == .https, bucket.contains(".") { return .path }
    let host = endpoint.host
    return host.hasSuffix(".amazonaws.com") || host.hasSuffix(".amazonaws.com.cn") ? .virtualHost : .path
  }
}

extension Substring {
  /// The first place where `text` stands; the standard library has this only with Foundation or regular expressions.
  fileprivate func range(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
