internal import CLibCurl
internal import Common
internal import Glibc

/// libcurl's code in our words.
///
/// | libcurl | kind |
/// |---|---|
/// | COULDNT_RESOLVE_HOST, …_PROXY | name-not-found |
/// | COULDNT_CONNECT | connection-refused when errno says so, else connect-failed |
/// | OPERATION_TIMEDOUT | timeout |
/// | SEND_ERROR, RECV_ERROR, GOT_NOTHING, PARTIAL_FILE | connection-lost |
/// | PEER_FAILED_VERIFICATION, SSL_CACERT_BADFILE, SSL_ISSUER_ERROR | certificate |
/// | SSL_CONNECT_ERROR | not-tls when the server's first bytes were no TLS record, else tls |
/// | UNSUPPORTED_PROTOCOL, WEIRD_SERVER_REPLY | not-http |
/// | anything else | transport |
func transportError(_ code: CURLcode, said: String, systemError: Int32) -> TransportError {
  var reason = escaped(said)
  let kind: TransportError.Kind
  switch code {
  case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: kind = .nameNotFound
  case CURLE_COULDNT_CONNECT:
    kind = systemError == ECONNREFUSED ? .connectionRefused : .connectFailed
    if systemError != 0 { reason += ": " + errnoText(systemError) }
  case CURLE_OPERATION_TIMEDOUT: kind = .timeout
  case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE: kind = .connectionLost
  case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR: kind = .certificate
  case CURLE_SSL_CONNECT_ERROR: kind = plainAnswers.contains(where: said.contains) ? .notTLS : .tls
  case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY: kind = .notHTTP
  default: kind = .other
  }
  return TransportError(kind: kind, reason: reason)
}

/// What OpenSSL's versions say when a plain http server answers the handshake.
private let plainAnswers = ["wrong version number", "http request", "packet length too long"]
