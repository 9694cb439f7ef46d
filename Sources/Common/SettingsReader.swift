internal import FoundationEssentials

/// Everything that is wrong with the configuration, found in one go.
package struct ConfigurationError: Failure {
  /// One line each; names the setting, says what is wrong and what is wanted. Never holds a secret.
  package let problems: [String]

  package init(problems: [String]) { self.problems = problems }

  package var code: String { "configuration" }
  package var operation: String { "read the configuration" }
  package var subject: String { "" }
  package var reason: String { problems.joined(separator: "; ") }
  package var severity: Severity { .configuration }
  package var description: String { "configuration: " + reason }
}

/// Looks settings up by name — flag, then environment, then the file that NAME_FILE names — and collects what is wrong.
package struct SettingsReader {
  private let flags: [String: String]
  private let environment: [String: [UInt8]]
  private let readFile: (String) throws -> [UInt8]
  package private(set) var problems: [String] = []

  /// - Parameters:
  ///   - flags: values given on the command line, under the variable's name.
  ///   - environment: the process's environment, as bytes.
  ///   - readFile: reads a whole file; given so that tests need no disk.
  package init(
    flags: [String: String] = [:], environment: [String: [UInt8]],
    readFile: @escaping (String) throws -> [UInt8] = { Array(try Data(contentsOf: URL(filePath: $0))) }
  ) {
    self.flags = flags
    self.environment = environment
    self.readFile = readFile
  }

  package mutating func report(_ problem: String) { problems.append(problem) }

  /// The value of a setting, or nil when it is set nowhere or empty. Empty counts as not set: `-e NAME=` unsets.
  package mutating func text(_ name: String) -> String? {
    if let flag = flags[name] { return flag }
    let direct = environment[name].flatMap { $0.isEmpty ? nil : $0 }
    let file = environment[name + "_FILE"].flatMap { $0.isEmpty ? nil : $0 }
    if direct != nil, file != nil {
      report("\(name) and \(name)_FILE are both set; set one of them")
      return nil
    }
    var raw: [UInt8]
    if let direct {
      raw = direct
    } else if let file {
      let path = String(decoding: file, as: UTF8.self)
      do {
        raw = try readFile(path)
      } catch {
        report("\(name)_FILE: cannot read \(escaped(path))")
        return nil
      }
      if raw.last == 0x0a { raw.removeLast() }
      if raw.last == 0x0d { raw.removeLast() }
      if raw.isEmpty {
        report("\(name)_FILE: \(escaped(path)) is empty")
        return nil
      }
    } else {
      return nil
    }
    guard let text = String(validating: raw, as: UTF8.self), !raw.contains(0) else {
      report("\(name) is not valid UTF-8 text")
      return nil
    }
    return text
  }

  /// What a file holds that is named by a setting; nil, and a problem, when it cannot be read or is no text.
  package mutating func content(ofFile path: [UInt8], namedBy name: String) -> [UInt8]? {
    let path = String(decoding: path, as: UTF8.self)
    guard let content = try? readFile(path) else {
      report("\(name): cannot read \(escaped(path))")
      return nil
    }
    guard String(validating: content, as: UTF8.self) != nil, !content.contains(0) else {
      report("\(name): \(escaped(path)) is not valid UTF-8 text")
      return nil
    }
    return content
  }

  package mutating func required(_ name: String) -> String {
    let before = problems.count
    if let value = text(name) { return value }
    if problems.count == before { report("\(name) is not set") }
    return ""
  }

  package mutating func secret(_ name: String) -> Secret? { text(name).map(Secret.init) }

  package mutating func integer(_ name: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
    guard let value = text(name) else { return fallback }
    guard let number = Int(value), range.contains(number) else {
      report("\(name) is \(quoted(value)); it must be a whole number from \(range.lowerBound) to \(range.upperBound)")
      return fallback
    }
    return number
  }

  package mutating func flag(_ name: String, default fallback: Bool) -> Bool {
    guard let value = text(name) else { return fallback }
    switch value.lowercased() {
    case "1", "true", "yes", "on": return true
    case "0", "false", "no", "off": return false
    default:
      report("\(name) is \(quoted(value)); it must be 1 or 0")
      return fallback
    }
  }

  package mutating func choice<Value: RawRepresentable & CaseIterable>(
    _ name: String, default fallback: Value
  ) -> Value where Value.RawValue == String {
    guard let value = text(name) else { return fallback }
    if let chosen = Value(rawValue: value.lowercased()) { return chosen }
    report("\(name) is \(quoted(value)); it must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
    return fallback
  }
}

/// A value in an error message: bounded, printable, in quotes, and without what stands before an `@`: in a URL that
/// may be a password.
package func quoted(_ value: String) -> String {
  let shown = value.lastIndex(of: "@").map { "***" + value[$0...] } ?? value
  return "\"" + escaped(String(shown.prefix(80))) + (shown.count > 80 ? "…" : "") + "\""
}
