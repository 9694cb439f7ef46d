internal import Common
internal import Glibc

/// What to do after a failed attempt.
///
/// | answer | verdict |
/// |---|---|
/// | no answer (transport), 408, 5xx but 501; InternalError, RequestTimeout, OperationAborted, … | try again |
/// | to a PUT: a success that is not one of S3's (see ``Attempt/failure(_:)``) | try again |
/// | 429, 503; SlowDown, Throttling… | try again, slower |
/// | BadDigest, XAmzContentSHA256Mismatch, IncompleteBody | the body was altered on the way: send it again a few times |
/// | RequestTimeTooSkewed | take the server's clock, sign again |
/// | 401, 403, and the codes of AWS about keys, tokens and accounts | ends the phase: fatal |
/// | AccessDenied to a PUT when another of the same run was stored | this key failed |
/// | 3xx, 405, NoSuchBucket, InvalidBucketName, wrong region; 404 without an S3 document | ends the phase: configuration |
/// | anything else | this key failed |
enum Verdict: Equatable {
  case retry(throttled: Bool)
  case resend
  case skewed
  case final(Severity)

  /// How often a body that arrives altered is sent before its file has failed.
  static let maximumSends = 3

  init(status: Int, code: String) {
    switch code {
    case "SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
      "RequestThrottledException", "RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException",
      "BandwidthLimitExceeded", "EC2ThrottledException":
      self = .retry(throttled: true)
    case "InternalError", "InternalFailure", "RequestTimeout", "RequestTimeoutException", "OperationAborted",
      "PriorRequestNotComplete":
      self = .retry(throttled: false)
    case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody": self = .resend
    case "RequestTimeTooSkewed": self = .skewed
    case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
      "TokenRefreshRequired", "InvalidSecurity", "AccountProblem", "AllAccessDisabled", "NotSignedUp":
      self = .final(.fatal)
    case "NoSuchBucket", "InvalidBucketName", "http-404", "http-405": self = .final(.configuration)
    case _ where Self.isMisdirected(code): self = .final(.configuration)
    default: self.init(status: status)
    }
  }

  private init(status: Int) {
    switch status {
    case 429, 503: self = .retry(throttled: true)
    case 408: self = .retry(throttled: false)
    case 501: self = .final(.item)
    case 500...: self = .retry(throttled: false)
    case 401, 403: self = .final(.fatal)
    case 300..<400: self = .final(.configuration)
    default: self = .final(.item)
    }
  }

  /// What an error with this verdict is when nothing more is tried.
  var severity: Severity {
    switch self {
    case .retry: .temporary
    case .resend: .item
    case .skewed: .fatal
    case .final(let severity): severity
    }
  }

  /// Whether the service answered as a working one does.
  var isAnswer: Bool {
    if case .retry = self { return false }
    return true
  }

  /// The request came to the wrong place or was signed for another region.
  static func isMisdirected(_ code: String) -> Bool {
    switch code {
    case "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed",
      "IllegalLocationConstraintException", "http-301", "http-302", "http-307", "http-308":
      true
    default: false
    }
  }

  /// The code of an answer without a document. An answer to HEAD never has one, so there its status is all S3 says.
  static func code(ofStatus status: Int, isHead: Bool) -> String {
    guard isHead else { return "http-\(status)" }
    return switch status {
    case 301: "PermanentRedirect"
    case 403: "AccessDenied"
    case 404: "NotFound"
    default: "http-\(status)"
    }
  }
}

/// Milliseconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7, IMF-fixdate); nil for another form, and
/// for a year before 1970 or after 9999.
func milliseconds(ofHTTPDate text: String) -> Int64? {
  let parts = text.split(separator: " ")
  guard parts.count == 6, parts[5] == "GMT", let day = Int32(parts[1]), let year = Int32(parts[3]),
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
      .firstIndex(of: String(parts[2]))
  else { return nil }
  let clock = parts[4].split(separator: ":").compactMap { Int32($0) }
  // Also what keeps the arithmetic below from overflowing; 60 is a leap second.
  guard clock.count == 3, (1970...9999).contains(year), (1...31).contains(day), (0...23).contains(clock[0]),
    (0...59).contains(clock[1]), (0...60).contains(clock[2])
  else { return nil }
  var time = tm()
  time.tm_year = year - 1900
  time.tm_mon = Int32(month)
  time.tm_mday = day
  time.tm_hour = clock[0]
  time.tm_min = clock[1]
  time.tm_sec = clock[2]
  return Int64(timegm(&time)) * 1000
}
