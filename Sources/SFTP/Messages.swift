/// Message types of SFTP version 3 that this client sends or understands (draft-ietf-secsh-filexfer-02 §3).
enum MessageType {
  static let initialize: UInt8 = 1
  static let version: UInt8 = 2
  static let open: UInt8 = 3
  static let close: UInt8 = 4
  static let read: UInt8 = 5
  static let lstat: UInt8 = 7
  static let fstat: UInt8 = 8
  static let opendir: UInt8 = 11
  static let readdir: UInt8 = 12
  static let realpath: UInt8 = 16
  static let stat: UInt8 = 17
  static let extended: UInt8 = 200
  static let status: UInt8 = 101
  static let handle: UInt8 = 102
  static let data: UInt8 = 103
  static let name: UInt8 = 104
  static let attributes: UInt8 = 105
  static let extendedReply: UInt8 = 201
}

/// What we ask. Every one of them only reads: nothing in this program can change the remote side.
enum Request {
  /// SSH_FXP_OPEN for reading, without attributes (§6.3).
  case open(path: [UInt8])
  case close(handle: [UInt8])
  case read(handle: [UInt8], offset: UInt64, length: UInt32)
  case fstat(handle: [UInt8])
  /// Attributes of a link itself.
  case lstat(path: [UInt8])
  /// Attributes of what a link leads to.
  case stat(path: [UInt8])
  case opendir(path: [UInt8])
  case readdir(handle: [UInt8])
  case realpath(path: [UInt8])
  /// limits@openssh.com (OpenSSH's PROTOCOL, §4.8).
  case limits

  /// Appends the whole packet, its length first.
  func encode(id: UInt32, into writer: inout WireWriter) {
    func head(_ type: UInt8, bodyBytes: Int) {
      writer.uint32(UInt32(1 + 4 + bodyBytes))
      writer.uint8(type)
      writer.uint32(id)
    }
    func plain(_ type: UInt8, _ value: [UInt8]) {
      head(type, bodyBytes: 4 + value.count)
      writer.string(value)
    }
    switch self {
    case .open(let path):
      head(MessageType.open, bodyBytes: 4 + path.count + 4 + 4)
      writer.string(path)
      writer.uint32(0x1)  // SSH_FXF_READ
      writer.uint32(0)  // no attributes
    case .read(let handle, let offset, let length):
      head(MessageType.read, bodyBytes: 4 + handle.count + 8 + 4)
      writer.string(handle)
      writer.uint64(offset)
      writer.uint32(length)
    case .close(let handle): plain(MessageType.close, handle)
    case .fstat(let handle): plain(MessageType.fstat, handle)
    case .lstat(let path): plain(MessageType.lstat, path)
    case .stat(let path): plain(MessageType.stat, path)
    case .opendir(let path): plain(MessageType.opendir, path)
    case .readdir(let handle): plain(MessageType.readdir, handle)
    case .realpath(let path): plain(MessageType.realpath, path)
    case .limits: plain(MessageType.extended, ServerLimits.extensionName)
    }
  }
}

/// One entry of SSH_FXP_NAME (§7); the server's `ls -l` line for it is never read.
struct NamedEntry: Equatable, Sendable {
  var name: [UInt8]
  var attributes: FileAttributes
}

/// What a server answers to a request (§7).
enum Reply: Equatable, Sendable {
  case status(Status)
  case handle([UInt8])
  case data([UInt8])
  case names([NamedEntry])
  case attributes(FileAttributes)
  /// The answer to an extended request, of which only `limits` is ever made.
  case limits(ServerLimits)

  /// For messages about an answer of the wrong kind.
  var kind: String {
    switch self {
    case .status(let status): "status \(status.code)"
    case .handle: "a handle"
    case .data: "data"
    case .names: "names"
    case .attributes: "attributes"
    case .limits: "limits"
    }
  }

  /// Decodes one packet, its length already taken off: type, request id, body.
  static func decode(_ packet: UnsafeRawBufferPointer) throws(WireFault) -> (id: UInt32, reply: Reply) {
    var reader = WireReader(packet)
    let type = try reader.uint8()
    let id = try reader.uint32()
    let reply: Reply
    switch type {
    case MessageType.status:
      let code = try reader.uint32()
      // Message and language tag are required by the draft, and left out by servers that follow an older one.
      let message = reader.remaining == 0 ? [] : try reader.string()
      if reader.remaining > 0 { try reader.skipString() }
      reply = .status(Status(code: code, message: message))
    case MessageType.handle: reply = .handle(try reader.string())
    case MessageType.data: reply = .data(try reader.string())
    case MessageType.name: reply = .names(try names(&reader))
    case MessageType.attributes: reply = .attributes(try reader.attributes())
    case MessageType.extendedReply: reply = .limits(try ServerLimits(&reader))
    default: throw .unknownType(type)
    }
    if case .names = reply { return (id, reply) }  // version 6 servers append an end-of-list flag
    guard reader.remaining == 0 else { throw .trailingBytes }
    return (id, reply)
  }

  private static func names(_ reader: inout WireReader) throws(WireFault) -> [NamedEntry] {
    let count = try reader.uint32()
    // An entry has two lengths and flags at least, so a count beyond that is a lie told to make us reserve memory.
    guard UInt64(count) * 12 <= UInt64(reader.remaining) else { throw .truncated }
    var entries = [NamedEntry]()
    entries.reserveCapacity(Int(count))
    for _ in 0..<count {
      let name = try reader.string()
      try reader.skipString()
      entries.append(NamedEntry(name: name, attributes: try reader.attributes()))
    }
    return entries
  }
}

/// What an OpenSSH server says of itself (limits@openssh.com): four numbers, 0 where there is no limit.
struct ServerLimits: Equatable, Sendable {
  static let extensionName = Array("limits@openssh.com".utf8)

  /// Bytes of one READ.
  var readBytes: UInt32
  /// Files and directories open at once.
  var openHandles: Int

  init(_ reader: inout WireReader) throws(WireFault) {
    func limit(_ number: UInt64) -> UInt32 { number == 0 ? .max : UInt32(clamping: number) }
    _ = try reader.uint64()  // packet length
    readBytes = limit(try reader.uint64())
    _ = try reader.uint64()  // bytes of one WRITE
    openHandles = Int(limit(try reader.uint64()))
  }
}

/// SSH_FXP_INIT and SSH_FXP_VERSION (§4), which have no request id.
enum Greeting {
  /// The client's first packet: version 3.
  static func encode(into writer: inout WireWriter) {
    writer.uint32(5)
    writer.uint8(MessageType.initialize)
    writer.uint32(3)
  }

  /// The server's first packet: its version and the names of its extensions.
  static func decode(_ packet: UnsafeRawBufferPointer) throws(WireFault) -> (version: UInt32, extensions: [[UInt8]]) {
    var reader = WireReader(packet)
    let type = try reader.uint8()
    guard type == MessageType.version else { throw .unknownType(type) }
    let version = try reader.uint32()
    var extensions = [[UInt8]]()
    while reader.remaining > 0 {
      extensions.append(try reader.string())
      try reader.skipString()
    }
    return (version, extensions)
  }
}
