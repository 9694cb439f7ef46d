/// Which files of the source are taken.
package struct Selection: Sendable {
  /// Leave out the names that uploading clients use while a file is not whole, whatever the filter says.
  package var excludeDefaults: Bool
  package var filter: PathFilter
  /// A file is taken only when one with its name and this suffix stands beside it; such markers are not taken.
  package var doneSuffix: [UInt8]?

  package init(excludeDefaults: Bool, filter: PathFilter = .everything, doneSuffix: [UInt8]? = nil) {
    self.excludeDefaults = excludeDefaults
    self.filter = filter
    self.doneSuffix = doneSuffix
  }

  init(_ reader: inout SettingsReader) {
    excludeDefaults = reader.flag("EXCLUDE_DEFAULTS", default: true)
    filter = Self.filter(&reader)
    doneSuffix = reader.text("DONE_SUFFIX").map { Array($0.utf8) }
    if let doneSuffix, doneSuffix.contains(slash) || doneSuffix.count > RemotePath.maximumNameLength {
      reader.report("DONE_SUFFIX must be the end of a file name: no slash, at most 255 bytes")
    }
  }

  private static func filter(_ reader: inout SettingsReader) -> PathFilter {
    let include = patterns("INCLUDE", &reader)
    let exclude = patterns("EXCLUDE", &reader)
    var rules: [[UInt8]] = []
    for path in (reader.text("FILTER_FROM") ?? "").utf8.split(separator: 0x0a) {
      guard let content = reader.content(ofFile: Array(path), namedBy: "FILTER_FROM") else { continue }
      let found = lines(content)
      for rule in found {
        check("FILTER_FROM", rule, &reader) { (rule) throws(PathFilter.Fault) in try PathFilter(rules: [rule]) }
      }
      rules += found
    }
    do throws(PathFilter.Fault) {
      return try PathFilter(include: include, exclude: exclude, rules: rules)
    } catch {
      // What is wrong with one pattern alone has been reported.
      if reader.problems.isEmpty { reader.report("INCLUDE, EXCLUDE and FILTER_FROM: \(error.reason)") }
      return .everything
    }
  }

  /// One pattern a line. A value without any is a mistake: an INCLUDE that includes nothing would take nothing, or all.
  private static func patterns(_ name: String, _ reader: inout SettingsReader) -> [[UInt8]] {
    guard let text = reader.text(name) else { return [] }
    let found = lines(Array(text.utf8))
    if found.isEmpty { reader.report("\(name) holds no pattern") }
    for pattern in found {
      check(name, pattern, &reader) { (text) throws(PathFilter.Fault) in try PathFilter(include: [text]) }
    }
    return found
  }

  private static func check(
    _ name: String, _ text: [UInt8], _ reader: inout SettingsReader,
    _ make: ([UInt8]) throws(PathFilter.Fault) -> PathFilter
  ) {
    do throws(PathFilter.Fault) {
      _ = try make(text)
    } catch {
      reader.report("\(name) holds \(quoted(String(decoding: text, as: UTF8.self))): \(error.reason)")
    }
  }

  /// Without spaces around them, empty lines and comments (`#`, `;`), as rclone reads files of patterns.
  private static func lines(_ text: [UInt8]) -> [[UInt8]] {
    text.split(separator: 0x0a).compactMap { line in
      let space: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0d).contains($0) }
      guard let first = line.firstIndex(where: { !space($0) }), let last = line.lastIndex(where: { !space($0) }) else {
        return nil
      }
      let isComment = line[first] == UInt8(ascii: "#") || line[first] == UInt8(ascii: ";")
      return isComment ? nil : Array(line[first...last])
    }
  }
}
