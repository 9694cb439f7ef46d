internal import Common
internal import Logging

@testable internal import SFTP

/// One input. Its first byte says what the rest is: one packet without its length, a greeting, or everything a server
/// says over a connection, in pieces. Traps when something does not hold.
/// - Returns: whether all of it made sense.
@discardableResult
package func fuzz(_ bytes: UnsafeRawBufferPointer) -> Bool {
  guard let kind = bytes.first else { return false }
  let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
  return switch kind % 8 {
  case 0: decodeReply(rest)
  case 1: (try? Greeting.decode(rest)) != nil
  case 2, 3: frame(rest, pieceBytes: kind / 8)
  case 4, 5: walk(rest, pieceBytes: kind / 8)
  default: download(rest, pieceBytes: kind / 8)
  }
}

/// What is read from a packet is never more than was in it.
private func decodeReply(_ packet: UnsafeRawBufferPointer) -> Bool {
  guard let reply = try? Reply.decode(packet).reply else { return false }
  let bytes =
    switch reply {
    case .status(let status): status.message.count
    case .handle(let handle): handle.count
    case .data(let data): data.count
    case .names(let entries): entries.reduce(0) { $0 + 12 + $1.name.count }
    case .attributes, .limits: 0
    }
  precondition(bytes <= packet.count, "more came out than went in")
  return true
}

private func frame(_ bytes: UnsafeRawBufferPointer, pieceBytes: UInt8) -> Bool {
  let channel = FuzzChannel(bytes, pieceBytes: pieceBytes)
  let stream = MessageStream(channel, subject: "", timeoutSeconds: 5, stop: StopSignal())
  guard (try? stream.greet()) != nil else { return false }
  stream.askForLimits()
  var replies = 0
  while (try? stream.receive()) != nil { replies += 1 }
  precondition(stream.broken != nil)
  return replies > 0 && stream.broken?.code == "connection-lost"
}

private let logger = Logger(label: "fuzz", factory: { _ in SwiftLogNoOpLogHandler() })

private func connect(_ bytes: UnsafeRawBufferPointer, _ pieceBytes: UInt8) -> SFTPConnection? {
  try? SFTPConnection(
    channel: FuzzChannel(bytes, pieceBytes: pieceBytes), timeoutSeconds: 5, stop: StopSignal(), logger: logger)
}

private func walk(_ bytes: UnsafeRawBufferPointer, pieceBytes: UInt8) -> Bool {
  guard let connection = connect(bytes, pieceBytes) else { return false }
  return (try? connection.walk([slash], visitor: Visitor())) != nil
}

private func download(_ bytes: UnsafeRawBufferPointer, pieceBytes: UInt8) -> Bool {
  guard let connection = connect(bytes, pieceBytes) else { return false }
  let handler = Handler()
  let result: Void? = try? connection.download(handler, filesInFlight: 3)
  precondition(handler.ended == handler.given, "a file was given and not ended, or ended twice")
  return result != nil && handler.completed > 0
}

/// Hands out what the server says, a few bytes at a time, and then the end; takes whatever is sent.
private final class FuzzChannel: ByteChannel {
  private var bytes: UnsafeRawBufferPointer
  private let pieceBytes: Int

  /// - Parameter pieceBytes: 0 is everything at once.
  init(_ bytes: UnsafeRawBufferPointer, pieceBytes: UInt8) {
    self.bytes = bytes
    self.pieceBytes = pieceBytes == 0 ? .max : Int(pieceBytes)
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Int { bytes.count }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
    let count = min(bytes.count, buffer.count, pieceBytes)
    if count == 0 { return nil }
    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
    bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(count))
    return count
  }

  func wait(milliseconds: Int32) {}
  func close() { bytes = UnsafeRawBufferPointer(rebasing: bytes.prefix(0)) }
}

/// Believes that every name it is told makes a path.
private final class Visitor: TreeVisitor {
  func shouldDescend(into directory: RemotePath) -> Bool { true }
  func found(_ files: [ListedFile], in directory: RemotePath?) {
    for file in files { _ = try! RemotePath(directory: directory, name: file.name) }
  }
  func listedDirectory(_ path: RemotePath?) {}
  func unknownDirectory(_ path: RemotePath?, _ error: SFTPError) { _ = error.description }
  func skipped(directory: RemotePath?, name: [UInt8], reason: SkipReason) { _ = reason.description }
}

/// Wants files of several sizes, the largest there can be among them, and holds the client to its promises.
private final class Handler: DownloadHandler, @unchecked Sendable {
  private static let sizes: [UInt64] = [0, 3, 40_000, .max, 1 << 40, 9]
  private var received = [UInt64](repeating: 0, count: sizes.count)
  private(set) var given: [Int] = []
  private var endedTokens: [Int] = []
  private(set) var completed = 0
  var ended: [Int] { endedTokens.sorted() }

  func next() -> NextDownload {
    let token = given.count
    guard token < Self.sizes.count else { return .none }
    given.append(token)
    return .file(request(token))
  }

  func received(token: Int, bytes: [UInt8]) -> Bool {
    received[token] += UInt64(bytes.count)
    precondition(received[token] <= Self.sizes[token], "more bytes than the file has")
    return true
  }

  func interrupted(token: Int) -> DownloadRequest {
    received[token] = 0
    return request(token)
  }

  private func request(_ token: Int) -> DownloadRequest {
    DownloadRequest(token: token, path: [slash], expected: Fingerprint(size: Self.sizes[token], mtime: 1))
  }

  func finished(token: Int, outcome: DownloadOutcome) {
    endedTokens.append(token)
    if case .complete = outcome {
      precondition(received[token] == Self.sizes[token], "complete, and not whole")
      completed += 1
    }
  }
}
