internal import Common
internal import Foundation
internal import Glibc
internal import Synchronization

/// An SFTP version 3 server over a socket pair, without SSH: it serves a tree from memory, on a thread of its own for
/// each connection, and misbehaves as told.
package final class ScriptedSFTPServer: Sendable {
  package enum Kind: Sendable {
    case file([UInt8])
    case directory, symlink, pipe
  }

  package struct Entry: Sendable {
    package var kind: Kind
    package var mtime: UInt32

    package init(_ kind: Kind, mtime: UInt32 = 1_700_000_000) {
      self.kind = kind
      self.mtime = mtime
    }
  }

  /// `all`: not even a user id, so that the flags are 0.
  package enum Attribute: Sendable { case size, mtime, permissions, all }
  package enum Change: Sendable { case grow, shrink, rewrite }

  /// What goes wrong; nothing by default. Paths are absolute.
  package struct Faults: Sendable {
    /// No DATA has more bytes than this.
    package var bytesPerRead = Int.max
    /// All requests that have arrived are carried out in order and answered in reverse order.
    package var answersInReverse = false
    /// Names in one answer to READDIR.
    package var namesPerPage = 100
    package var listingOmits: Set<Attribute> = []
    package var fstatOmits: Set<Attribute> = []
    package var lstatOmits: Set<Attribute> = []
    /// More names for a directory's listing, with the attributes of an empty file.
    package var extraNames: [[UInt8]: [[UInt8]]] = [:]
    /// Status of every OPEN, OPENDIR, STAT or LSTAT of a path.
    package var refused: [[UInt8]: UInt32] = [:]
    /// Status of the second READDIR of a directory.
    package var listingBreaks: [[UInt8]: UInt32] = [:]
    /// Listing this directory never ends, and never says anything.
    package var emptyPages: Set<[UInt8]> = []
    /// What happens to a file once, after so many READs of it were answered.
    package var changes: [[UInt8]: Change] = [:]
    package var readsBeforeChange = 0
    /// What happens to a file once, before it is opened.
    package var changesAtOpen: [[UInt8]: Change] = [:]
    /// READs from here on are answered with the end of the file, whatever its size is said to be.
    package var endsAt: [[UInt8]: Int] = [:]
    /// A file is gone when it has been closed.
    package var isReadOnce = false
    /// The line that draft-02 sends with each name for people to read.
    package var longname = "not to be parsed"
    /// Handles open at once; more get SSH_FX_FAILURE.
    package var handles = Int.max
    /// The connection ends after so many bytes of answers.
    package var cutAfterBytes = Int.max
    /// The connection goes silent after so many bytes of answers.
    package var silentAfterBytes = Int.max
    /// Opening one of these ends the connection.
    package var deadly: Set<[UInt8]> = []
    /// Waits so long before each answer …
    package var pauseMilliseconds: UInt32 = 0
    /// … and between the bytes of an answer, when this is set.
    package var trickles = false
    /// Every READ is answered with no bytes and no error.
    package var emptyData = false
    /// READs from the beginning of a file get no answer.
    package var withholdsFirstRead = false
    /// This, as it is, takes the place of the first answer to a READ.
    package var garbage: [UInt8]?

    package init() {}
  }

  /// What clients did, for all connections.
  package struct Statistics: Sendable {
    package var openHandles = 0
    package var mostOpenHandles = 0
    package var opens: [[UInt8]: Int] = [:]
    package var reads = 0
    /// Bytes of files in answers to READs.
    package var bytesRead = 0
    /// Where the first READ over each handle of a file began, in order.
    package var firstReads: [[UInt8]: [Int]] = [:]
    package var connections = 0
  }

  struct State {
    var tree: [[UInt8]: Entry]
    var faults: Faults
    var statistics = Statistics()
  }

  let state: Mutex<State>

  /// Serves these entries, by absolute path; directories on the way to them need not be named.
  package init(_ entries: [[UInt8]: Entry], faults: Faults = Faults()) {
    var tree = entries
    tree[[slash]] = Entry(.directory)
    for path in entries.keys {
      for cut in path.indices.dropFirst() where path[cut] == slash {
        let parent = Array(path[..<cut])
        tree[parent] = tree[parent] ?? Entry(.directory)
      }
    }
    state = Mutex(State(tree: tree, faults: faults))
  }

  /// Serves files by absolute path.
  package convenience init(files: [String: [UInt8]], faults: Faults = Faults()) {
    self.init(
      Dictionary(uniqueKeysWithValues: files.map { (Array($0.key.utf8), Entry(.file($0.value))) }), faults: faults)
  }

  package var statistics: Statistics { state.withLock { $0.statistics } }

  /// Adds, replaces or, with nil, removes an entry.
  package func set(_ path: String, _ entry: Entry?) {
    state.withLock { $0.tree[Array(path.utf8)] = entry }
  }

  package func setFaults(_ faults: Faults) { state.withLock { $0.faults = faults } }

  /// A new connection: the descriptor of the client's end, which the caller owns.
  package func connect() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw ScriptError(description: "socketpair: errno \(errno)") }
    let descriptor = ends[1]
    state.withLock { $0.statistics.connections += 1 }
    Thread.detachNewThread {
      let connection = ScriptedConnection(self, descriptor)
      connection.serve()
    }
    return ends[0]
  }
}

private struct ScriptError: Error, CustomStringConvertible { let description: String }

/// One client's connection: framing, faults of the connection, and the order of answers.
private final class ScriptedConnection {
  private let server: ScriptedSFTPServer
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var handles: [[UInt8]: Handle] = [:]
  private var nextHandle: UInt32 = 0
  private var sentBytes = 0
  private var isDead = false

  private struct Handle {
    var path: [UInt8]
    var names: [[UInt8]] = []
    var pages = 0
    var reads = 0
    var isFile = false
  }

  init(_ server: ScriptedSFTPServer, _ descriptor: Int32) {
    self.server = server
    self.descriptor = descriptor
  }

  func serve() {
    while let packets = receive() {
      var answers = packets.map { packet in server.state.withLock { answer(packet, &$0) } }
      let faults = server.state.withLock { $0.faults }
      if faults.answersInReverse { answers.reverse() }
      let isAlive = answers.allSatisfy { send($0, faults) }
      if !isAlive || isDead { break }
    }
    let left = handles.count
    server.state.withLock { $0.statistics.openHandles -= left }
    close(descriptor)
  }

  /// Waits for at least one whole packet; nil when the client has gone.
  private func receive() -> [[UInt8]]? {
    while true {
      var packets: [[UInt8]] = []
      var start = 0
      while buffer.count - start >= 4 {
        let length = Int(ScriptReader(Array(buffer[start..<(start + 4)])).peek32())
        guard buffer.count - start >= 4 + length else { break }
        packets.append(Array(buffer[(start + 4)..<(start + 4 + length)]))
        start += 4 + length
      }
      buffer.removeFirst(start)
      if !packets.isEmpty { return packets }
      var chunk = [UInt8](repeating: 0, count: 65_536)
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count <= 0 { return nil }
      buffer.append(contentsOf: chunk[..<count])
    }
  }

  /// Sends one answer, or what the faults leave of it; false when the connection is to end.
  private func send(_ answer: [UInt8], _ faults: ScriptedSFTPServer.Faults) -> Bool {
    if sentBytes + answer.count > faults.silentAfterBytes { return true }
    var bytes = answer[...]
    if sentBytes + answer.count > faults.cutAfterBytes {
      bytes = bytes.prefix(max(0, faults.cutAfterBytes - sentBytes))
    }
    sentBytes += bytes.count
    if faults.pauseMilliseconds > 0, !faults.trickles { usleep(faults.pauseMilliseconds * 1000) }
    while !bytes.isEmpty {
      if faults.trickles { usleep(faults.pauseMilliseconds * 1000) }
      let most = faults.trickles ? 1 : bytes.count
      let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, most, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { return false }
      bytes = bytes.dropFirst(count)
    }
    return sentBytes < faults.cutAfterBytes
  }

  private func answer(_ packet: [UInt8], _ state: inout ScriptedSFTPServer.State) -> [UInt8] {
    var reader = ScriptReader(packet)
    let type = reader.byte()
    if type == 1 { return framed([2] + word(3) + string("scripted@example.com") + string("1")) }
    let id = reader.word()
    func status(_ code: UInt32) -> [UInt8] {
      framed([101] + word(id) + word(code) + string("status \(code)") + word(0))
    }
    func attributes(_ entry: ScriptedSFTPServer.Entry?, _ omitted: Set<ScriptedSFTPServer.Attribute>) -> [UInt8] {
      entry.map { framed([105] + word(id) + encode($0, omitted)) } ?? status(2)
    }
    let subject = reader.string()
    let faults = state.faults
    switch type {
    case 3, 11:  // OPEN, OPENDIR
      if faults.deadly.contains(subject) {
        isDead = true
        return []
      }
      if let code = faults.refused[subject] { return status(code) }
      if let change = state.faults.changesAtOpen.removeValue(forKey: subject) { apply(change, subject, &state) }
      guard let entry = state.tree[subject] else { return status(2) }
      if case .directory = entry.kind, type == 3 { return status(4) }
      if state.statistics.openHandles >= faults.handles { return status(4) }
      return framed([102] + word(id) + string(open(subject, type, &state)))
    case 4:  // CLOSE
      guard let handle = handles.removeValue(forKey: subject) else { return status(4) }
      state.statistics.openHandles -= 1
      if faults.isReadOnce, handle.isFile { state.tree[handle.path] = nil }
      return status(0)
    case 5:  // READ
      guard let handle = handles[subject] else { return status(4) }
      handles[subject]?.reads += 1
      return read(id, handle, &reader, &state) ?? status(1)
    case 7, 17:  // LSTAT, STAT
      if let code = faults.refused[subject] { return status(code) }
      return attributes(state.tree[subject], faults.lstatOmits)
    case 8:  // FSTAT
      guard let handle = handles[subject] else { return status(4) }
      return attributes(state.tree[handle.path], faults.fstatOmits)
    case 12:  // READDIR
      return list(id, subject, state) ?? status(handles[subject].map { faults.listingBreaks[$0.path] ?? 1 } ?? 4)
    case 16:  // REALPATH
      return framed([104] + word(id) + word(1) + string(subject == [] ? [slash] : subject) + word(0) + word(0))
    default: return status(8)
    }
  }

  private func open(_ path: [UInt8], _ type: UInt8, _ state: inout ScriptedSFTPServer.State) -> [UInt8] {
    var handle = Handle(path: path, isFile: type == 3)
    if type == 11 {
      let prefix = path == [slash] ? path : path + [slash]
      let names = state.tree.keys.filter { $0.starts(with: prefix) && $0.count > prefix.count }
        .map { Array($0.dropFirst(prefix.count)) }.filter { !$0.contains(slash) }
      handle.names = ([[0x2e], [0x2e, 0x2e]] + names + (state.faults.extraNames[path] ?? [])).reversed()
    }
    nextHandle += 1
    let name = Array("handle \(nextHandle)".utf8)
    handles[name] = handle
    state.statistics.opens[path, default: 0] += 1
    state.statistics.openHandles += 1
    state.statistics.mostOpenHandles = max(state.statistics.mostOpenHandles, state.statistics.openHandles)
    return name
  }

  private func read(
    _ id: UInt32, _ handle: Handle, _ reader: inout ScriptReader,
    _ state: inout ScriptedSFTPServer.State
  ) -> [UInt8]? {
    state.statistics.reads += 1
    if let garbage = state.faults.garbage {
      state.faults.garbage = nil
      return garbage
    }
    if handle.reads >= state.faults.readsBeforeChange,
      let change = state.faults.changes.removeValue(forKey: handle.path)
    {
      apply(change, handle.path, &state)
    }
    if state.faults.withholdsFirstRead {
      var peeked = reader
      if peeked.word() == 0, peeked.word() == 0 { return [] }
    }
    if state.faults.emptyData { return framed([103] + word(id) + word(0)) }
    let offset = Int(reader.word()) << 32 | Int(reader.word())
    let length = min(Int(reader.word()), state.faults.bytesPerRead)
    guard case .file(let content) = state.tree[handle.path]?.kind else { return nil }
    let end = min(content.count, state.faults.endsAt[handle.path] ?? .max)
    guard offset < end else { return nil }
    let bytes = Array(content[offset..<min(end, offset + length)])
    state.statistics.bytesRead += bytes.count
    if handle.reads == 0 { state.statistics.firstReads[handle.path, default: []].append(offset) }
    return framed([103] + word(id) + string(bytes))
  }

  private func apply(_ change: ScriptedSFTPServer.Change, _ path: [UInt8], _ state: inout ScriptedSFTPServer.State) {
    guard var entry = state.tree[path], case .file(var content) = entry.kind else { return }
    switch change {
    case .grow: content += [1, 2, 3]
    case .shrink: content.removeLast(content.count / 2)
    case .rewrite: content = content.map { ~$0 }
    }
    entry.kind = .file(content)
    entry.mtime += 1
    state.tree[path] = entry
  }

  private func list(_ id: UInt32, _ name: [UInt8], _ state: ScriptedSFTPServer.State) -> [UInt8]? {
    guard var handle = handles[name] else { return nil }
    if state.faults.emptyPages.contains(handle.path) { return framed([104] + word(id) + word(0)) }
    if handle.names.isEmpty || handle.pages > 0 && state.faults.listingBreaks[handle.path] != nil { return nil }
    let page = handle.names.suffix(state.faults.namesPerPage)
    handle.names.removeLast(page.count)
    handle.pages += 1
    handles[name] = handle
    var body = [104] + word(id) + word(UInt32(page.count))
    let prefix = handle.path == [slash] ? handle.path : handle.path + [slash]
    for name in page.reversed() {
      let isDot = name == [0x2e] || name == [0x2e, 0x2e]
      let entry = isDot ? .init(.directory) : state.tree[prefix + name] ?? .init(.file([]))
      body += string(name) + string(state.faults.longname) + encode(entry, state.faults.listingOmits)
    }
    return framed(body)
  }
}
