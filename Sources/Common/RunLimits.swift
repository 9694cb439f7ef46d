/// What a run may take.
package struct RunLimits: Sendable {
  /// Bytes a second that fetch may read, and publish may send; nil for as many as there are.
  package var bytesPerSecond: UInt64?
  /// Seconds after which a run begins nothing new; nil for as long as it takes.
  package var durationSeconds: Int?

  package static let none = RunLimits(bytesPerSecond: nil, durationSeconds: nil)

  package init(bytesPerSecond: UInt64?, durationSeconds: Int?) {
    self.bytesPerSecond = bytesPerSecond
    self.durationSeconds = durationSeconds
  }

  init(_ reader: inout SettingsReader) {
    bytesPerSecond = Self.read(
      "BWLIMIT", &reader, wanted: "bytes a second with their unit, like 512k or 10M, at least 1k; or off",
      byteRate(fromText:))
    durationSeconds = Self.read(
      "MAX_DURATION", &reader, wanted: "a duration like 90s, 45m, 2h or 1d; or off", wholeSeconds(fromText:))
  }

  private static func read<Value>(
    _ name: String, _ reader: inout SettingsReader, wanted: String, _ parse: (String) -> Value?
  ) -> Value? {
    guard let text = reader.text(name), text != "0", text.lowercased() != "off" else { return nil }
    if let value = parse(text) { return value }
    reader.report("\(name) is \(quoted(text)); it must be \(wanted)")
    return nil
  }
}

/// Bytes a second: a number with rclone's suffixes, each 1,024 times the one before.
///
/// | text | bytes |
/// |---|---|
/// | `2048B` | 2,048 |
/// | `512k`, `512K`, `512Ki`, `512KiB` | 524,288 |
/// | `1.5M` | 1,572,864 |
/// | `1G` | 1,073,741,824 |
/// | `512` | nil: to rclone these are KiB, to others bytes |
/// | less than 1,024, or more than 1,024 G | nil |
package func byteRate(fromText text: String) -> UInt64? {
  var unit = text.lowercased()[...]
  let number = unit.prefix { $0.isASCII && ($0.isWholeNumber || $0 == ".") }
  unit = unit.dropFirst(number.count)
  if unit.count > 1, unit.hasSuffix("ib") {
    unit = unit.dropLast(2)
  } else if unit.hasSuffix("i") {
    unit = unit.dropLast()
  }
  let powers: [Substring: Double] = ["b": 1, "k": 1024, "m": 1_048_576, "g": 1_073_741_824]
  guard let factor = powers[unit], let value = Double(number), value.isFinite else { return nil }
  let bytes = value * factor
  return (1024...(1024 * 1_073_741_824)).contains(bytes) ? UInt64(bytes) : nil
}

/// Seconds of a duration: a whole number from 1 to 36,500 and its unit, `s`, `m`, `h` or `d`; nil for anything else.
package func wholeSeconds(fromText text: String) -> Int? {
  let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
  guard let last = text.last, let unit = units[last], text.utf8.first != UInt8(ascii: "+"),
    let count = Int(text.dropLast()), (1...36_500).contains(count)
  else { return nil }
  return count * unit
}
