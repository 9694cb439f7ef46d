internal import Common
internal import Glibc
internal import Synchronization

/// Addresses as getaddrinfo(3) gives them, freed with the last reference.
final class AddressList: @unchecked Sendable {
  // @unchecked: nobody changes the list.
  private let first: UnsafeMutablePointer<addrinfo>

  init(_ first: UnsafeMutablePointer<addrinfo>) { self.first = first }
  deinit { freeaddrinfo(first) }

  var entries: UnfoldFirstSequence<UnsafeMutablePointer<addrinfo>> {
    sequence(first: first, next: { $0.pointee.ai_next })
  }
}

/// Looks up names without being held up by a name service that does not answer: getaddrinfo(3) can take minutes, knows
/// neither a deadline nor a stop request, and cannot be interrupted. So it runs on a thread of its own, which is left
/// to itself when it takes too long.
enum Resolver {
  /// Name, port and flags; an EAI_… code, and the list when that is 0.
  typealias Lookup = @Sendable (String, String, Int32) -> (code: Int32, list: AddressList?)

  static func addresses(
    of settings: SFTPSettings, deadline: Double, stop: StopSignal, lookup: @escaping Lookup = systemLookup
  ) throws(SFTPError) -> AddressList {
    let (host, port) = (settings.host, String(settings.port))
    let errand = Errand {
      let answer = lookup(host, port, AI_ADDRCONFIG | AI_NUMERICSERV)
      // AI_ADDRCONFIG hides loopback addresses on a machine that has no other. A name service that failed is not asked
      // again at once.
      guard noSuchName.contains(answer.code) else { return answer }
      return lookup(host, port, AI_NUMERICSERV)
    }
    while true {
      if let (code, list) = errand.answer {
        if code == 0, let list { return list }
        throw SFTPError(
          code: "name-not-found", operation: "connect", subject: settings.address,
          reason: gai_strerror(code).map { String(cString: $0).lowercased() } ?? "the name cannot be resolved",
          advice: "check SFTP_HOST and the name service", severity: .temporary)
      }
      if stop.isRequested { throw .stopped("connect", settings.address) }
      let left = deadline - monotonicSeconds()
      if left <= 0 {
        throw SFTPError(
          code: "timeout", operation: "connect", subject: settings.address,
          reason: "the name was not resolved within \(settings.timeoutSeconds) s",
          advice: "check the name service; see SFTP_TIMEOUT", severity: .temporary)
      }
      errand.wait(milliseconds: Int32(min(250, (left * 1000).rounded(.up))))
    }
  }

  /// EAI_NONAME, and EAI_ADDRFAMILY and EAI_NODATA, which are GNU's.
  private static let noSuchName: [Int32] = [EAI_NONAME, -9, -5]

  static let systemLookup: Lookup = { host, port, flags in
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = flags
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, port, &hints, &list)
    return (code, list.map(AddressList.init))
  }
}

/// A lookup on a detached thread. The thread and the one that waits hold it together; the last of them lets go of it.
private final class Errand: Sendable {
  private let work: @Sendable () -> (code: Int32, list: AddressList?)
  private let result = Mutex<(code: Int32, list: AddressList?)?>(nil)
  /// A byte comes out of the first when there is a result. Both -1 when there are no more descriptors: waiting then
  /// takes its whole time.
  private let pipe: (out: Int32, into: Int32)

  init(_ work: @escaping @Sendable () -> (code: Int32, list: AddressList?)) {
    self.work = work
    var ends: [Int32] = [-1, -1]
    _ = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
    pipe = (ends[0], ends[1])
    _ = Worker { [self] in
      // Nobody waits for its end.
      pthread_detach(pthread_self())
      run()
    }
  }

  deinit {
    close(pipe.out)
    close(pipe.into)
  }

  var answer: (code: Int32, list: AddressList?)? { result.withLock { $0 } }

  func wait(milliseconds: Int32) {
    sleepUntilReady(pipe.out, reading: true, writing: false, milliseconds: milliseconds)
  }

  private func run() {
    let found = work()
    result.withLock { $0 = found }
    var byte: UInt8 = 1
    _ = write(pipe.into, &byte, 1)
  }
}
