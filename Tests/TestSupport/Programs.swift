internal import Foundation
internal import Glibc

/// The folder of Package.swift, as text.
package let packagePath = packageRoot.path

/// The program under test: a release build, run as its users run it.
package enum Binary {
  package static func path() throws -> String {
    let path = variable("SFTP_TO_S3_BINARY") ?? packagePath + "/.build/release/sftp-to-s3"
    guard access(path, X_OK) == 0 else {
      throw HarnessError("no program to test at \(path): run make build, or set SFTP_TO_S3_BINARY")
    }
    return path
  }

  /// Starts it with this environment and nothing of ours but PATH.
  package static func start(_ arguments: [String], environment: [String: String], stdin: String = "") throws -> Child {
    try Child([path()] + arguments, environment: environment, stdin: stdin)
  }

  package static func run(
    _ arguments: [String], environment: [String: String], stdin: String = "", timeout: Duration = .seconds(120)
  ) throws -> Child.Outcome {
    try start(arguments, environment: environment, stdin: stdin).wait(timeout: timeout)
  }
}

/// Runs a Python script of the repository in the environment that scripts/setup.sh made; returns its standard output.
package func python(
  _ script: String, _ arguments: [String] = [], environment: [String: String] = [:], stdin: String = "",
  timeout: Duration = .seconds(300)
) throws -> String {
  let interpreter = packagePath + "/.venv/bin/python"
  guard access(interpreter, X_OK) == 0 else { throw HarnessError("no \(interpreter): run make setup") }
  let outcome = try Child.run(
    [interpreter, "\(packagePath)/\(script)"] + arguments, environment: environment, stdin: stdin, timeout: timeout)
  guard outcome.exitCode == 0 else {
    throw HarnessError("\(script) \(arguments) exited with \(outcome.exitCode):\n\(outcome.stderr)")
  }
  return outcome.stdout
}

/// A variable of the test run's own environment.
package func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// How much the tests do: enough to be worth it in `make test`, everything in `make test-long` (SFTP_TO_S3_LONG=1).
package enum Scale {
  package static let isLong = variable("SFTP_TO_S3_LONG") == "1"

  package static func of(_ usual: Int, long: Int) -> Int { isLong ? long : usual }

  /// SIGKILLs of a running sync.
  package static let kills = of(50, long: 500)
  /// Files of the tree of many small files.
  package static let smallFiles = of(10_000, long: 100_000)
  /// Random inputs to a decoder or encoder.
  package static let codecInputs = of(100_000, long: 10_000_000)
}
