internal import Common
internal import Foundation
internal import Staging
internal import Testing

@Suite struct PulseTests {
  @Test func aNewVolumeHasNoPulse() throws {
    let rig = try VolumeRig()
    let pulse = try VolumePulse(path: rig.path)
    #expect(pulse.report == nil)
    #expect(pulse.progressMilliseconds == nil)
    #expect(throws: StagingError.self) { try VolumePulse(path: rig.file("missing")) }
  }

  @Test func opensWithoutABeatAndBeatsOncePerInterval() throws {
    let rig = try VolumeRig()
    _ = try rig.open()
    try setProgress(rig, to: 1_000)
    let volume = try rig.open()
    #expect(try VolumePulse(path: rig.path).progressMilliseconds == 1_000_000)
    volume.heartbeat.beat()
    let first = try #require(try VolumePulse(path: rig.path).progressMilliseconds)
    #expect(abs(first - Clock.system.wallMilliseconds()) < 60_000)
    try setProgress(rig, to: 2_000)
    volume.heartbeat.beat()
    #expect(try VolumePulse(path: rig.path).progressMilliseconds == 2_000_000)
  }

  private func setProgress(_ rig: VolumeRig, to seconds: TimeInterval) throws {
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: seconds)], ofItemAtPath: rig.file("state/progress"))
  }
}
