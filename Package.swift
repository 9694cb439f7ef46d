// swift-tools-version: 6.2
import PackageDescription

/// Swift 6 mode everywhere; a warning is an error, so none can accumulate.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("ExistentialAny"),
  .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

// The import law: sftp-to-s3 → Mirror → Fetch, Publish, Audit → Staging, SFTP, S3 → HTTP → Common.
// scripts/check-imports.sh (part of `make check`) holds this list and the sources to it.
let package = Package(
  name: "sftp-to-s3",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    .systemLibrary(name: "CLibSSH2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev"])]),
    .systemLibrary(name: "CLibCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),

    .systemLibrary(name: "CLinux"),

    .target(name: "Common", dependencies: ["CLinux", crypto, logging], swiftSettings: strict),
    .target(name: "HTTP", dependencies: ["Common", "CLibCurl", logging], swiftSettings: strict),
    .target(name: "S3", dependencies: ["Common", "HTTP", "CExpat", logging], swiftSettings: strict),
    .target(name: "SFTP", dependencies: ["Common", "CLibSSH2", logging], swiftSettings: strict),
    .target(name: "Staging", dependencies: ["Common", "CLinux", logging], swiftSettings: strict),
    .target(name: "Fetch", dependencies: ["Common", "Staging", "SFTP", logging], swiftSettings: strict),
    .target(name: "Publish", dependencies: ["Common", "Staging", "S3", logging], swiftSettings: strict),
    .target(name: "Audit", dependencies: ["Common", "Staging"], swiftSettings: strict),
    .target(
      name: "Mirror", dependencies: ["Common", "Staging", "Fetch", "Publish", logging], swiftSettings: strict),
    .executableTarget(
      name: "sftp-to-s3",
      dependencies: ["Common", "Staging", "Fetch", "Publish", "Audit", "Mirror", argumentParser, logging],
      swiftSettings: strict),

    // Tools of `make bench`; not part of what is shipped.
    .executableTarget(
      name: "bench-proxy", dependencies: ["Common"], path: "Benchmarks/bench-proxy", swiftSettings: strict),
    .executableTarget(
      name: "bench-sftp", dependencies: ["Common", "SFTP", logging], path: "Benchmarks/bench-sftp",
      swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["Common"], path: "Tests/TestSupport", exclude: ["servers"],
      swiftSettings: strict),
    .target(
      name: "FuzzCodec", dependencies: ["SFTP", "Common", logging], path: "Tests/FuzzCodec", exclude: ["findings"],
      swiftSettings: strict),
    .testTarget(
      name: "CommonTests", dependencies: ["Common", "TestSupport"], exclude: ["oracle"], swiftSettings: strict),
    .testTarget(name: "StagingTests", dependencies: ["Staging", "Common", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "SFTPTests", dependencies: ["SFTP", "Common", "TestSupport", "FuzzCodec", logging], exclude: ["servers"],
      swiftSettings: strict),
    .testTarget(
      name: "S3Tests", dependencies: ["S3", "HTTP", "Common", "TestSupport", logging], exclude: ["oracle"],
      swiftSettings: strict),
    .testTarget(
      name: "FetchTests", dependencies: ["Fetch", "SFTP", "Staging", "Common", "TestSupport", logging],
      swiftSettings: strict),
    .testTarget(
      name: "PublishTests", dependencies: ["Publish", "S3", "Staging", "Common", "TestSupport", logging],
      swiftSettings: strict),
    .testTarget(
      name: "AuditTests", dependencies: ["Audit", "Staging", "Common"], swiftSettings: strict),
    .testTarget(
      name: "MirrorTests", dependencies: ["Mirror", "Fetch", "Publish", "Staging", "Common", "TestSupport", logging],
      swiftSettings: strict),
    .testTarget(
      name: "EndToEndTests", dependencies: ["Staging", "Common", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "BenchmarkTests", dependencies: ["bench-proxy", "Common"], swiftSettings: strict),
  ]
)

// libFuzzer's main, which only scripts/fuzz.sh builds: it needs the compiler's instrumentation everywhere.
if Context.environment["SFTP_TO_S3_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "FuzzDriver", dependencies: ["FuzzCodec"], path: "Tests/FuzzDriver",
      swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])]))
}
