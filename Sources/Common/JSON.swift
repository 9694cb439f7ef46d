internal import FoundationEssentials

/// A value as JSON text, keys in order, indented; ends with a line feed.
package func encodeJSON(_ value: some Encodable) throws -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return Array(try encoder.encode(value)) + [0x0a]
}

/// A value from JSON text; nil when it is not of that shape.
package func decodeJSON<Value: Decodable>(_ type: Value.Type, _ text: [UInt8]) -> Value? {
  try? JSONDecoder().decode(type, from: Data(text))
}
