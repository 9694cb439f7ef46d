internal import FuzzCodec
internal import Glibc

/// libFuzzer's `main` is called by SwiftPM's name for it, so that the executable can be linked like any other.
///
///     FuzzDriver --write-seeds DIRECTORY
///     FuzzDriver [libFuzzer's options] CORPUS…
@_cdecl("FuzzDriver_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
  if count == 3, let option = arguments[1], let directory = arguments[2], strcmp(option, "--write-seeds") == 0 {
    return writeSeeds(to: String(cString: directory))
  }
  var count = count
  var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = arguments
  return runDriver(&count, &arguments) { start, length in
    fuzz(UnsafeRawBufferPointer(start: start, count: length))
    return 0
  }
}

/// LLVMFuzzerRunDriver of libFuzzer, which has no header that Swift can read.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Writes one file for each good conversation; returns the exit code.
private func writeSeeds(to directory: String) -> CInt {
  for (name, bytes) in conversations {
    guard let file = fopen("\(directory)/\(name)", "w"), fwrite(bytes, 1, bytes.count, file) == bytes.count,
      fclose(file) == 0
    else {
      perror("\(directory)/\(name)")
      return 1
    }
  }
  return 0
}
