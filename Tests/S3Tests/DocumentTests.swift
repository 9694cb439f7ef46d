import S3
import Testing

/// Documents a server sends, friendly and not.
@Suite struct DocumentTests {
  func read(_ text: String) throws -> [String: String] {
    var found = [String: String]()
    try XMLReader.read(Array(text.utf8)) { found[$0.joined(separator: "/")] = String(decoding: $1, as: UTF8.self) }
    return found
  }

  @Test func namesAreReadWithAnyNameSpace() throws {
    let plain = try read("<Error><Code>A&amp;B</Code></Error>")
    let prefixed = try read("<?xml version='1.0'?><s:Error xmlns:s='urn:x'><s:Code>A&#38;B</s:Code></s:Error>")
    let standard = try read(
      "<Error xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Code><![CDATA[A&B]]></Code></Error>")
    for document in [plain, prefixed, standard] { #expect(document["Error/Code"] == "A&B") }
  }

  @Test func entitiesAreNeverExpanded() {
    let bomb = """
      <!DOCTYPE lolz [<!ENTITY a "aaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Error><Code>&b;</Code></Error>
      """
    #expect(throws: XMLReader.Fault.self) { try read(bomb) }
    #expect(throws: XMLReader.Fault.self) { try read("<Error><Code>&outside;</Code></Error>") }
  }

  @Test(arguments: [
    "", "not xml", "<Error><Code>x</Code>", "<a></b>", "<!DOCTYPE html><html><body>502</body></html>",
    String(repeating: "<a>", count: 40),
  ]) func whatIsNoDocumentIsAnError(_ text: String) {
    #expect(throws: XMLReader.Fault.self) { try read(text) }
  }
}
