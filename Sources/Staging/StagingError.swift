package import Common

/// A failure of the staging volume itself, as opposed to one file in it.
package struct StagingError: Failure {
  package let code: String
  package let operation: String
  package let subject: String
  package let reason: String
  package let advice: String?
  package let severity: Severity

  package init(
    code: String, operation: String, subject: String, reason: String, advice: String? = nil, severity: Severity
  ) {
    self.code = code
    self.operation = operation
    self.subject = subject
    self.reason = reason
    self.advice = advice
    self.severity = severity
  }

  /// The volume cannot be used as it stands.
  static func unusable(_ directory: String, _ failure: SystemFailure, doing operation: String) -> StagingError {
    let advice: String =
      switch failure.code {
      case "enoent": "make it, or set STAGING_DIR to an existing directory"
      case "eacces", "eperm": "make it writable for this user, or set STAGING_DIR to a directory that is"
      case "erofs": "mount it writable, or set STAGING_DIR to a directory that is"
      case "enotdir", "eloop": "set STAGING_DIR to a directory, not to a file or a symbolic link"
      default: "set STAGING_DIR to a directory on a file system that this user can write to"
      }
    return StagingError(
      code: "staging-unusable", operation: operation, subject: escaped(directory), reason: failure.reason,
      advice: advice, severity: .configuration)
  }

  static func damaged(segment: UInt64, line: Int, _ reason: String) -> StagingError {
    StagingError(
      code: "journal-damaged", operation: "read the journal", subject: "\(segmentName(segment)) line \(line)",
      reason: reason,
      advice: "nothing was changed; restore the journal from a copy, or start a fresh volume", severity: .fatal)
  }

  /// An operation on the volume that must not fail, failed: the run ends.
  package static func broken(_ failure: SystemFailure, doing operation: String) -> StagingError {
    let isFull = failure.code == "enospc" || failure.code == "edquot"
    return StagingError(
      code: isFull ? "staging-full" : "staging-failed", operation: operation, subject: failure.subject,
      reason: failure.reason, advice: isFull ? "free space on the staging volume; the next run continues" : nil,
      severity: isFull ? .guarded : .other)
  }
}

/// The file name of a segment: `00000001.jsonl`.
func segmentName(_ number: UInt64) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".jsonl"
}

/// The number in a segment's file name; nil for any other name.
func segmentNumber(_ name: [UInt8]) -> UInt64? {
  guard name.count >= 14, name.suffix(6).elementsEqual(".jsonl".utf8) else { return nil }
  let digits = name.dropLast(6)
  guard digits.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(String(decoding: digits, as: UTF8.self)),
    segmentName(number).utf8.elementsEqual(name)
  else { return nil }
  return number
}

/// Runs file-system calls and turns their failure into the error of the volume.
package func onVolume<Result>(
  _ operation: String, _ body: () throws(SystemFailure) -> Result
) throws(StagingError) -> Result {
  do throws(SystemFailure) {
    return try body()
  } catch {
    throw .broken(error, doing: operation)
  }
}
