internal import CLibCurl
internal import Common
internal import Glibc

/// Many HTTP/1.1 requests at once on the thread that calls it: libcurl's multi handle over epoll(7), so that a step
/// costs what has happened, not what is open.
///
/// Never more transfers than the caller started; how many that are is the caller's business. Proxies are those of
/// libcurl's standard variables (`https_proxy`, `no_proxy`, …).
package final class HTTPEngine {
  package let waker: Waker
  private let settings: HTTPSettings
  private let epoll: Int32
  private let multi: MultiHandle
  private let share: ShareHandle
  private var idle = [Transfer]()
  private var active = [UnsafeMutableRawPointer: Transfer]()
  private var events = [epoll_event](repeating: epoll_event(), count: 64)
  /// When libcurl wants to be called although no socket is ready, on the monotonic clock; nil: it does not.
  private var timer: Double?
  /// When to look again for answers that are overdue, on the monotonic clock.
  private var nextSweep = 0.0
  private static let sweepSeconds = 0.25

  package init(_ settings: HTTPSettings) throws(TransportError) {
    self.settings = settings
    waker = try Waker()
    share = try ShareHandle()
    multi = try MultiHandle()
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    if epoll < 0 { throw TransportError(kind: .other, reason: "epoll_create1: " + errnoText(errno)) }
    watch(waker.descriptor, EPOLLIN.rawValue, isNew: true)
    let context = Unmanaged.passUnretained(self).toOpaque()
    _ = multi_set_callbacks(multi.raw, socketCallback, timerCallback, context)
  }

  /// Requests started and not yet completed.
  package var activeCount: Int { active.count }

  /// Takes a request; it runs in the following steps. Throws when it can never be sent.
  package func start(_ request: HTTPRequest, ticket: Int) throws(TransportError) {
    let transfer = try available()
    do {
      try transfer.prepare(request, ticket: ticket)
    } catch {
      idle.append(transfer)
      throw error
    }
    active[transfer.easy.raw] = transfer
    let code = curl_multi_add_handle(multi.raw, transfer.easy.raw)
    precondition(code == CURLM_OK, "libcurl refused a transfer")
  }

  /// Waits until something happens, at most `waitMilliseconds`, does it, and gives every request that ended to
  /// `completed`, which may start others.
  package func step(waitMilliseconds: Int, completed: (Int, Result<HTTPResponse, TransportError>) -> Void) {
    var wait = Double(waitMilliseconds)
    if let timer { wait = min(wait, max(0, (timer - monotonicSeconds()) * 1000)) }
    if !active.isEmpty { wait = min(wait, Self.sweepSeconds * 1000) }
    let count = epoll_wait(epoll, &events, Int32(events.count), Int32(wait.rounded(.up)))
    var running: Int32 = 0
    for index in 0..<max(0, Int(count)) {
      let event = events[index]
      if event.data.fd == waker.descriptor {
        waker.clear()
      } else {
        curl_multi_socket_action(multi.raw, event.data.fd, selection(event.events), &running)
      }
    }
    if let timer, timer <= monotonicSeconds() {
      self.timer = nil
      curl_multi_socket_action(multi.raw, -1, 0, &running)
    }
    collect(completed)
    sweep(completed)
  }

  /// Ends all requests at once, without an answer; returns their tickets.
  package func abandon() -> [Int] {
    let tickets = active.values.map(\.ticket)
    for transfer in active.values { release(transfer, CURLE_ABORTED_BY_CALLBACK) }
    return tickets
  }

  private func available() throws(TransportError) -> Transfer {
    if let transfer = idle.popLast() { return transfer }
    return try Transfer(settings: settings, share: share)
  }

  private func collect(_ completed: (Int, Result<HTTPResponse, TransportError>) -> Void) {
    var left: Int32 = 0
    while let message = curl_multi_info_read(multi.raw, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let transfer = active[message.pointee.easy_handle] else { continue }
      let ticket = transfer.ticket
      completed(ticket, release(transfer, message.pointee.data.result))
    }
  }

  /// Ends what has waited too long for the rest of an answer: libcurl sees only silence, not a drip.
  private func sweep(_ completed: (Int, Result<HTTPResponse, TransportError>) -> Void) {
    let now = monotonicSeconds()
    if now < nextSweep { return }
    nextSweep = now + Self.sweepSeconds
    for transfer in active.values.filter({ $0.isOverdue(now: now) }) {
      let ticket = transfer.ticket
      completed(ticket, release(transfer, CURLE_OPERATION_TIMEDOUT))
    }
  }

  @discardableResult
  private func release(_ transfer: Transfer, _ code: CURLcode) -> Result<HTTPResponse, TransportError> {
    active[transfer.easy.raw] = nil
    curl_multi_remove_handle(multi.raw, transfer.easy.raw)
    idle.append(transfer)
    return transfer.finish(code)
  }

  // MARK: What libcurl calls

  func socketChanged(_ socket: Int32, _ what: Int32, isNew: Bool) {
    if what == CURL_POLL_REMOVE {
      // The descriptor may be closed already, and then epoll has forgotten it by itself.
      epoll_ctl(epoll, Int32(EPOLL_CTL_DEL), socket, nil)
      return
    }
    if isNew { curl_multi_assign(multi.raw, socket, Unmanaged.passUnretained(self).toOpaque()) }
    var mask: UInt32 = 0
    if what & CURL_POLL_IN != 0 { mask |= EPOLLIN.rawValue }
    if what & CURL_POLL_OUT != 0 { mask |= EPOLLOUT.rawValue }
    watch(socket, mask, isNew: isNew)
  }

  func timerChanged(milliseconds: Int) {
    timer = milliseconds < 0 ? nil : monotonicSeconds() + Double(milliseconds) / 1000
  }

  private func watch(_ descriptor: Int32, _ mask: UInt32, isNew: Bool) {
    var event = epoll_event()
    event.events = mask
    event.data.fd = descriptor
    epoll_ctl(epoll, Int32(isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD), descriptor, &event)
  }

  deinit {
    // Handles end in libcurl's order, easy before multi, and nothing is called back any more.
    _ = abandon()
    idle = []
    _ = multi_set_callbacks(multi.raw, nil, nil, nil)
    close(epoll)
  }
}

/// epoll's events in libcurl's words.
private func selection(_ events: UInt32) -> Int32 {
  var mask: Int32 = 0
  if events & EPOLLIN.rawValue != 0 { mask |= CURL_CSELECT_IN }
  if events & EPOLLOUT.rawValue != 0 { mask |= CURL_CSELECT_OUT }
  if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { mask |= CURL_CSELECT_ERR }
  return mask
}

private func engine(_ context: UnsafeMutableRawPointer?) -> HTTPEngine {
  Unmanaged<HTTPEngine>.fromOpaque(context!).takeUnretainedValue()
}

private let socketCallback: curl_socket_callback = { _, socket, what, context, known in
  engine(context).socketChanged(socket, what, isNew: known == nil)
  return 0
}

private let timerCallback: curl_multi_timer_callback = { _, milliseconds, context in
  engine(context).timerChanged(milliseconds: milliseconds)
  return 0
}
