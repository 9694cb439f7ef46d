internal import CLibCurl
internal import Common
internal import Glibc

/// One easy handle and what belongs to the request it carries; used again and again, so that the options that never
/// change are set once.
final class Transfer {
  let easy: EasyHandle
  /// The caller's number for the request under way.
  var ticket = 0
  private var method: HTTPRequest.Method?
  private var headers = HeaderList()
  private var body = HTTPBody.none
  /// Bytes of the body handed to libcurl so far.
  private var sent: UInt64 = 0
  private var largeBuffer = false
  private let heartbeat: Heartbeat?
  private let bandwidth: BandwidthLimit?
  private var headerBlock = [UInt8]()
  /// Whether the empty line came that ends the last header block. Trailers come after it and change nothing.
  private var headersEnded = false
  private var answer = [UInt8]()
  private var maximumAnswer = 0
  /// When the answer must be whole, on the monotonic clock; nil as long as the body is not all sent.
  private var answerDue: Double?
  private let answerSeconds: Double
  /// Why a callback ended the transfer: more exact than libcurl's own code for it.
  private var fault: TransportError?
  /// Where libcurl writes its words about an error: CURL_ERROR_SIZE bytes.
  private let words = UnsafeMutablePointer<CChar>.allocate(capacity: errorWordsSize)

  /// A header block longer than this is an error (bytes).
  private static let maximumHeaderBlock = 64 << 10
  /// Bodies from this size are read in pieces of 1 MiB instead of libcurl's 64 KiB (bytes).
  private static let largeBodySize: UInt64 = 1 << 20
  /// Idle times that a whole answer may take: a server that drips bytes is never idle, and else never done.
  private static let answerPatience = 4.0

  init(settings: HTTPSettings, share: borrowing ShareHandle) throws(TransportError) {
    easy = try EasyHandle()
    words.initialize(repeating: 0, count: errorWordsSize)
    heartbeat = settings.heartbeat
    bandwidth = settings.bandwidth
    answerSeconds = Self.answerPatience * Double(settings.idleSeconds)
    let context = Unmanaged.passUnretained(self).toOpaque()
    easy.set(CURLOPT_PRIVATE, pointer: context)
    easy.set(CURLOPT_ERRORBUFFER, pointer: words)
    easy.set(CURLOPT_SHARE, pointer: share.raw)
    easy.set(CURLOPT_NOSIGNAL, 1)
    easy.set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
    easy.set(CURLOPT_PATH_AS_IS, 1)
    easy.set(CURLOPT_FOLLOWLOCATION, 0)
    easy.set(CURLOPT_PROTOCOLS_STR, settings.scheme.rawValue)
    easy.set(CURLOPT_USERAGENT, settings.userAgent)
    easy.set(CURLOPT_SSL_VERIFYPEER, 1)
    easy.set(CURLOPT_SSL_VERIFYHOST, 2)
    for (option, value) in trustOptions(settings) { easy.set(option, value) }
    easy.set(CURLOPT_CONNECTTIMEOUT, settings.connectSeconds)
    easy.set(CURLOPT_LOW_SPEED_LIMIT, 1)
    easy.set(CURLOPT_LOW_SPEED_TIME, settings.idleSeconds)
    // Servers and the balancers before them drop idle connections: one that idled longer is not tried again.
    easy.set(CURLOPT_MAXAGE_CONN, 15)
    easy_set_read(easy.raw, readCallback, seekCallback, context)
    easy_set_write(easy.raw, bodyCallback, headerCallback, context)
  }

  /// Sets up the handle for a request; it is then ready to be added to the multi handle.
  func prepare(_ request: HTTPRequest, ticket: Int) throws(TransportError) {
    self.ticket = ticket
    body = request.body
    sent = 0
    fault = nil
    headerBlock.removeAll(keepingCapacity: true)
    headersEnded = false
    answer = []
    maximumAnswer = request.maximumResponseBytes
    answerDue = nil
    words.pointee = 0
    if method != request.method { use(request.method) }
    easy.set(CURLOPT_URL, request.url)
    if request.method == .put {
      easy.set(CURLOPT_INFILESIZE_LARGE, size: Int(body.size))
      let large = body.size >= Self.largeBodySize
      if large != largeBuffer {
        easy.set(CURLOPT_UPLOAD_BUFFERSIZE, large ? 1 << 20 : 64 << 10)
        largeBuffer = large
      }
    }
    easy.set(CURLOPT_FRESH_CONNECT, request.freshConnection ? 1 : 0)
    var list = HeaderList()
    // A small PUT would otherwise wait a second for `100 Continue` from servers that do not send it.
    try list.append("Expect:")
    for (name, value) in request.headers {
      guard isSafe(name), isSafe(value) else {
        throw TransportError(kind: .invalidRequest, reason: "header \(escaped(name)) holds a control character")
      }
      try list.append(value.isEmpty ? "\(name);" : "\(name): \(value)")
    }
    easy_set_headers(easy.raw, list.raw)
    headers = list
  }

  private func use(_ method: HTTPRequest.Method) {
    self.method = method
    switch method {
    case .put: easy.set(CURLOPT_UPLOAD, 1)
    case .get, .delete: easy.set(CURLOPT_HTTPGET, 1)
    case .head:
      easy.set(CURLOPT_HTTPGET, 1)
      easy.set(CURLOPT_NOBODY, 1)
    }
    easy.set(CURLOPT_CUSTOMREQUEST, method == .delete ? method.rawValue : nil)
  }

  /// What became of the request; gives up the body, so that nothing of it outlives the transfer.
  func finish(_ code: CURLcode) -> Result<HTTPResponse, TransportError> {
    let isWhole = sent == body.size
    body = .none
    if let fault { return .failure(fault) }
    if code == CURLE_OK {
      // libcurl takes a connection that ends within the headers for the end of an answer without a body.
      guard headersEnded else {
        return .failure(TransportError(kind: .connectionLost, reason: "the answer ends within its headers"))
      }
      let status = easy.status
      if status < 200 {
        return .failure(TransportError(kind: .connectionLost, reason: "only an interim answer came: HTTP \(status)"))
      }
      // libcurl stops sending, and is content, when an answer with `Connection: close` comes early.
      if status < 300, !isWhole {
        let reason = "HTTP \(status) came before the server had the whole body"
        return .failure(TransportError(kind: .connectionLost, reason: reason))
      }
      return .success(HTTPResponse(status: status, headerBlock: headerBlock, body: answer))
    }
    let said = words.pointee == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: words)
    return .failure(transportError(code, said: said, systemError: easy.systemError))
  }

  /// Whether the server has had everything for too long and its answer is still not whole; to be asked now and then.
  func isOverdue(now: Double) -> Bool {
    guard let due = answerDue else {
      // What libcurl was given may still be in its buffer, on its way over a slow line.
      if sent == body.size, easy.uploaded >= body.size { answerDue = now + answerSeconds }
      return false
    }
    if now < due { return false }
    fault = TransportError(kind: .timeout, reason: "no whole answer within \(Int(answerSeconds)) s")
    return true
  }

  // MARK: What libcurl calls

  /// Fills libcurl's buffer with the next bytes of the body; 0 at its end, however often it is asked.
  func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let left = body.size - sent
    guard left > 0, let target = buffer.baseAddress else { return 0 }
    var wanted = Int(min(left, UInt64(buffer.count)))
    if let bandwidth {
      // The waiting holds up the thread that sends everything, so it must be short.
      wanted = min(wanted, bandwidth.pieceBytes(milliseconds: 30, in: 4_096...(1 << 20)))
      pause(milliseconds: bandwidth.charge(wanted))
    }
    switch body {
    case .none: return 0
    case .bytes(let bytes):
      bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + Int(sent), byteCount: wanted) }
      sent += UInt64(wanted)
      return wanted
    case .file(let descriptor, let size):
      while true {
        let count = pread(descriptor, target, wanted, Int(sent))
        if count > 0 {
          // The first piece is read before anything is sent.
          if sent > 0 { heartbeat?.beat() }
          sent += UInt64(count)
          return count
        }
        if count < 0, errno == EINTR { continue }
        let reason = count == 0 ? "the file ends at \(sent) bytes, not at \(size)" : errnoText(errno)
        fault = TransportError(kind: .body, reason: reason)
        return Int(CURL_READFUNC_ABORT)
      }
    }
  }

  /// A connection from the pool turned out dead: libcurl sends the body again on another.
  func rewind(to offset: Int64) -> Bool {
    guard offset >= 0, UInt64(offset) <= body.size else { return false }
    sent = UInt64(offset)
    answerDue = nil
    return true
  }

  func receiveHeader(_ line: UnsafeRawBufferPointer) -> Bool {
    // Another status line: what came before was an interim answer.
    if line.starts(with: "HTTP/".utf8) {
      headerBlock.removeAll(keepingCapacity: true)
      headersEnded = false
    }
    if line.first == UInt8(ascii: "\r") || line.first == UInt8(ascii: "\n") { headersEnded = true }
    return take(line, into: &headerBlock, limit: Self.maximumHeaderBlock)
  }

  func receiveBody(_ bytes: UnsafeRawBufferPointer) -> Bool { take(bytes, into: &answer, limit: maximumAnswer) }

  private func take(_ bytes: UnsafeRawBufferPointer, into store: inout [UInt8], limit: Int) -> Bool {
    if bytes.count > limit - store.count {
      fault = TransportError(kind: .responseTooLarge, reason: "the answer is longer than \(limit) bytes")
      return false
    }
    store.append(contentsOf: bytes)
    return true
  }

  deinit {
    // The handle is cleaned up after this, and may have something to say.
    easy.set(CURLOPT_ERRORBUFFER, pointer: nil)
    words.deallocate()
  }
}

/// Which authorities a server's certificate may come from: the bundle's instead of the system's, not as well. Without
/// the second option libcurl would still look into the system's directory of authorities.
func trustOptions(_ settings: HTTPSettings) -> [(option: CURLoption, value: String?)] {
  guard let path = settings.caBundlePath else { return [] }
  return [(CURLOPT_CAINFO, path), (CURLOPT_CAPATH, nil)]
}

/// CURL_ERROR_SIZE
private let errorWordsSize = 256

/// Nothing that could end a header line and begin another.
private func isSafe(_ text: String) -> Bool { text.utf8.allSatisfy { ($0 >= 0x20 && $0 != 0x7f) || $0 == 0x09 } }

private func transfer(_ context: UnsafeMutableRawPointer?) -> Transfer {
  Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
}

private let readCallback: curl_read_callback = { buffer, size, count, context in
  transfer(context).read(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
}

private let seekCallback: curl_seek_callback = { context, offset, origin in
  guard origin == SEEK_SET, transfer(context).rewind(to: Int64(offset)) else { return Int32(CURL_SEEKFUNC_FAIL) }
  return Int32(CURL_SEEKFUNC_OK)
}

private let bodyCallback: curl_write_callback = { bytes, size, count, context in
  transfer(context).receiveBody(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}

private let headerCallback: curl_write_callback = { bytes, size, count, context in
  transfer(context).receiveHeader(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}
