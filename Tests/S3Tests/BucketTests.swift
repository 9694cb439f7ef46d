import Common
import Foundation
import S3
import TestSupport
import Testing

/// Against a real server, which checks signatures and digests.
@Suite struct BucketTests {
  @Test func anObjectComesBackAsItWasSent() throws {
    let client = try freshBucket("roundtrip")
    let body = Array("hello, bucket\n".utf8)
    let queue = ListQueue([
      putRequest(
        7, Array("dir/a file+100%.txt".utf8), body,
        headers: [("content-type", "text/plain"), ("x-amz-meta-mtime", "1700000000"), ("x-amz-meta-sha256", "ab  cd")])
    ])
    try client.put(queue)
    let result = try #require(queue.results[7])
    let receipt = try result.outcome.get()
    #expect(result.attempts == 1)
    #expect(receipt.etag == putRequest(0, [], body).md5.hex)
    #expect(try client.get(key: Array("dir/a file+100%.txt".utf8)) == body)
    let facts = try #require(try client.head(key: Array("dir/a file+100%.txt".utf8)))
    #expect(facts.size == UInt64(body.count))
    #expect(facts.etag == receipt.etag)
    #expect(facts.contentType == "text/plain")
    #expect(facts.metadata["mtime"] == "1700000000")
    try client.delete(key: Array("dir/a file+100%.txt".utf8))
    #expect(try client.head(key: Array("dir/a file+100%.txt".utf8)) == nil)
    #expect(client.requestCount == 5)
  }
}
