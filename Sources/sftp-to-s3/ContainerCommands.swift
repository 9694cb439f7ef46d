internal import ArgumentParser
internal import Audit
internal import Common
internal import Staging

struct Health: RunnableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Exit 0 when both phases have lately succeeded or a run makes progress, else 1. For HEALTHCHECK.",
    discussion: """
      Prints one line. A run of many hours is healthy as long as it gets somewhere; a phase that keeps failing is \
      not, however busy it is. Reads two small files of the staging volume, takes no lock, needs no credentials.

      Example:
        sftp-to-s3 health --max-age 3h
      """)
  @OptionGroup var common: CommonOptions
  @Option(help: ArgumentHelp("How long ago is still lately: 90s, 10m, 3h.", valueName: "duration"))
  var maxAge = WholeDuration(seconds: 600)

  func execute() -> Common.ExitCode {
    configured(common.settings, needs: []) { configuration, _ in
      let path = configuration.staging.directory
      becomeReader(of: path)
      do throws(StagingError) {
        let pulse = try VolumePulse(path: path)
        let view = HealthView(
          pulse.report, progressMilliseconds: pulse.progressMilliseconds,
          nowMilliseconds: Clock.system.wallMilliseconds(), maximumAgeSeconds: maxAge.seconds)
        Output.print(view.text)
        return view.isHealthy ? .done : .other
      } catch {
        Output.print("unhealthy: \(error)")
        return .other
      }
    }
  }
}

struct ShowConfiguration: RunnableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Validate all settings and show what they mean, without secrets. Connects to nothing.",
    discussion: "Exit code 2 names everything that is wrong, as every command does before it begins.")
  @OptionGroup var common: CommonOptions

  func execute() -> Common.ExitCode {
    configured(common.settings, needs: [.sftp, .s3]) { configuration, _ in
      Output.print(ConfigurationView.text(configuration)) ? .done : .other
    }
  }
}

/// A duration on the command line: a whole number and its unit.
struct WholeDuration: ExpressibleByArgument, CustomStringConvertible {
  private static let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
  let seconds: Int

  init(seconds: Int) { self.seconds = seconds }

  init?(argument: String) {
    guard let seconds = wholeSeconds(fromText: argument) else { return nil }
    self.seconds = seconds
  }

  var defaultValueDescription: String { description }
  var description: String {
    let unit = Self.units.last { seconds % $0.1 == 0 } ?? ("s", 1)
    return "\(seconds / unit.1)\(unit.0)"
  }
}
