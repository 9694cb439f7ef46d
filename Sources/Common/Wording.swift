internal import Glibc

/// A number of bytes for people: `512 B`, `1.2 MB`.
package func byteCount(_ bytes: UInt64) -> String {
  if bytes < 1_000 { return "\(bytes) B" }
  var value = Double(bytes) / 1_000
  for unit in ["kB", "MB", "GB", "TB"] {
    if value < 999.95 { return "\(tenths(value)) \(unit)" }
    value /= 1_000
  }
  return "\(tenths(value)) PB"
}

/// A duration for people: `0.4 s`.
package func duration(_ seconds: Double) -> String { "\(tenths(seconds)) s" }

/// The first few of a list, and how many more there are.
package func named(_ items: [String], atMost count: Int = 5) -> String {
  let shown = items.prefix(count).joined(separator: ", ")
  return items.count > count ? "\(shown) and \(items.count - count) more" : shown
}

private func tenths(_ value: Double) -> String {
  let scaled = Int((value * 10).rounded())
  return "\(scaled / 10).\(scaled % 10)"
}

/// Sleeps, without a deadline tighter than the scheduler's.
package func pause(milliseconds: Int64) {
  guard milliseconds > 0 else { return }
  usleep(UInt32(min(milliseconds, 60_000)) * 1_000)
}
