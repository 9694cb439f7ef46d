internal import Glibc

/// The clocks a decision may need, as values: tests give their own.
package struct Clock: Sendable {
  /// Milliseconds since 1970, UTC: for people. Never compared with another machine's.
  package var wallMilliseconds: @Sendable () -> Int64
  /// Milliseconds since boot, suspended time included (CLOCK_BOOTTIME): for the settle rule.
  package var bootMilliseconds: @Sendable () -> Int64
  /// Tells one boot from another, so that boot times of different boots are not compared.
  package var bootID: String

  package init(
    wallMilliseconds: @escaping @Sendable () -> Int64, bootMilliseconds: @escaping @Sendable () -> Int64,
    bootID: String
  ) {
    self.wallMilliseconds = wallMilliseconds
    self.bootMilliseconds = bootMilliseconds
    self.bootID = bootID
  }

  /// This machine's clocks.
  package static let system = Clock(
    wallMilliseconds: { milliseconds(CLOCK_REALTIME) }, bootMilliseconds: { milliseconds(CLOCK_BOOTTIME) },
    bootID: systemBootID())
}

private func milliseconds(_ clock: clockid_t) -> Int64 {
  var time = timespec()
  clock_gettime(clock, &time)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

/// Seconds on a clock that never goes backward, for deadlines and durations.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Linux's random id of this boot; without one, boot times are never trusted across runs.
private func systemBootID() -> String {
  guard let file = fopen("/proc/sys/kernel/random/boot_id", "re") else { return "" }
  defer { fclose(file) }
  var line = [UInt8](repeating: 0, count: 64)
  let count = fread(&line, 1, line.count, file)
  return String(decoding: line[..<count].filter { $0 > 0x20 }, as: UTF8.self)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T09:00:00.123Z`.
package func timestamp(wallMilliseconds: Int64) -> String {
  let (seconds, fraction) = wallMilliseconds.quotientAndRemainder(dividingBy: 1000)
  let parts = calendar(seconds: fraction < 0 ? seconds - 1 : seconds)
  let milliseconds = Int(fraction < 0 ? fraction + 1000 : fraction)
  return padded(parts.year, 4) + "-" + padded(parts.month, 2) + "-" + padded(parts.day, 2) + "T" + padded(parts.hour, 2)
    + ":" + padded(parts.minute, 2) + ":" + padded(parts.second, 2) + "." + padded(milliseconds, 3) + "Z"
}

/// The form of Signature Version 4's x-amz-date: `20261122T090000Z`.
package func basicTimestamp(wallMilliseconds: Int64) -> String {
  let parts = calendar(seconds: Int64((Double(wallMilliseconds) / 1000).rounded(.down)))
  return padded(parts.year, 4) + padded(parts.month, 2) + padded(parts.day, 2) + "T" + padded(parts.hour, 2)
    + padded(parts.minute, 2) + padded(parts.second, 2) + "Z"
}

/// Milliseconds since 1970 of a timestamp in the form ``timestamp(wallMilliseconds:)`` writes; nil for any other text.
package func wallMilliseconds(fromTimestamp text: String) -> Int64? {
  let bytes = Array(text.utf8)
  guard bytes.count == 24, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] == 0x54, bytes[13] == 0x3a, bytes[16] == 0x3a,
    bytes[19] == 0x2e, bytes[23] == 0x5a
  else { return nil }
  func number(_ range: Range<Int>) -> Int32? { Int32(String(decoding: bytes[range], as: UTF8.self)) }
  guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
    let minute = number(14..<16), let second = number(17..<19), let fraction = number(20..<23)
  else { return nil }
  var parts = tm()
  parts.tm_year = year - 1900
  parts.tm_mon = month - 1
  parts.tm_mday = day
  parts.tm_hour = hour
  parts.tm_min = minute
  parts.tm_sec = second
  return Int64(timegm(&parts)) * 1000 + Int64(fraction)
}

private func calendar(seconds: Int64) -> (year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int) {
  var parts = tm()
  var time = time_t(seconds)
  gmtime_r(&time, &parts)
  return (
    Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday), Int(parts.tm_hour), Int(parts.tm_min),
    Int(parts.tm_sec)
  )
}

private func padded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
