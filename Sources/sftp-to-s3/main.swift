internal import ArgumentParser
internal import Common
internal import Glibc

// Parse → configuration → run → exit code. The only place that ends the process.
Memory.giveBackLargeBlocks()
Signals.install()
Signals.raiseFileLimit()
Glibc.exit(Program.main(Array(CommandLine.arguments.dropFirst())).rawValue)

enum Program {
  /// Runs the command line and says how the process shall end. Usage errors are 2, as in the contract, not
  /// ArgumentParser's 64.
  static func main(_ arguments: [String]) -> Common.ExitCode {
    do {
      var command = try RootCommand.parseAsRoot(arguments)
      if let own = command as? any RunnableCommand { return try own.execute() }
      try command.run()
      return .done
    } catch {
      let text = RootCommand.fullMessage(for: error)
      if RootCommand.exitCode(for: error) == .success {
        Output.print(text)
        return .done
      }
      Output.complain(text)
      return .configuration
    }
  }
}
