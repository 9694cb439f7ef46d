/// Many patterns in one machine, which reads a path once, whatever the patterns: the states of a nondeterministic
/// automaton (Thompson, "Regular Expression Search Algorithm", 1968), which ``GlobMatcher`` turns into those of a
/// deterministic one as they are needed.
struct GlobAutomaton: Sendable {
  enum State: Sendable {
    /// Goes on when the character is one of these.
    case one(CharacterSet, next: Int)
    /// Goes on in any of these without a character.
    case split([Int])
    /// The pattern of this number has matched.
    case accept(Int)
  }

  private(set) var states: [State] = []
  private(set) var start = 0
  /// Characters that no pattern tells apart are one symbol: this is where each begins.
  private(set) var symbolStarts: [UInt32] = [0]

  init(_ globs: [Glob]) {
    var anchored: [Int] = []
    var floating: [Int] = []
    for (number, glob) in globs.enumerated() {
      let entry = add(glob.parts, before: add(.accept(number)))
      if glob.isAnchored { anchored.append(entry) } else { floating.append(entry) }
    }
    // Floating patterns begin at the beginning, and behind every slash.
    let begin = add(.split(floating))
    let skip = add(.split([]))
    let any = add(.one(.all, next: skip))
    let behindSlash = add(.one(CharacterSet(PatternCharacter.slash), next: begin))
    states[skip] = .split([any, behindSlash])
    start = add(.split(anchored + (floating.isEmpty ? [] : [begin, skip])))
    findSymbols()
  }

  private mutating func add(_ state: State) -> Int {
    states.append(state)
    return states.count - 1
  }

  /// The state from which `parts` lead to `next`.
  private mutating func add(_ parts: [Glob.Part], before next: Int) -> Int {
    var next = next
    for part in parts.reversed() {
      switch part {
      case .one(let set): next = add(.one(set, next: next))
      case .many(let set):
        let loop = add(.split([]))
        states[loop] = .split([add(.one(set, next: loop)), next])
        next = loop
      case .alternatives(let all):
        var entries: [Int] = []
        for alternative in all { entries.append(add(alternative, before: next)) }
        next = add(.split(entries))
      }
    }
    return next
  }

  private mutating func findSymbols() {
    var starts: Set<UInt32> = [0]
    for case .one(let set, _) in states {
      for range in set.ranges {
        starts.insert(range.lowerBound)
        starts.insert(range.upperBound + 1)
      }
    }
    symbolStarts = starts.filter { $0 <= PatternCharacter.last }.sorted()
  }

  /// The number of the symbol that a character belongs to.
  func symbol(of character: UInt32) -> Int {
    var (low, high) = (0, symbolStarts.count)
    while low + 1 < high {
      let middle = (low + high) / 2
      if symbolStarts[middle] <= character { low = middle } else { high = middle }
    }
    return low
  }
}

/// Reads paths with an automaton: for each character one step in a table, which is filled as it is needed. A step that
/// is not in the table costs what the patterns have states, so the time is linear in the path at worst.
final class GlobMatcher {
  /// What is kept at most, in states of the automaton and in steps; then the table begins anew.
  private static let keptLimit = 2_000_000

  private let automaton: GlobAutomaton
  /// The symbol of each ASCII character.
  private let asciiSymbols: [Int32]
  private let symbolCount: Int
  /// What each state of this matcher stands for: states of the automaton, in order, without splits.
  private var members: [[Int32]] = []
  private var numbers: [[Int32]: Int32] = [:]
  /// Lowest number of a pattern that has matched; -1 for none.
  private var accepts: [Int32] = []
  /// `steps[state * symbolCount + symbol]`; -1 for not known yet.
  private var steps: [Int32] = []
  private var kept = 0
  /// When each state of the automaton was last visited, for the closure.
  private var visits: [Int]
  private var visit = 0

  init(_ automaton: GlobAutomaton) {
    self.automaton = automaton
    symbolCount = automaton.symbolStarts.count
    asciiSymbols = (0..<128).map { Int32(automaton.symbol(of: $0)) }
    visits = Array(repeating: 0, count: automaton.states.count)
    begin()
  }

  /// The lowest number of the patterns that match all of `path` (and a slash behind it); nil when none does.
  func firstMatch(_ path: [UInt8], withSlash: Bool = false) -> Int? {
    path.withUnsafeBufferPointer { path in
      var state = 0
      var index = 0
      while index < path.count {
        var symbol = 0
        (state, index, symbol) = run(path, from: index, in: state)
        if symbol >= 0 { state = step(from: state, over: symbol) }
      }
      if withSlash { state = step(from: state, over: Int(asciiSymbols[Int(slash)])) }
      return accepts[state] < 0 ? nil : Int(accepts[state])
    }
  }

  /// Goes on as far as the table says: to the end (symbol -1), or behind a character whose step is not known.
  private func run(
    _ path: UnsafeBufferPointer<UInt8>, from begin: Int, in state: Int
  ) -> (state: Int, index: Int, symbol: Int) {
    steps.withUnsafeBufferPointer { steps in
      asciiSymbols.withUnsafeBufferPointer { asciiSymbols in
        var (state, index) = (state, begin)
        while index < path.count {
          let (character, width) = PatternCharacter.decode(path, at: index)
          let symbol = character < 128 ? Int(asciiSymbols[Int(character)]) : automaton.symbol(of: character)
          index += width
          let next = steps[state * symbolCount + symbol]
          if next < 0 { return (state, index, symbol) }
          state = Int(next)
        }
        return (state, index, -1)
      }
    }
  }

  private func step(from state: Int, over symbol: Int) -> Int {
    let known = steps[state * symbolCount + symbol]
    if known >= 0 { return Int(known) }
    let character = automaton.symbolStarts[symbol]
    visit += 1
    var reached: [Int32] = []
    for member in members[state] {
      if case .one(let set, let next) = automaton.states[Int(member)], set.contains(character) {
        reach(next, &reached)
      }
    }
    reached.sort()
    if numbers[reached] == nil, kept + reached.count + symbolCount > Self.keptLimit {
      begin()
      return intern(reached)
    }
    let next = intern(reached)
    steps[state * symbolCount + symbol] = Int32(next)
    return next
  }

  /// Empties the table but for the first state.
  private func begin() {
    members.removeAll(keepingCapacity: true)
    numbers.removeAll(keepingCapacity: true)
    accepts.removeAll(keepingCapacity: true)
    steps.removeAll(keepingCapacity: true)
    kept = 0
    visit += 1
    var first: [Int32] = []
    reach(automaton.start, &first)
    _ = intern(first.sorted())
  }

  private func intern(_ reached: [Int32]) -> Int {
    if let number = numbers[reached] { return Int(number) }
    let number = members.count
    var lowest: Int32 = -1
    for case .accept(let pattern) in reached.lazy.map({ self.automaton.states[Int($0)] })
    where lowest < 0 || pattern < lowest { lowest = Int32(pattern) }
    members.append(reached)
    numbers[reached] = Int32(number)
    accepts.append(lowest)
    steps.append(contentsOf: repeatElement(-1, count: symbolCount))
    kept += reached.count + symbolCount
    return number
  }

  /// Adds the states that take a character or accept, and that can be reached from `state` without one.
  private func reach(_ state: Int, _ reached: inout [Int32]) {
    var stack = [state]
    while let next = stack.popLast() {
      if visits[next] == visit { continue }
      visits[next] = visit
      if case .split(let targets) = automaton.states[next] {
        stack += targets
      } else {
        reached.append(Int32(next))
      }
    }
  }
}
