package import Common

/// Who signs.
package struct S3Credentials: Sendable {
  package var accessKeyID: String
  package var secretAccessKey: Secret
  /// Of temporary credentials (AWS STS): sent as x-amz-security-token.
  package var sessionToken: Secret?

  package init(accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret? = nil) {
    self.accessKeyID = accessKeyID
    self.secretAccessKey = secretAccessKey
    self.sessionToken = sessionToken
  }
}

/// One bucket and how it is reached.
package struct S3Settings: Sendable {
  package var endpoint: Endpoint
  package var bucket: String
  package var region: String
  /// The service in the credential scope, usually `s3`.
  package var service: String
  package var addressing: Addressing
  package var credentials: S3Credentials
  /// At most so many requests at once.
  package var connections: Int
  /// PEM file of the authorities to trust instead of the system's.
  package var caBundlePath: String?
  /// Seconds without a byte in either direction after which an attempt has failed.
  package var timeoutSeconds: Int
  package var retry: RetryPolicy
  package var userAgent: String
  package var heartbeat: Heartbeat?
  /// How fast objects are sent, all requests together; nil for as fast as they go.
  package var bandwidth: BandwidthLimit?

  package init(
    endpoint: Endpoint, bucket: String, region: String, service: String, addressing: Addressing,
    credentials: S3Credentials, connections: Int, caBundlePath: String? = nil, timeoutSeconds: Int = 30,
    retry: RetryPolicy = RetryPolicy(), userAgent: String = "sftp-to-s3/\(programVersion)"
  ) {
    self.endpoint = endpoint
    self.bucket = bucket
    self.region = region
    self.service = service
    self.addressing = addressing
    self.credentials = credentials
    self.connections = connections
    self.caBundlePath = caBundlePath
    self.timeoutSeconds = timeoutSeconds
    self.retry = retry
    self.userAgent = userAgent
  }
}
