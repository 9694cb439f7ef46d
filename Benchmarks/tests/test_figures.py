"""What is made of the samples: ratios, verdicts, tables, the plot."""
import tempfile
import unittest
import xml.etree.ElementTree

import growth
import harness
import plot
import report
from harness import Client, MemoryTarget, Row, Sample, Target


def sample(seconds, **fields):
    return Sample(seconds, 1.0, fields.pop("peak_bytes", 10_000_000), 0.5, 0.0, **fields)


def row(targets=(), limit_seconds=300):
    clients = [Client("ours", None, is_ours=True), Client("fast", None), Client("slow", None)]
    return Row("small-0ms", "fetch <all> & more", None, 0, clients, list(targets), limit_seconds)


class RatioTests(unittest.TestCase):
    def test_medians_are_compared_with_the_best_of_the_peers(self):
        samples = {"ours": [sample(1), sample(9), sample(2)], "fast": [sample(4)], "slow": [sample(5), sample(7)]}
        self.assertEqual(harness.ratio(row(), samples, Target(1, ["fast", "slow"])), (2, 4, "fast", 0.5))
        self.assertEqual(harness.ratio(row(), samples, Target(1, ["slow"])), (2, 6, "slow", 2 / 6))

    def test_who_ran_into_the_limit_counts_with_it(self):
        samples = {"ours": [sample(3)], "slow": [sample(300.2, timed_out=True)]}
        self.assertEqual(harness.ratio(row(), samples, Target(1, ["slow"])), (3, 300, "slow", 0.01))
        verdict = report.judge(row(), samples, Target(0.02, ["slow"]))
        self.assertEqual((verdict["theirs"], verdict["ratio"], verdict["holds"]), ("> 300.00 s", "< 0.010", True))

    def test_who_failed_does_not_count(self):
        samples = {"ours": [sample(3)], "fast": [sample(0.1, fault="it copied nothing")], "slow": [sample(4)]}
        self.assertEqual(harness.ratio(row(), samples, Target(1, ["fast", "slow"])), (3, 4, "slow", 0.75))
        self.assertIsNone(harness.ratio(row(), samples, Target(1, ["fast"])))

    def test_without_a_good_run_of_ours_there_is_no_ratio(self):
        for bad in (sample(1, fault="a file differs"), sample(300, timed_out=True)):
            self.assertIsNone(harness.ratio(row(), {"ours": [bad], "fast": [sample(4)]}, Target(1, ["fast"])))

    def test_a_target_that_is_missed_is_told(self):
        samples = {"ours": [sample(2, peak_bytes=6_000_000)], "fast": [sample(4)]}
        self.assertTrue(report.judge(row(), samples, Target(0.5, ["fast"]))["holds"])
        self.assertFalse(report.judge(row(), samples, Target(0.49, ["fast"]))["holds"])
        self.assertTrue(report.judge(row(), samples, MemoryTarget("ours", 6_000_000))["holds"])
        self.assertFalse(report.judge(row(), samples, MemoryTarget("ours", 5_999_999))["holds"])


class ReportTests(unittest.TestCase):
    def results(self):
        results = report.Results.__new__(report.Results)
        results.stamp = {"date": "2026-01-01", "machine": "2 × chip", "proxies": {"50": "50 ms: as told"},
                         "versions": {"sftp-to-s3": "1.0", "rclone": "2.0"}}
        results.rows, results._faults = {}, False
        samples = {"ours": [sample(1)], "fast": [sample(4)], "slow": [sample(300, timed_out=True)]}
        results.add(row([Target(0.3, ["fast"])]), samples)
        return results

    def test_a_failed_run_of_ours_is_remembered(self):
        results = self.results()
        self.assertFalse(results.faults_of_ours())
        results.add(row(), {"ours": [sample(1), sample(1, fault="a file differs")], "fast": [sample(4)], "slow": []})
        self.assertTrue(results.faults_of_ours())

    def test_rows_are_merged_with_those_of_earlier_days(self):
        with tempfile.TemporaryDirectory() as directory:
            first = self.results()
            first.rows = {"list-50ms": first.rows["small-0ms"], "list-0ms": first.rows["small-0ms"]}
            first.write(directory)
            second = self.results()
            second.stamp["date"] = "2026-02-02"
            second.write(directory)
            with open(directory + "/RESULTS.md", encoding="utf-8") as file:
                text = file.read()
        self.assertEqual([line for line in text.splitlines() if line.startswith("### ")],
                         ["### small-0ms", "### list-0ms", "### list-50ms"])
        self.assertIn("2026-01-01: list-0ms, list-50ms", text)
        self.assertIn("2026-02-02: small-0ms", text)
        self.assertIn("| > 300 ", text)
        self.assertRegex(text, r"small-0ms +\| fast +\| 1.00 s +\| 4.00 s +\| 0.250 +\| ≤ 0.3 +\| yes")

    def test_the_plot_is_well_formed_and_shows_every_client(self):
        drawn = plot.draw(self.results().rows)
        texts = [text.text for text in xml.etree.ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
        for expected in ("ours", "fast", "slow", "> 300", "small-0ms: fetch <all> & more, 0 ms"):
            self.assertIn(expected, texts)

    def test_growth_is_told_for_each_more_file(self):
        def grown(seconds, peak):
            return {"samples": {"list": [vars(sample(seconds, peak_bytes=peak))]}}
        rows = {"scale-11000": grown(1.1, 30_000_000), "scale-1000": grown(0.1, 10_000_000), "small-0ms": grown(1, 1)}
        self.assertEqual(growth.lines(rows), [["list", "1,000", "0.10", "", "10", ""],
                                              ["list", "11,000", "1.10", "100.0", "30", "2000"]])


if __name__ == "__main__":
    unittest.main()
