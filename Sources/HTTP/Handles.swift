internal import CLibCurl

/// One `CURL` handle: a transfer at a time, its connection kept by the multi handle afterwards.
struct EasyHandle: ~Copyable {
  let raw: UnsafeMutableRawPointer

  init() throws(TransportError) {
    guard let made = curl_easy_init() else { throw outOfMemory }
    raw = made
  }

  func set(_ option: CURLoption, _ value: Int) { check(easy_set_long(raw, option, value)) }
  func set(_ option: CURLoption, size: Int) { check(easy_set_size(raw, option, size)) }
  func set(_ option: CURLoption, _ value: String?) { check(easy_set_string(raw, option, value)) }
  func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) { check(easy_set_pointer(raw, option, pointer)) }

  /// The status of the last answer.
  var status: Int {
    var value = 0
    easy_get_long(raw, CURLINFO_RESPONSE_CODE, &value)
    return value
  }

  /// Bytes of the body that have left libcurl.
  var uploaded: UInt64 {
    var value: curl_off_t = 0
    easy_get_size(raw, CURLINFO_SIZE_UPLOAD_T, &value)
    return UInt64(max(0, value))
  }

  /// errno of a connection that failed, 0 when there is none.
  var systemError: Int32 {
    var value = 0
    easy_get_long(raw, CURLINFO_OS_ERRNO, &value)
    return Int32(truncatingIfNeeded: value)
  }

  deinit { curl_easy_cleanup(raw) }
}

/// The options set here are known to every libcurl this program can be linked to; a refusal is a mistake in this room.
private func check(_ code: CURLcode, line: Int = #line) {
  precondition(code == CURLE_OK, "libcurl refused an option: \(String(cString: curl_easy_strerror(code)))")
}

/// The handle that runs all transfers and keeps their connections.
struct MultiHandle: ~Copyable {
  let raw: UnsafeMutableRawPointer

  init() throws(TransportError) {
    _ = globalState
    guard let made = curl_multi_init() else { throw outOfMemory }
    raw = made
  }

  deinit { curl_multi_cleanup(raw) }
}

/// TLS sessions, kept for all transfers of one client: a new connection then skips most of the handshake.
struct ShareHandle: ~Copyable {
  let raw: UnsafeMutableRawPointer

  init() throws(TransportError) {
    _ = globalState
    guard let made = curl_share_init() else { throw outOfMemory }
    raw = made
    share_tls_sessions(raw)
  }

  deinit { curl_share_cleanup(raw) }
}

/// A header list, which libcurl reads while the transfer runs.
struct HeaderList: ~Copyable {
  private(set) var raw: UnsafeMutablePointer<curl_slist>?

  init() { raw = nil }

  /// `Name: value`, or libcurl's `Name;` for an empty value, or `Name:` to leave out a header of its own.
  mutating func append(_ line: String) throws(TransportError) {
    guard let longer = curl_slist_append(raw, line) else { throw outOfMemory }
    raw = longer
  }

  deinit { curl_slist_free_all(raw) }
}

let outOfMemory = TransportError(kind: .other, reason: "out of memory")

/// curl_global_init must run once, before any thread uses libcurl; a global is initialised exactly once.
private let globalState: CURLcode = curl_global_init(Int(CURL_GLOBAL_SSL))
