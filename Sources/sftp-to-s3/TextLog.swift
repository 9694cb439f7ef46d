internal import Common
internal import Logging

extension Logger {
  /// A logger that writes one line an event to stderr.
  static func standard(_ level: Configuration.LogLevel) -> Logger {
    var logger = Logger(label: "sftp-to-s3") { _ in TextLog() }
    logger.logLevel =
      switch level {
      case .debug: .debug
      case .info: .info
      case .warning: .warning
      case .error: .error
      }
    return logger
  }
}

/// `2026-11-22T09:00:00.123Z warning cannot fetch a file path=a.csv reason="permission denied"`.
struct TextLog: LogHandler {
  var logLevel = Logger.Level.info
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = timestamp(wallMilliseconds: Clock.system.wallMilliseconds())
    line += " \(event.level.rawValue.padding(to: 7)) \(event.message)"
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }
    for (key, value) in fields.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(Self.shown("\(value)"))" }
    Output.complain(Self.oneLine(line))
  }

  private static func shown(_ value: String) -> String {
    value.isEmpty || value.contains(" ") || value.contains("\"")
      ? "\"" + value.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"") + "\"" : value
  }

  /// Whatever a library put into a message, it stays one line.
  private static func oneLine(_ text: String) -> String {
    func breaks(_ scalar: Unicode.Scalar) -> Bool {
      scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || (0x2028...0x2029).contains(scalar.value)
    }
    guard text.unicodeScalars.contains(where: breaks) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { breaks($0) ? " " : $0 }))
  }
}

extension String {
  fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
