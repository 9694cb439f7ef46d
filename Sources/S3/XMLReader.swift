internal import CExpat

/// Reads a small XML document whose every interesting value is the text of a leaf, as all of S3's are.
///
/// A DOCTYPE ends it with an error: S3 has none, and without one there are no entities to expand. Name space prefixes
/// are ignored, for servers differ in them. The caller bounds the size; depth is bounded here.
package enum XMLReader {
  /// The document is not well-formed, has a DOCTYPE, or is too deep.
  package struct Fault: Error, Sendable {
    package let reason: String
  }

  static let maximumDepth = 32

  /// Calls `ended` at the end of every element, innermost first, with the names from the root to it and its own text.
  package static func read(_ document: [UInt8], ended: (_ path: [String], _ text: [UInt8]) -> Void) throws(Fault) {
    guard let parser = XML_ParserCreate(nil) else { throw Fault(reason: "out of memory") }
    defer { XML_ParserFree(parser) }
    let fault = withoutActuallyEscaping(ended) { ended in
      let state = State(parser: parser, ended: ended)
      XML_SetUserData(parser, Unmanaged.passUnretained(state).toOpaque())
      XML_SetElementHandler(parser, startHandler, endHandler)
      XML_SetCharacterDataHandler(parser, textHandler)
      XML_SetStartDoctypeDeclHandler(parser, doctypeHandler)
      let status = document.withUnsafeBufferPointer { bytes in
        bytes.withMemoryRebound(to: CChar.self) { XML_Parse(parser, $0.baseAddress, Int32($0.count), 1) }
      }
      defer { state.ended = nil }
      return withExtendedLifetime(state) {
        status == XML_STATUS_OK ? nil : state.fault ?? String(cString: XML_ErrorString(XML_GetErrorCode(parser)))
      }
    }
    if let fault { throw Fault(reason: fault) }
  }

  final class State {
    let parser: XML_Parser
    var ended: (([String], [UInt8]) -> Void)?
    var fault: String?
    private var path = [String]()
    /// Own text of every element in `path`.
    private var texts = [[UInt8]]()

    init(parser: XML_Parser, ended: @escaping ([String], [UInt8]) -> Void) {
      self.parser = parser
      self.ended = ended
    }

    func start(_ name: UnsafePointer<CChar>) {
      if path.count == maximumDepth { return stop("more than \(maximumDepth) elements deep") }
      let qualified = String(cString: name)
      let local = qualified.lastIndex(of: ":").map { String(qualified[qualified.index(after: $0)...]) }
      path.append(local ?? qualified)
      texts.append([])
    }

    func text(_ bytes: UnsafeRawBufferPointer) {
      guard !texts.isEmpty else { return }
      texts[texts.count - 1].append(contentsOf: bytes)
    }

    func end() {
      guard let text = texts.popLast() else { return }
      ended?(path, text)
      path.removeLast()
    }

    func stop(_ reason: String) {
      fault = reason
      XML_StopParser(parser, 0)
    }
  }
}

private func state(_ context: UnsafeMutableRawPointer?) -> XMLReader.State {
  Unmanaged<XMLReader.State>.fromOpaque(context!).takeUnretainedValue()
}

private let startHandler: XML_StartElementHandler = { context, name, _ in state(context).start(name!) }
private let endHandler: XML_EndElementHandler = { context, _ in state(context).end() }
private let textHandler: XML_CharacterDataHandler = { context, bytes, count in
  state(context).text(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
}
private let doctypeHandler: XML_StartDoctypeDeclHandler = { context, _, _, _, _ in
  state(context).stop("it has a DOCTYPE")
}
