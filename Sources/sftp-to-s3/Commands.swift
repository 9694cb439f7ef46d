internal import ArgumentParser
internal import Audit
internal import Common
internal import Logging
internal import Mirror
internal import Staging

/// A command that says itself how the process shall end.
protocol RunnableCommand: ParsableCommand {
  func execute() throws -> Common.ExitCode
}

struct RootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sftp-to-s3",
    abstract: "Mirror an SFTP folder into an S3 bucket through a staging volume: every file, whole, once, provably.",
    discussion: """
      Two phases meet in the staging volume: fetch takes settled files from the SFTP server and journals them, publish \
      sends what the journal says is staged and not yet in the bucket. Each goes on when the other side is down.

      All settings come from the environment; each NAME can also be given as NAME_FILE, the path of a file that holds \
      the value. Required: SFTP_HOST SFTP_USER SFTP_FOLDER_NAME, SFTP_PASS or SFTP_KEY_FILE, S3_ENDPOINT \
      S3_BUCKET_NAME S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY. README.md has the whole table.

      Exit codes: 0 done · 1 other error · 2 usage or configuration · 5 temporary, run again · 6 done, but some files \
      failed or some directories are unknown · 7 authentication, host key or damaged journal · 8 a guard stopped it · \
      75 another run holds the lock
      """,
    version: programVersion,
    subcommands: [
      Sync.self, FullSync.self, Fetch.self, Publish.self, Status.self, List.self, Health.self, ShowConfiguration.self,
    ])
}

struct CommonOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The staging volume (STAGING_DIR, default /staging).", valueName: "dir"))
  var stagingDir: String?

  @Flag(name: [.short, .long], help: "Log details too (LOG_LEVEL=debug).")
  var verbose = false

  @Flag(name: [.short, .long], help: "Log only warnings and errors (LOG_LEVEL=warning).")
  var quiet = false

  /// Flags under the names of their variables.
  var settings: [String: String] {
    var settings: [String: String] = [:]
    settings["STAGING_DIR"] = stagingDir
    if quiet { settings["LOG_LEVEL"] = "warning" }
    if verbose { settings["LOG_LEVEL"] = "debug" }
    return settings
  }
}

struct DryRunOptions: ParsableArguments {
  @Flag(
    name: [.customShort("n"), .customLong("dry-run")],
    help: """
      List and compare, write nothing: one line a path, = same, + new, * changed, - gone from the remote, ~ waiting, \
      ! unknown, > staged and to be sent (DRY_RUN=1).
      """)
  var isOn = false

  @Flag(help: "With --dry-run: one JSON object a line.") var json = false

  var settings: [String: String] { isOn ? ["DRY_RUN": "1"] : [:] }
}

struct RunOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Move at most so many bytes a second: 512k, 10M, 1.5G (BWLIMIT, default off).", valueName: "rate"))
  var bwlimit: String?

  @Option(
    help: ArgumentHelp(
      "Begin nothing new after this time: 45m, 2h (MAX_DURATION, default off). The next run continues.",
      valueName: "duration"))
  var maxDuration: String?

  var settings: [String: String] {
    var settings: [String: String] = [:]
    settings["BWLIMIT"] = bwlimit
    settings["MAX_DURATION"] = maxDuration
    return settings
  }
}

struct FetchOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file is fetched when it has not changed for this long (SETTLE_SECONDS, default 45).", valueName: "seconds"))
  var settleSeconds: Int?

  @Option(
    name: .customLong("include"),
    help: ArgumentHelp(
      "Take only paths that match (INCLUDE); may be repeated. Patterns are rclone's: * ** ? [a-z] {a,b} /top dir/.",
      valueName: "pattern"))
  var includes: [String] = []

  @Option(
    name: .customLong("exclude"),
    help: ArgumentHelp("Leave out paths that match (EXCLUDE); may be repeated.", valueName: "pattern"))
  var excludes: [String] = []

  @Option(
    name: .customLong("filter-from"),
    help: ArgumentHelp(
      "Read rules \"+ pattern\" and \"- pattern\", one a line, from a file (FILTER_FROM); may be repeated.",
      valueName: "file"))
  var filterFiles: [String] = []

  @Flag(help: "Accept that the SFTP server, user or folder of this volume has moved, and record it (REBIND=1).")
  var rebind = false

  var settings: [String: String] {
    var settings: [String: String] = [:]
    settings["SETTLE_SECONDS"] = settleSeconds.map(String.init)
    if !includes.isEmpty { settings["INCLUDE"] = lines(includes) }
    if !excludes.isEmpty { settings["EXCLUDE"] = lines(excludes) }
    if !filterFiles.isEmpty { settings["FILTER_FROM"] = filterFiles.joined(separator: "\n") }
    if rebind { settings["REBIND"] = "1" }
    return settings
  }

  /// Patterns as a variable holds them; one of the command line is never a comment.
  private func lines(_ patterns: [String]) -> String {
    patterns.map { $0.hasPrefix("#") || $0.hasPrefix(";") ? "\\" + $0 : $0 }.joined(separator: "\n")
  }
}

struct Sync: RunnableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fetch, then publish: what cron runs every minute.",
    discussion: """
      Example:
        SETTLE_SECONDS=0 sftp-to-s3 sync
      """)
  @OptionGroup var common: CommonOptions
  @OptionGroup var fetch: FetchOptions
  @OptionGroup var limits: RunOptions
  @OptionGroup var dryRun: DryRunOptions

  func execute() -> Common.ExitCode { work(.sync, dryRun, common.settings, fetch.settings, limits.settings) }
}

struct FullSync: RunnableCommand {
  static let configuration = CommandConfiguration(
    commandName: "full-sync", abstract: "Like sync, but observes everything itself and trusts no earlier observation.",
    discussion: """
      Reads again, at most 1 GiB a run, what was staged before all modification times shifted by an hour, as they do on
      some servers when daylight saving begins or ends.
      """)
  @OptionGroup var common: CommonOptions
  @OptionGroup var fetch: FetchOptions
  @OptionGroup var limits: RunOptions
  @OptionGroup var dryRun: DryRunOptions

  func execute() -> Common.ExitCode { work(.fullSync, dryRun, common.settings, fetch.settings, limits.settings) }
}

struct Fetch: RunnableCommand {
  static let configuration = CommandConfiguration(
    abstract: "SFTP folder → staging volume. Needs no S3 settings.")
  @OptionGroup var common: CommonOptions
  @OptionGroup var fetch: FetchOptions
  @OptionGroup var limits: RunOptions
  @OptionGroup var dryRun: DryRunOptions

  func execute() -> Common.ExitCode { work(.fetch, dryRun, common.settings, fetch.settings, limits.settings) }
}

struct Publish: RunnableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Staging volume → bucket. Needs no SFTP settings; run it again after an outage of S3.")
  @OptionGroup var common: CommonOptions
  @OptionGroup var limits: RunOptions
  @OptionGroup var dryRun: DryRunOptions

  func execute() -> Common.ExitCode { work(.publish, dryRun, common.settings, limits.settings) }
}

struct Status: RunnableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What is staged, what is pending, how the last runs went. Takes no lock, needs no credentials.",
    discussion: """
      Example:
        sftp-to-s3 status --json | jq .backlog
      """)
  @OptionGroup var common: CommonOptions
  @Flag(help: "Print one JSON document.") var json = false

  func execute() throws -> Common.ExitCode {
    read(common.settings) { snapshot, destination in
      let view = StatusView(snapshot, destination: destination)
      return json ? Output.print(bytes: try encodeJSON(view)) : Output.print(view.text)
    }
  }
}

struct List: RunnableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "List the staged files and where each stands. Takes no lock, needs no credentials.",
    discussion: """
      Example:
        sftp-to-s3 ls reports/2026 --json | jq -r 'select(.state=="pending").path'
      """)
  @OptionGroup var common: CommonOptions
  @Argument(help: "Only this path and what is below it.") var path: String?
  @Flag(help: "Print one JSON object a line.") var json = false

  func execute() throws -> Common.ExitCode {
    let prefix: RemotePath?
    do throws(RemotePath.Fault) {
      prefix = try path.map { text throws(RemotePath.Fault) in try RemotePath(String(text.trimmingSlashes)) }
    } catch {
      Output.complain("Error: \(quoted(path ?? "")) is not a path: \(error.rawValue)")
      return .configuration
    }
    return read(common.settings) { snapshot, destination in
      for line in ListedPath.all(in: snapshot.state, below: prefix, destination: destination) {
        guard json ? Output.print(bytes: line.json + [0x0a]) : Output.print(line.text) else { return false }
      }
      return true
    }
  }
}

/// Runs a work command with the configuration of the process, or shows what it would do.
private func work(
  _ command: MirrorRun.Command, _ dryRun: DryRunOptions, _ flags: [String: String]...
) -> Common.ExitCode {
  let flags = flags.reduce(into: dryRun.settings) { all, some in all.merge(some) { $1 } }
  return configured(flags, needs: command.needs) { configuration, logger in
    if configuration.isDryRun {
      return MirrorPreview(command, configuration: configuration, stop: Signals.stop, logger: logger)
        .run(json: dryRun.json) { Output.print(bytes: $0 + [0x0a]) }
    }
    if dryRun.json {
      Output.complain("Error: --json goes with --dry-run")
      return .configuration
    }
    return MirrorRun(command, configuration: configuration, stop: Signals.stop, logger: logger).run()
  }
}

/// Runs a reading command: configuration without credentials, a snapshot without a lock.
private func read(
  _ flags: [String: String], _ show: (StagingSnapshot, Destination?) throws -> Bool
) -> Common.ExitCode {
  configured(flags, needs: []) { configuration, logger in
    do {
      becomeReader(of: configuration.staging.directory)
      let snapshot = try StagingSnapshot.take(path: configuration.staging.directory)
      return try show(snapshot, configuration.destination) ? .done : .other
    } catch let failure as any Failure {
      logger.error("\(failure)")
      return failure.severity.exitCode
    } catch {
      logger.error("\(error)")
      return .other
    }
  }
}

/// Root without the capability to read everything reads as the volume's owner does.
func becomeReader(of directory: String) {
  // What then cannot be read is told by the reading.
  _ = try? VolumeOwner.becomeOwner(ofVolumeAt: directory)
}

func configured(
  _ flags: [String: String], needs: Configuration.Needs, _ body: (Configuration, Logger) -> Common.ExitCode
) -> Common.ExitCode {
  let reader = SettingsReader(flags: flags, environment: ProcessEnvironment.current())
  do throws(ConfigurationError) {
    let configuration = try Configuration(reader, needs: needs)
    return body(configuration, Logger.standard(configuration.logLevel))
  } catch {
    let logger = Logger.standard(.error)
    for problem in error.problems { logger.error("configuration: \(problem)") }
    return .configuration
  }
}

extension String {
  fileprivate var trimmingSlashes: Substring {
    var rest = self[...]
    while rest.hasPrefix("/") { rest = rest.dropFirst() }
    while rest.hasSuffix("/") { rest = rest.dropLast() }
    return rest
  }
}
