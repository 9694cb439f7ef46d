"""What runs and measures: the sets of files, the measuring process, the rounds, and what is selected."""
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import bench
import harness
import servers
import suites
import trees
from harness import Client, Command, Row

MEASURE = os.path.join(harness.HERE, "measure.py")


class Directory(unittest.TestCase):
    def setUp(self):
        self.path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.path)

    def tree(self, place="cache"):
        return trees.Tree("few", "", trees.small_files(20, 4)).prepare(os.path.join(self.path, place))


class TreeTests(Directory):
    def test_a_tree_is_the_same_wherever_it_is_made(self):
        one, other = self.tree("one"), self.tree("other")
        self.assertEqual((one.count, one.sizes), (20, other.sizes))
        self.assertIsNone(one.fault_of(other.path))

    def test_what_is_wrong_with_a_copy_is_found(self):
        tree = self.tree()
        copy = os.path.join(self.path, "copy")
        shutil.copytree(tree.path, copy)
        self.assertIsNone(tree.fault_of(copy))
        path = next(iter(tree.sizes))
        file = os.path.join(copy, path)
        with open(file, "r+b") as opened:
            first = opened.read(1)
            opened.seek(0)
            opened.write(bytes([first[0] ^ 1]))
        self.assertEqual(tree.fault_of(copy), f"{path} differs")
        os.remove(file)
        self.assertEqual(tree.fault_of(copy), f"1 files are missing, such as {path}")
        shutil.copy(os.path.join(tree.path, path), file + ".part")
        self.assertEqual(tree.fault_of(copy), f"{path}.part does not belong there")
        self.assertIn("20 files are missing", tree.fault_of(os.path.join(self.path, "nothing")))

    def test_a_tree_that_was_not_finished_is_made_again(self):
        tree = self.tree()
        path = next(iter(tree.sizes))
        os.remove(tree.path + ".index")
        os.remove(os.path.join(tree.path, path))
        self.assertTrue(os.path.exists(os.path.join(self.tree().path, path)))


class MeasureTests(Directory):
    def measure(self, *command, limit=30):
        output = os.path.join(self.path, "out")
        done = subprocess.run([sys.executable, "-I", "-S", MEASURE, str(limit), output, *command], capture_output=True,
                              text=True, check=True)
        return json.loads(done.stdout)

    def test_the_child_is_measured_and_not_the_measuring(self):
        small = self.measure("true")
        self.assertEqual((small["exit_code"], small["timed_out"]), (0, False))
        self.assertLess(small["peak_bytes"], 16 << 20)
        self.assertEqual(self.measure("sh", "-c", "exit 3")["exit_code"], 3)
        self.assertEqual(self.measure("/no/such/program")["exit_code"], 127)
        large = self.measure(sys.executable, "-c", "len(bytearray(100 << 20))")
        self.assertGreater(large["peak_bytes"], 100 << 20)

    def test_what_a_client_starts_is_counted_even_when_nobody_waits_for_it(self):
        burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
        # The shell ends when the orphan has worked, and without having reaped it.
        script = f"(({sys.executable} -c '{burn}'; touch done) &); while [ ! -e done ]; do sleep 0.05; done"
        os.chdir(self.path)
        self.addCleanup(os.chdir, harness.HERE)
        self.assertGreater(self.measure("sh", "-c", script)["cpu_seconds"], 0.29)

    def test_the_limit_ends_all_that_was_started(self):
        started = time.monotonic()
        facts = self.measure("sh", "-c", f"echo $$ >{self.path}/id; sleep 60; true", limit=0.5)
        self.assertTrue(facts["timed_out"])
        self.assertLess(time.monotonic() - started, 20)
        with open(os.path.join(self.path, "id"), encoding="ascii") as file:
            group = int(file.read())
        with self.assertRaises(ProcessLookupError):
            os.killpg(group, 0)


class KeeperTests(unittest.TestCase):
    def test_what_a_server_leaves_behind_is_counted_and_ended_with_it(self):
        burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
        script = f"({sys.executable} -c '{burn}' &); exec sleep 60"
        keeper = subprocess.Popen([sys.executable, "-I", "-S", os.path.join(harness.HERE, "keeper.py"), "/bin/sh", "-c",
                                   script], stdout=subprocess.PIPE, text=True)
        server = int(keeper.stdout.readline())
        end = time.monotonic() + 30
        while servers.processor_seconds(keeper.pid, with_ended_children=True) < 0.28 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertGreaterEqual(servers.processor_seconds(keeper.pid, with_ended_children=True), 0.28)
        self.assertLess(servers.processor_seconds(server, with_ended_children=True), 0.28)
        keeper.terminate()
        keeper.wait()
        keeper.stdout.close()
        with self.assertRaises(ProcessLookupError):
            os.kill(server, 0)


class Idle:
    """Servers that use no time."""

    def processor_seconds(self):
        return 0.0, 0.0


class RoundTests(Directory):
    def carry_out(self, clients, rounds, **fields):
        machine = harness.Bench(self.path, "", {}, os.path.join(self.path, "cache"), Idle(), rounds)
        return machine.carry_out(Row("row", "", self.tree(), 0, clients, **fields))

    def copier(self, name, log, source=None):
        def command(run):
            log.append(name)
            self.assertEqual(os.listdir(run.directory), [])
            return Command(["cp", "-r", source or run.tree.path, "copy"],
                           lambda _: run.tree.fault_of(os.path.join(run.directory, "copy")))
        return Client(name, command)

    def test_each_client_is_the_first_in_turn(self):
        log = []
        samples = self.carry_out([self.copier("a", log), self.copier("b", log)], 3)
        self.assertEqual(log, ["a", "b", "b", "a", "a", "b"])
        self.assertTrue(all(sample.is_good for sample in samples["a"] + samples["b"]))

    def test_a_copy_that_is_wrong_is_no_result_and_not_tried_again(self):
        empty = os.path.join(self.path, "empty")
        os.mkdir(empty)
        log = []
        samples = self.carry_out([self.copier("bad", log, empty), self.copier("good", log)], 2)
        self.assertEqual(log, ["bad", "good", "good"])
        self.assertIn("20 files are missing", samples["bad"][0].fault)
        failing = Client("failing", lambda run: Command(["sh", "-c", "echo why; exit 9"], lambda _: None))
        shutil.rmtree(os.path.join(self.path, "cache", "runs"))
        self.assertEqual(self.carry_out([failing], 1)["failing"][0].fault, "exit code 9: why")

    def test_a_slow_client_can_have_fewer_rounds(self):
        log = []
        once = dataclasses.replace(self.copier("once", log), most_rounds=1)
        samples = self.carry_out([once, self.copier("ever", log)], 3)
        self.assertEqual([len(samples["once"]), len(samples["ever"])], [1, 3])

    def test_a_client_over_the_limit_is_not_waited_for_twice(self):
        sleeper = Client("sleeper", lambda run: Command(["sleep", "30"], lambda _: None))
        samples = self.carry_out([sleeper], 3, limit_seconds=0.3)
        self.assertEqual([sample.timed_out for sample in samples["sleeper"]], [True])


class SelectionTests(unittest.TestCase):
    def test_rows_have_names_of_their_own_and_targets_name_clients(self):
        for is_quick in (False, True):
            rows = suites.rows(is_quick)
            self.assertEqual(len({row.id for row in rows}), len(rows))
            for row in rows:
                names = [client.name for client in row.clients]
                self.assertEqual(len(set(names)), len(names))
                for target in row.targets:
                    wanted = [target.client] if isinstance(target, harness.MemoryTarget) else target.against
                    self.assertLessEqual(set(wanted), set(names), row.id)

    def test_rows_are_chosen_by_name(self):
        rows = suites.rows(False)
        self.assertEqual([row.id for row in bench.select(rows, "list-0ms, big-*")],
                         ["big-0ms", "big-50ms", "big-200ms", "list-0ms"])
        with self.assertRaises(harness.BenchError):
            bench.select(rows, "small-0ms,smal-50ms")

    def test_variants_are_more_clients_of_ours(self):
        rows = bench.narrow(bench.select(suites.rows(False), "small-0ms"), "sftp-to-s3", "A=1 B=x=y; A=2")
        self.assertEqual([(client.name, client.settings) for client in rows[0].clients],
                         [("sftp-to-s3", {}), ("sftp-to-s3 A=1 B=x=y", {"A": "1", "B": "x=y"}),
                          ("sftp-to-s3 A=2", {"A": "2"})])


if __name__ == "__main__":
    unittest.main()
