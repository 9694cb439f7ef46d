package import Common
internal import Foundation
internal import Synchronization

/// An HTTP/1.1 server on a loopback port that does what a test tells it, faults included. A thread a connection.
/// Whoever makes one calls ``stop()``.
package final class ScriptedHTTPServer: Sendable {
  package struct Request: Sendable {
    /// 0 for the first request of any connection.
    package var number: Int
    /// 0 for the first connection.
    package var connection: Int
    package var method: String
    package var target: String
    /// Names in lower case.
    package var headers: [String: String]
    package var body: [UInt8] = []
  }

  package enum Answer: Sendable {
    /// Without `headers`, a 200 to a PUT has an ETag, as S3 has it.
    case response(status: Int, headers: [(String, String)] = [], body: String = "")
    /// These bytes once the request is read, then the end of the connection.
    case raw(String)
    /// These bytes when the headers and half of the body are read; then the end of the connection.
    case early(String)
    /// These bytes once the request is read, and then one byte after another for ever.
    case drip(String)
    /// The connection is reset: when the headers are read, when half of the body is, or when all of it is.
    case resetBeforeBody, resetMidBody, resetAfterBody
    /// Nothing ever comes back.
    case hang
  }

  package let port: UInt16
  /// Nil once it is closed, for its number may then be another socket's.
  private let listener: Mutex<Int32?>
  private let script: @Sendable (Request) -> Answer
  private let seen = Mutex<[Request]>([])
  private let connections = Mutex<[Int32]>([])

  /// Asks `script` for every request when its headers are read; the body follows in ``requests``.
  package init(script: @escaping @Sendable (Request) -> Answer) throws {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    port = try bindLoopback(socket)
    listener = Mutex(socket)
    self.script = script
    guard listen(socket, 128) == 0 else { throw SystemFailure(errno: errno, operation: "listen", subject: "\(port)") }
    Thread { self.acceptAll(socket) }.start()
  }

  /// Gives the answers in turn, and the last one for ever.
  package convenience init(_ answers: [Answer]) throws {
    try self.init { answers[min($0.number, answers.count - 1)] }
  }

  package var endpoint: Endpoint { try! Endpoint(parsing: "http://127.0.0.1:\(port)") }

  /// Everything asked so far, in the order it was asked.
  package var requests: [Request] { seen.withLock { $0 } }

  /// Ends every connection and takes no more.
  package func stop() {
    listener.withLock { if let socket = $0 { shutdown(socket, Int32(SHUT_RDWR)) } }
    connections.withLock { all in
      for descriptor in all { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }
  }

  private func acceptAll(_ socket: Int32) {
    var number = 0
    while case let descriptor = accept(socket, nil, nil), descriptor >= 0 {
      let connection = number
      number += 1
      connections.withLock { $0.append(descriptor) }
      Thread { self.serve(descriptor, connection) }.start()
    }
    listener.withLock {
      close(socket)
      $0 = nil
    }
  }

  // MARK: One connection

  private func serve(_ descriptor: Int32, _ connection: Int) {
    defer {
      connections.withLock { $0.removeAll { $0 == descriptor } }
      close(descriptor)
    }
    var buffered = [UInt8]()
    while var request = readHead(descriptor, connection, &buffered) {
      let answer = script(request)
      let length = request.headers["content-length"].flatMap(Int.init) ?? 0
      if case .resetBeforeBody = answer { return reset(descriptor) }
      var wanted = length
      switch answer {
      case .resetMidBody, .early: wanted /= 2
      default: break
      }
      while buffered.count < wanted, receive(descriptor, &buffered) {}
      if case .resetMidBody = answer { return reset(descriptor) }
      if case .early(let bytes) = answer {
        transmit(descriptor, bytes)
        // What still comes is read by nobody; closing with it unread would reset the connection and eat the answer.
        shutdown(descriptor, Int32(SHUT_WR))
        usleep(500_000)
        return
      }
      guard buffered.count >= length else { return }
      request.body = Array(buffered[..<length])
      buffered.removeFirst(length)
      seen.withLock { $0[request.number] = request }
      switch answer {
      case .response(let status, let headers, let body):
        var text = "HTTP/1.1 \(status) Scripted\r\nContent-Length: \(body.utf8.count)\r\n"
        let isStored = status == 200 && request.method == "PUT" && headers.isEmpty
        for (name, value) in isStored ? [("ETag", "\"scripted\"")] : headers { text += "\(name): \(value)\r\n" }
        transmit(descriptor, text + "\r\n" + (request.method == "HEAD" ? "" : body))
      case .raw(let bytes):
        transmit(descriptor, bytes)
        shutdown(descriptor, Int32(SHUT_WR))
        while receive(descriptor, &buffered) {}
        return
      case .drip(let bytes):
        transmit(descriptor, bytes)
        while transmit(descriptor, "a") { usleep(100_000) }
        return
      case .early: return
      case .hang:
        while receive(descriptor, &buffered) {}
        return
      case .resetBeforeBody, .resetMidBody, .resetAfterBody: return reset(descriptor)
      }
    }
  }

  private func readHead(_ descriptor: Int32, _ connection: Int, _ buffered: inout [UInt8]) -> Request? {
    let end = Array("\r\n\r\n".utf8)
    while true {
      if buffered.first == 0x16 {
        // A TLS handshake: a plain server answers that with 400, as far as it understands it.
        transmit(descriptor, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return nil
      }
      if let range = buffered.firstRange(of: end) {
        let lines = String(decoding: buffered[..<range.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        buffered.removeFirst(range.upperBound)
        let words = lines[0].split(separator: " ")
        guard words.count == 3 else { return nil }
        var headers = [String: String]()
        for line in lines.dropFirst() {
          let parts = line.split(separator: ":", maxSplits: 1)
          headers[parts[0].lowercased()] = parts.count == 2 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        return seen.withLock { all in
          let request = Request(
            number: all.count, connection: connection, method: String(words[0]), target: String(words[1]),
            headers: headers)
          all.append(request)
          return request
        }
      }
      guard receive(descriptor, &buffered) else { return nil }
    }
  }

  private func receive(_ descriptor: Int32, _ buffered: inout [UInt8]) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    guard count > 0 else { return false }
    buffered.append(contentsOf: chunk[..<count])
    return true
  }

  @discardableResult
  private func transmit(_ descriptor: Int32, _ text: String) -> Bool {
    Array(text.utf8).withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } > 0
  }

  /// Makes close(2) send RST instead of FIN.
  private func reset(_ descriptor: Int32) {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
  }
}
