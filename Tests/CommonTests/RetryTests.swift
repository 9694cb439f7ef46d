internal import Common
internal import Testing

@Suite struct RetryTests {
  @Test func growsAndIsBounded() {
    let policy = RetryPolicy(maximumAttempts: 10, baseSeconds: 0.2, maximumSeconds: 20)
    #expect(policy.delaySeconds(failedAttempts: 1, random: 1) == 0.2)
    #expect(policy.delaySeconds(failedAttempts: 4, random: 1) == 1.6)
    #expect(policy.delaySeconds(failedAttempts: 9, random: 1) == 20)
    #expect(policy.delaySeconds(failedAttempts: 3, random: 0) == 0)
    #expect(policy.delaySeconds(failedAttempts: 10, random: 1) == nil)
  }

  @Test func throttlingStartsAtASecond() {
    #expect(RetryPolicy().delaySeconds(failedAttempts: 1, throttled: true, random: 1) == 1)
  }

  @Test func theServersWordIsAFloorWithinReason() {
    #expect(RetryPolicy().delaySeconds(failedAttempts: 1, retryAfterSeconds: 5, random: 0) == 5)
    #expect(RetryPolicy().delaySeconds(failedAttempts: 1, retryAfterSeconds: 1e9, random: 0) == 120)
  }
}

@Suite struct BlockingQueueTests {
  @Test func keepsOrderAcrossThreads() {
    let queue = BlockingQueue<Int>(maximumWeight: 8)
    let producer = Worker {
      for number in 0..<10_000 { queue.push(number) }
      queue.close()
    }
    var taken: [Int] = []
    while let number = queue.pop() { taken.append(number) }
    producer.join()
    #expect(taken == Array(0..<10_000))
  }

  @Test func popAllTakesWhatIsThere() {
    let queue = BlockingQueue<Int>(maximumWeight: 100)
    for number in 0..<5 { queue.push(number) }
    #expect(queue.pop() == 0)
    #expect(queue.popAll() == [1, 2, 3, 4])
    queue.close()
    #expect(queue.popAll().isEmpty)
    queue.push(6)
    #expect(queue.tryPop().isFinished)
  }

  @Test func oneHeavyValuePassesAlone() {
    let queue = BlockingQueue<Int>(maximumWeight: 10)
    queue.push(1, weight: 1_000)
    #expect(queue.pop() == 1)
  }
}
