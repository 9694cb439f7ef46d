import S3
import Testing

@Suite struct BreakerTests {
  /// Whether any of these failures opens the breaker: the file, and the second its attempt began and ended.
  func opens(_ breaker: inout Breaker, _ failures: [(token: Int, began: Double, ended: Double)]) -> Bool {
    failures.map { breaker.failed(token: $0.token, startedAt: $0.began, now: $0.ended) }.contains(true)
  }

  @Test func manyFailuresAtOnceAreNotYetAnOutage() {
    var breaker = Breaker()
    #expect(!opens(&breaker, (0..<1000).map { ($0, 0, 0.1) }))
    #expect(breaker.streak == 1000)
  }

  @Test func failuresOfSeveralFilesForLongAreAnOutage() {
    var breaker = Breaker()
    breaker.answered(at: 0)
    #expect(!opens(&breaker, [(1, 0, 1), (2, 5, 6)]))
    #expect(opens(&breaker, [(1, 15, 15)]))
  }

  @Test func oneFileThatNeverGoesIsNotAnOutageOnceAnythingWasAnswered() {
    var breaker = Breaker()
    breaker.answered(at: 0)
    #expect(!opens(&breaker, (0..<50).map { (7, Double($0), Double($0) + 1) }))
  }

  @Test func oneFileAgainstAServiceThatNeverAnsweredIs() {
    var breaker = Breaker()
    #expect(!opens(&breaker, [(7, 0, 1), (7, 2, 3)]))
    #expect(opens(&breaker, [(7, 20, 21)]))
  }

  @Test func anAnswerEndsTheStreak() {
    var breaker = Breaker()
    #expect(!opens(&breaker, [(1, 0, 10), (2, 0, 10)]))
    breaker.answered(at: 12)
    #expect(breaker.streak == 0)
    #expect(!opens(&breaker, [(1, 20, 30), (2, 20, 30), (3, 20, 30)]))
    #expect(opens(&breaker, [(1, 34, 35)]))
  }

  @Test func attemptsThatTimeOutTogetherCountFromWhenTheyBegan() {
    var breaker = Breaker()
    #expect(opens(&breaker, [(1, 0, 30), (2, 0, 30), (3, 0, 30)]))
  }

  @Test func anAttemptThatBeganBeforeTheLastAnswerIsNoLongOutage() {
    var breaker = Breaker()
    breaker.answered(at: 29)
    // Three that hung for half a minute while others were answered.
    #expect(!opens(&breaker, [(1, 0, 30), (2, 0, 30), (3, 0, 31)]))
    #expect(!opens(&breaker, [(1, 31, 43.9)]))
    #expect(opens(&breaker, [(1, 31, 44)]))
  }
}
