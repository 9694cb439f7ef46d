import Common
import Foundation
import TestSupport
import Testing

/// What a process takes at most while it mirrors very many files (`make test-long` only).
@Suite struct MemoryTests {
  private static let limitKibibytes = 500 << 10

  @Test(.enabled(if: Scale.isLong)) func aMillionFilesTakeLessThanHalfAGigabyte() throws {
    let rig = try Rig()
    for directory in 0..<10_000 {
      for file in 0..<100 { try rig.serve("year-\(directory % 10)/day-\(directory)/delivery-\(file).csv", "") }
    }
    for _ in ["first", "nothing to do"] {
      let child = try Binary.start(["fetch"], environment: rig.environment(changing: ["SETTLE_SECONDS": "2"]))
      var peak = 0
      while child.isRunning {
        peak = max(peak, peakKibibytes(ofProcess: child.processID) ?? 0)
        pause(milliseconds: 20)
      }
      let outcome = try child.wait(timeout: .seconds(10))
      #expect(outcome.exitCode == ExitCode.done.rawValue, "\(outcome.stderr)")
      #expect(peak > 0 && peak < Self.limitKibibytes)
    }
  }

  /// VmHWM, which the kernel keeps for as long as the process lives.
  private func peakKibibytes(ofProcess process: pid_t) -> Int? {
    guard let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }
  }
}
