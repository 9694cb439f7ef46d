// bench-proxy PORT MILLISECONDS: a delay proxy to 127.0.0.1:PORT with that round trip. Prints its own port, and ends
// with its standard input, so that it cannot outlive who started it.
import Common
import Glibc

let arguments = CommandLine.arguments
guard arguments.count == 3, let port = UInt16(arguments[1]), let milliseconds = Double(arguments[2]), milliseconds >= 0
else {
  complain("usage: bench-proxy PORT ROUND_TRIP_MILLISECONDS")
  exit(2)
}
do {
  let proxy = try DelayProxy(targetPort: port, roundTripMilliseconds: milliseconds)
  print(proxy.port)
  fflush(nil)
  _ = Worker { proxy.serve() }
  var byte: UInt8 = 0
  while read(0, &byte, 1) > 0 {}
} catch {
  complain("bench-proxy: \(error)")
  exit(1)
}

func complain(_ text: String) { _ = (Array(text.utf8) + [0x0a]).withUnsafeBytes { write(2, $0.baseAddress, $0.count) } }
