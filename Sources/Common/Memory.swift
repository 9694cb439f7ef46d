internal import CLinux

/// Settings of the C library's allocator.
package enum Memory {
  /// Bytes.
  private static let largeBlock: Int32 = 4 << 20

  /// Blocks of 4 MiB and more are given back to the system when they are freed. The C library raises this limit to 32
  /// MiB by itself; what tables of a million paths leave behind as they grow then stays with the process.
  package static func giveBackLargeBlocks() {
    // They fail for values that are out of range only.
    _ = mallopt(M_MMAP_THRESHOLD, largeBlock)
    _ = mallopt(M_TRIM_THRESHOLD, 2 * largeBlock)
  }
}
