package import Common
internal import HTTP

/// Why a request to the bucket failed, for the person who reads it and for the loop that may try again.
package struct S3Error: Failure {
  /// S3's own code ("NoSuchBucket"), or ours in kebab-case when no S3 document came ("connection-refused").
  package let code: String
  package let operation: String
  /// `s3://bucket/key`, escaped.
  package let subject: String
  package let reason: String
  package let advice: String?
  package let severity: Severity
  package let httpStatus: Int?
  /// What the service's support asks for.
  package let requestID: String?

  package init(
    code: String, operation: String, subject: String, reason: String, advice: String? = nil, severity: Severity,
    httpStatus: Int? = nil, requestID: String? = nil
  ) {
    self.code = code
    self.operation = operation
    self.subject = subject
    self.reason = reason
    self.advice = advice
    self.severity = severity
    self.httpStatus = httpStatus
    self.requestID = requestID
  }

  /// Whether the whole phase must end, since every other request would fail the same way.
  package var endsPhase: Bool { severity == .fatal || severity == .configuration }

  /// The right to this one key is missing, or to all of them: the answer does not say which.
  var isDenial: Bool { code == "AccessDenied" }

  /// The same, concerning one key.
  var ofOneKey: S3Error {
    S3Error(
      code: code, operation: operation, subject: subject, reason: reason, advice: advice, severity: .item,
      httpStatus: httpStatus, requestID: requestID)
  }
}

/// S3's error document (AWS, "REST Error Responses"), as far as this program acts on it.
struct ErrorDocument {
  var code = ""
  var message = ""
  var requestID: String?
  /// The region the server wants to be signed for.
  var region: String?
  /// The host a redirect names.
  var endpoint: String?

  /// Nil when the body is anything else than a document whose root is `Error` with a code.
  init?(_ body: [UInt8]) {
    var document = ErrorDocument()
    do {
      try XMLReader.read(body) { path, text in
        guard path.count == 2, path[0] == "Error" else { return }
        let value = String(decoding: text, as: UTF8.self)
        switch path[1] {
        case "Code": document.code = value
        case "Message": document.message = value
        case "RequestId": document.requestID = value
        case "Region": document.region = value
        case "Endpoint": document.endpoint = value
        default: break
        }
      }
    } catch {
      return nil
    }
    guard !document.code.isEmpty else { return nil }
    self = document
  }

  private init() {}
}

/// One attempt that failed: what it was, and what to do now.
struct FailedAttempt {
  var error: S3Error
  var verdict: Verdict
  /// Seconds the server asked to wait.
  var retryAfterSeconds: Double?
  /// The server's clock, milliseconds since 1970, when it matters.
  var serverMilliseconds: Int64?

  /// The same, concerning one key.
  var ofOneKey: FailedAttempt {
    var changed = self
    changed.error = error.ofOneKey
    changed.verdict = .final(.item)
    return changed
  }
}

/// What is being asked of whom: the words of an error.
struct Attempt {
  var operation: String
  var subject: String
  var endpoint: Endpoint

  /// The failure of an attempt that got no answer.
  func failure(_ error: TransportError) -> FailedAttempt {
    let verdict: Verdict
    var advice: String?
    switch error.kind {
    case .certificate:
      verdict = .final(.configuration)
      advice = "if a private authority signed it, S3_CA_BUNDLE must name its certificate"
    case .notTLS:
      verdict = .final(.configuration)
      advice = "the server does not speak https there: use S3_ENDPOINT=http://\(endpoint.authority) or another port"
    case .notHTTP:
      verdict = .retry(throttled: false)
      advice = endpoint.scheme == .http ? httpsAdvice : nil
    case .body, .invalidRequest, .responseTooLarge: verdict = .final(.item)
    case .nameNotFound:
      verdict = .retry(throttled: false)
      advice = "is S3_ENDPOINT right?"
    default: verdict = .retry(throttled: false)
    }
    return FailedAttempt(
      error: make(code: error.kind.rawValue, reason: error.reason, advice: advice, severity: verdict.severity),
      verdict: verdict)
  }

  /// The failure an answer tells of; nil when it is a success.
  ///
  /// A `200` whose body is an error document is a failure. Nothing less than S3's own answer says that an object is
  /// stored, for a gateway's login page is a `200` too:
  ///
  /// | answer to a PUT | is |
  /// |---|---|
  /// | 200, ETag, no body or a PutObject… document | a success |
  /// | any 2xx with an error document | the failure it names |
  /// | any other 2xx | bad-answer: try again |
  func failure(_ response: HTTPResponse) -> FailedAttempt? {
    let isSuccess = (200..<300).contains(response.status)
    let isPut = operation == HTTPRequest.Method.put.rawValue
    if isSuccess, response.body.isEmpty { return isPut ? fault(ofPut: response) : nil }
    let document = ErrorDocument(response.body)
    if isSuccess, document == nil { return isPut ? fault(ofPut: response) : nil }
    let code = document?.code ?? Verdict.code(ofStatus: response.status, isHead: operation == "HEAD")
    var verdict = Verdict(status: response.status, code: code)
    var reason = reason(document, response)
    var finalCode = shown(code, 64)
    var advice = advice(code, document, response)
    if document == nil, response.status == 400, endpoint.scheme == .http,
      String(decoding: response.body.prefix(500), as: UTF8.self).contains("HTTPS")
    {
      verdict = .final(.configuration)
      finalCode = "https-expected"
      reason = "the server expects https on this port"
      advice = httpsAdvice
    }
    let requestID = response.header("x-amz-request-id") ?? document?.requestID
    var failed = FailedAttempt(
      error: make(
        code: finalCode, reason: reason, advice: advice, severity: verdict.severity, status: response.status,
        requestID: requestID.map { escaped($0) }), verdict: verdict)
    failed.retryAfterSeconds = retryAfterSeconds(response)
    if case .skewed = verdict { failed.serverMilliseconds = response.header("date").flatMap(milliseconds(ofHTTPDate:)) }
    return failed
  }

  /// What keeps an answer to a PUT from being S3's word that the object is stored.
  private func fault(ofPut response: HTTPResponse) -> FailedAttempt? {
    let fault: String
    if response.status != 200 {
      fault = "not the 200 of S3"
    } else if unquoted(response.header("etag"))?.isEmpty ?? true {
      fault = "without an ETag"
    } else if !response.body.isEmpty, rootName(response.body)?.hasPrefix("PutObject") != true {
      fault = "with a body that is not S3's"
    } else {
      return nil
    }
    let begin = response.body.prefix(120).filter { $0 != 0x0a && $0 != 0x0d }
    let verdict = Verdict.retry(throttled: false)
    return FailedAttempt(
      error: make(
        code: "bad-answer", reason: "HTTP \(response.status) \(fault)" + (begin.isEmpty ? "" : ": \(escaped(begin))"),
        advice: "is S3_ENDPOINT an S3 service, and does nothing in between answer in its place?",
        severity: verdict.severity, status: response.status), verdict: verdict)
  }

  func make(
    code: String, reason: String, advice: String? = nil, severity: Severity, status: Int? = nil,
    requestID: String? = nil
  ) -> S3Error {
    S3Error(
      code: code, operation: operation, subject: subject, reason: reason, advice: advice, severity: severity,
      httpStatus: status, requestID: requestID)
  }

  private var httpsAdvice: String { "use S3_ENDPOINT=https://\(endpoint.authority)" }

  private func reason(_ document: ErrorDocument?, _ response: HTTPResponse) -> String {
    if let document {
      let code = shown(document.code, 64)
      return document.message.isEmpty ? code : "\(code): \(shown(document.message, 500))"
    }
    if (300..<400).contains(response.status), let location = response.header("location") {
      return "HTTP \(response.status): the server points to \(escaped(location))"
    }
    if response.body.isEmpty { return "HTTP \(response.status) without a reason" }
    let shown = response.body.prefix(120).filter { $0 != 0x0a && $0 != 0x0d }
    return "HTTP \(response.status), not an answer of S3: \(escaped(shown))"
  }

  private func advice(_ code: String, _ document: ErrorDocument?, _ response: HTTPResponse) -> String? {
    switch code {
    case "NoSuchBucket": return "is S3_BUCKET_NAME right, and the bucket made?"
    case "InvalidBucketName": return "is S3_BUCKET_NAME right?"
    case "InvalidAccessKeyId": return "is S3_ACCESS_KEY_ID right?"
    case "SignatureDoesNotMatch": return "is S3_SECRET_ACCESS_KEY right?"
    case "AccessDenied": return "do these credentials have the right to \(operation) there?"
    case "ExpiredToken", "InvalidToken", "TokenRefreshRequired": return "S3_SESSION_TOKEN needs a new one"
    case "RequestTimeTooSkewed": return "set this machine's clock"
    default: break
    }
    if let region = response.header("x-amz-bucket-region") ?? document?.region, Verdict.isMisdirected(code) {
      return "the server wants S3_REGION=\(escaped(region))"
    }
    if let host = document?.endpoint, Verdict.isMisdirected(code) {
      return "the bucket is at \(escaped(host)): S3_ENDPOINT"
    }
    if Verdict.isMisdirected(code) { return "are S3_ENDPOINT and S3_REGION right?" }
    return code == "http-404" || code == "http-405" ? "is S3_ENDPOINT an S3 service?" : nil
  }
}

/// The name of a document's outermost element; nil when it is not XML.
private func rootName(_ body: [UInt8]) -> String? {
  var name: String?
  do {
    try XMLReader.read(body) { path, _ in name = path.first }
  } catch {
    return nil
  }
  return name
}

/// A server's words, escaped and cut.
private func shown(_ text: String, _ maximumBytes: Int) -> String { escaped(text.utf8.prefix(maximumBytes)) }

/// What Retry-After says, as seconds or as a date against the server's own clock (RFC 9110 §10.2.3).
private func retryAfterSeconds(_ response: HTTPResponse) -> Double? {
  guard let text = response.header("retry-after") else { return nil }
  if let seconds = Double(text) { return seconds >= 0 ? seconds : nil }
  guard let until = milliseconds(ofHTTPDate: text),
    let now = response.header("date").flatMap(milliseconds(ofHTTPDate:))
  else { return nil }
  return max(0, Double(until - now) / 1000)
}
