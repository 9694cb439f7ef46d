package import Common

/// One line of the journal: who wrote it when, in which batch, and what it says.
package struct JournalRecord: Sendable, Equatable {
  /// From 1, without gaps.
  package var seq: UInt64
  /// Milliseconds since 1970, UTC, by the writer's clock.
  package var wallMilliseconds: Int64
  package var run: String
  /// The `seq` of the first record of this record's batch: what was made durable together.
  package var batch: UInt64
  package var entry: JournalEntry
}

/// What a record says. The field names of each are those of the JSON line.
package enum JournalEntry: Sendable, Equatable {
  case volume(VolumeBinding)
  case run(RunStart)
  case fetched(FetchedFile)
  case gone(path: RemotePath, generation: UInt64)
  case failed(FailedItem)
  case published(PublishedObject)
  case superseded(path: RemotePath, generation: UInt64)
  case drift(StagedDrift)
  case dropped(path: RemotePath, generation: UInt64)
  /// The remote shows another modification time, and the bytes are taken to be the same until they are proven so.
  case touched(path: RemotePath, generation: UInt64, mtime: UInt32)
  /// The remote's bytes were read again and are those of this generation.
  case proven(path: RemotePath, generation: UInt64)
  case recovered(segment: UInt64, offset: UInt64, bytes: UInt64, savedAs: String)
  case sealed(size: UInt64)
  case end(RunEnd)
}

/// What a staging volume mirrors, and the format it is written in.
package struct VolumeBinding: Sendable, Equatable {
  /// The newest format this program reads and the one it writes.
  package static let currentFormat: UInt64 = 1

  package var format: UInt64
  /// Random, 32 hexadecimal digits: tells one volume from another.
  package var volumeID: String
  package var host: String
  package var port: UInt64
  package var user: String
  package var folder: String

  /// The source as people write it.
  package var source: String { "sftp://\(user)@\(host):\(port)/\(folder)" }

  package func hasSameSource(as other: VolumeBinding) -> Bool {
    (host, port, user, folder) == (other.host, other.port, other.user, other.folder)
  }
}

/// A run that has something to record.
package struct RunStart: Sendable, Equatable {
  package var command: String
  package var version: String
  /// Fingerprint of the server's host key, when the run talked to it.
  package var hostKey: String?
  package var destination: String?

  package init(command: String, version: String, hostKey: String? = nil, destination: String? = nil) {
    self.command = command
    self.version = version
    self.hostKey = hostKey
    self.destination = destination
  }
}

/// The bytes of this generation are durable under tmp/`temporary` and become, or are, files/`path`.
package struct FetchedFile: Sendable, Equatable {
  package var path: RemotePath
  package var fingerprint: Fingerprint
  package var sha256: SHA256Digest
  /// For small files only.
  package var md5: MD5Digest?
  package var temporary: String
  package var hostKey: String?

  package init(
    path: RemotePath, fingerprint: Fingerprint, sha256: SHA256Digest, md5: MD5Digest? = nil, temporary: String,
    hostKey: String? = nil
  ) {
    self.path = path
    self.fingerprint = fingerprint
    self.sha256 = sha256
    self.md5 = md5
    self.temporary = temporary
    self.hostKey = hostKey
  }
}

/// A file that could not be fetched or published; written once per generation and cause.
package struct FailedItem: Sendable, Equatable {
  package enum Phase: String, Sendable { case fetch, publish }
  package var phase: Phase
  package var path: RemotePath
  /// The staged generation; nil in the fetch phase.
  package var generation: UInt64?
  package var code: String
  package var message: String

  package init(phase: Phase, path: RemotePath, generation: UInt64? = nil, code: String, message: String) {
    self.phase = phase
    self.path = path
    self.generation = generation
    self.code = code
    self.message = message
  }
}

/// The destination's server has confirmed this generation of the path.
package struct PublishedObject: Sendable, Equatable {
  package var path: RemotePath
  package var generation: UInt64
  package var destination: String
  package var etag: String?
  /// Bytes of the body as sent.
  package var bytesSent: UInt64
  package var sha256: SHA256Digest
  package var md5: MD5Digest
  package var versionID: String?
  package var requestID: String?

  package init(
    path: RemotePath, generation: UInt64, destination: String, etag: String? = nil, bytesSent: UInt64,
    sha256: SHA256Digest, md5: MD5Digest, versionID: String? = nil, requestID: String? = nil
  ) {
    self.path = path
    self.generation = generation
    self.destination = destination
    self.etag = etag
    self.bytesSent = bytesSent
    self.sha256 = sha256
    self.md5 = md5
    self.versionID = versionID
    self.requestID = requestID
  }
}

/// Staged bytes are not what the journal says.
package struct StagedDrift: Sendable, Equatable {
  package var path: RemotePath
  package var generation: UInt64
  /// What differs: "missing", "size", "mtime", "content".
  package var what: String
  package var done: String

  package init(path: RemotePath, generation: UInt64, what: String, done: String) {
    self.path = path
    self.generation = generation
    self.what = what
    self.done = done
  }
}

/// The summary of a run that recorded something.
package struct RunEnd: Sendable, Equatable {
  package var exitCode: UInt64
  package var fetched: UInt64
  package var fetchedBytes: UInt64
  package var published: UInt64
  package var publishedBytes: UInt64
  package var failed: UInt64
  package var milliseconds: UInt64

  package init(
    exitCode: UInt64, fetched: UInt64, fetchedBytes: UInt64, published: UInt64, publishedBytes: UInt64, failed: UInt64,
    milliseconds: UInt64
  ) {
    self.exitCode = exitCode
    self.fetched = fetched
    self.fetchedBytes = fetchedBytes
    self.published = published
    self.publishedBytes = publishedBytes
    self.failed = failed
    self.milliseconds = milliseconds
  }
}
