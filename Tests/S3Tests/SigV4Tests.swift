import Common
import S3
import Testing

/// The examples of AWS, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
@Suite struct SigV4Tests {
  let secret = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
  let scope = SigV4.Scope(date: "20130524", region: "us-east-1", service: "s3")
  let timestamp = "20130524T000000Z"
  let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

  func signature(
    _ method: String, path: String, query: String = "", payload: String, _ headers: [(name: String, value: String)] = []
  ) -> (signature: String, signedHeaders: String) {
    let canonical = SigV4.canonicalRequest(
      method: method, path: path, query: query,
      headers: headers + [
        ("x-amz-date", timestamp), ("Host", "examplebucket.s3.amazonaws.com"), ("x-amz-content-sha256", payload),
      ], payloadSHA256: payload)
    let text = SigV4.stringToSign(timestamp: timestamp, scope: scope, canonicalRequest: canonical.text)
    let key = SigV4.signingKey(secret: secret, scope: scope)
    return (SigV4.signature(key: key, stringToSign: text), canonical.signedHeaders)
  }

  @Test func getObject() {
    let signed = signature("GET", path: "/test.txt", payload: empty, [("Range", "bytes=0-9")])
    #expect(signed.signature == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    #expect(signed.signedHeaders == "host;range;x-amz-content-sha256;x-amz-date")
  }

  @Test func putObject() {
    let signed = signature(
      "PUT", path: PercentEncoding.path("/test$file.text".utf8),
      payload: SHA256Digest.of("Welcome to Amazon S3.".utf8).hex,
      [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")])
    #expect(signed.signature == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
  }

  @Test func getBucketLifecycle() {
    let query = SigV4.canonicalQuery([("lifecycle", [])])
    #expect(query == "lifecycle=")
    let signed = signature("GET", path: "/", query: query, payload: empty)
    #expect(signed.signature == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
  }

  @Test func listObjects() {
    let query = SigV4.canonicalQuery([("prefix", Array("J".utf8)), ("max-keys", Array("2".utf8))])
    let signed = signature("GET", path: "/", query: query, payload: empty)
    #expect(signed.signature == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
  }

  @Test func headerValuesAreTrimmedSortedAndJoined() {
    let canonical = SigV4.canonicalRequest(
      method: "PUT", path: "/", query: "",
      headers: [("X-Amz-B", "  two \t words  "), ("x-amz-a", ""), ("x-amz-b", "again")], payloadSHA256: "p")
    #expect(canonical.text == "PUT\n/\n\nx-amz-a:\nx-amz-b:two words,again\n\nx-amz-a;x-amz-b\np")
  }

  @Test func everyByteOfAKeyIsEncodedOnce() {
    #expect(PercentEncoding.path("a b/../%41~é".utf8) == "a%20b/../%2541~%C3%A9")
    #expect(PercentEncoding.query("a/b=c&d".utf8) == "a%2Fb%3Dc%26d")
    let all = (0...255).map { UInt8($0) }
    #expect(PercentEncoding.decode(Array(PercentEncoding.query(all).utf8)) == all)
    #expect(PercentEncoding.decode(Array("a+b".utf8)) == Array("a b".utf8))
    #expect(PercentEncoding.decode(Array("a%2".utf8)) == nil)
    #expect(PercentEncoding.decode(Array("a%zz".utf8)) == nil)
  }

  @Test func theKeyOfTheNextDayIsANewOne() {
    var signer = Signer(
      credentials: S3Credentials(accessKeyID: "A", secretAccessKey: secret), region: "r", service: "s3")
    func authorization(_ milliseconds: Int64) -> String {
      signer.sign(
        method: "GET", authority: "h", path: "/", query: "", headers: [], payloadSHA256: empty,
        wallMilliseconds: milliseconds
      ).first { $0.name == "authorization" }!.value
    }
    let day: Int64 = 86_400_000
    let first = authorization(day - 1)
    let next = authorization(day)
    #expect(first.contains("/19700101/r/") && next.contains("/19700102/r/"))
    #expect(authorization(day - 1) == first)
  }
}
