"""Runs clients alternately on the same work and measures each: what a suite is made of, and how it is carried out."""
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import typing

HERE = os.path.dirname(os.path.abspath(__file__))


class BenchError(Exception):
    """The benchmark cannot go on, or what it measured is not to be believed."""


@dataclasses.dataclass
class Sample:
    """One run of one client."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    server_cpu_seconds: float
    proxy_cpu_seconds: float
    timed_out: bool = False
    fault: typing.Optional[str] = None

    @property
    def is_good(self):
        return not self.timed_out and self.fault is None


@dataclasses.dataclass
class Run:
    """Where one run of one client takes place."""
    bench: "Bench"
    row: "Row"
    directory: str  # its own, new and empty
    round_directory: str  # shared with the other clients of this round
    row_directory: str  # shared with all runs of the row
    settings: dict = dataclasses.field(default_factory=dict)  # the client's

    @property
    def port(self):
        return self.bench.servers.port(self.row.round_trip_ms)

    @property
    def tree(self):
        return self.row.tree


@dataclasses.dataclass
class Command:
    """What to run, with which variables. `check` is given its output and says what is wrong, or None."""
    arguments: list
    check: typing.Callable[[str], typing.Optional[str]]
    environment: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Client:
    name: str
    command: typing.Callable[[Run], Command]
    is_ours: bool = False
    # Variables for a program of ours; BINARY is another build of it.
    settings: dict = dataclasses.field(default_factory=dict)
    most_rounds: int = 1000


@dataclasses.dataclass
class Target:
    """Ours must take at most `limit` times as long as the best of `against`."""
    limit: float
    against: list


@dataclasses.dataclass
class MemoryTarget:
    """The client's peak memory must not exceed this."""
    client: str
    limit_bytes: int


@dataclasses.dataclass
class Row:
    """One piece of work, done by several clients."""
    id: str
    title: str
    tree: typing.Any
    round_trip_ms: int
    clients: list
    targets: list = dataclasses.field(default_factory=list)
    limit_seconds: float = 300
    most_rounds: int = 1000
    # Clients take turns at being the first; not where one needs what the other has left.
    rotates: bool = True
    # Removing many files slows the file system down for whoever comes next: done after the last row, unless few.
    is_cleared_at_once: bool = False
    # Copies of the tree that are on the disk at the end: what each client leaves, by default, and what is set up.
    copies_per_round: typing.Optional[int] = None
    copies_of_set_up: int = 0
    # Left out of --quick unless asked for by name.
    is_long: bool = False
    set_up: typing.Optional[typing.Callable[[Run], None]] = None


def median(samples, field="seconds"):
    """Of the good samples; None without any."""
    values = [getattr(sample, field) for sample in samples if sample.is_good]
    return statistics.median(values) if values else None


def ratio(row, samples, target):
    """(ours, theirs, name of theirs, ours / theirs) of a target, medians in seconds; None when either is missing.

    A client that ran into the time limit counts with that limit: the true ratio is smaller still. One that failed does
    not count.
    """
    ours = next((median(samples[client.name]) for client in row.clients
                 if client.is_ours and client.name in samples), None)
    best = None
    for name in target.against:
        theirs = floor(samples.get(name, []), row.limit_seconds)
        if theirs is not None and (best is None or theirs < best[0]):
            best = (theirs, name)
    if ours is None or best is None:
        return None
    return ours, best[0], best[1], ours / best[0]


def floor(samples, limit_seconds):
    """What a client takes at the least: its median, or the limit if it ran into it."""
    if any(sample.timed_out for sample in samples):
        return limit_seconds
    return median(samples)


def order(clients, round_number, rotates):
    """The order of a round: each client is the first in turn."""
    if not rotates or not clients:
        return list(clients)
    shift = round_number % len(clients)
    return clients[shift:] + clients[:shift]


class Bench:
    """The machine that runs rows."""

    def __init__(self, root, binary, tools, cache, servers, rounds):
        self.root, self.binary, self.tools, self.cache = root, binary, tools, cache
        self.servers, self.rounds = servers, rounds
        self.work = os.path.join(cache, "runs")
        self.shared = {}  # what suites keep from row to row
        os.makedirs(self.work)

    def carry_out(self, row):
        """Returns {client's name: [Sample]}."""
        row.tree.prepare(self.cache)
        rounds = min(self.rounds, row.most_rounds)
        self._check_space(row, rounds)
        row.tree.warm()
        samples = {client.name: [] for client in row.clients}
        row_directory = os.path.join(self.work, row.id)
        os.makedirs(row_directory)
        if row.set_up:
            row.set_up(Run(self, row, row_directory, row_directory, row_directory))
        for number in range(rounds):
            for client in order(row.clients, number, row.rotates):
                # Who did not finish once is not waited for again.
                if number >= client.most_rounds or any(not sample.is_good for sample in samples[client.name]):
                    continue
                sample = self._run(row, client, row_directory, number)
                samples[client.name].append(sample)
                print(f"  {row.id} round {number + 1}: {client.name}: {told(sample, row)}", flush=True)
        if row.is_cleared_at_once:
            shutil.rmtree(row_directory)
        return samples

    def _run(self, row, client, row_directory, number):
        round_directory = os.path.join(row_directory, f"round-{number + 1}")
        slug = "".join(character if character.isalnum() else "-" for character in client.name)
        directory = os.path.join(round_directory, slug)
        os.makedirs(directory)
        command = client.command(Run(self, row, directory, round_directory, row_directory, client.settings))
        os.sync()
        output = directory + ".log"
        before = self.servers.processor_seconds()
        measured = subprocess.run(
            [sys.executable, "-I", "-S", os.path.join(HERE, "measure.py"), str(row.limit_seconds), output]
            + command.arguments,
            env=base_environment(directory) | command.environment, cwd=directory, capture_output=True, text=True,
            check=False)
        if measured.returncode != 0:
            raise BenchError(f"measure.py: {measured.stderr}")
        after = self.servers.processor_seconds()
        facts = json.loads(measured.stdout)
        sample = Sample(facts["seconds"], facts["cpu_seconds"], facts["peak_bytes"], after[0] - before[0],
                        after[1] - before[1], facts["timed_out"])
        if not sample.timed_out:
            with open(output, encoding="utf-8", errors="replace") as file:
                text = file.read()
            if facts["exit_code"] != 0:
                sample.fault = f"exit code {facts['exit_code']}: {text[-300:].strip()}"
            else:
                sample.fault = command.check(text)
        return sample

    def _check_space(self, row, rounds):
        a_round = len(row.clients) if row.copies_per_round is None else row.copies_per_round
        needed = (row.copies_of_set_up + rounds * a_round) * row.tree.disk_bytes
        free = shutil.disk_usage(self.work).free
        if free < needed * 1.1:
            raise BenchError(
                f"{row.id} needs {needed / 1e9:.1f} GB of disk and {free / 1e9:.1f} are free in {self.work}")


def base_environment(home):
    """Nothing of ours but the path: no agent, no configuration of the user's."""
    return {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8"}


def told(sample, row):
    if sample.timed_out:
        return f"> {row.limit_seconds:g} s"
    if sample.fault:
        return f"FAILED: {sample.fault}"
    return (f"{sample.seconds:.2f} s, CPU {sample.cpu_seconds:.2f} s (server {sample.server_cpu_seconds:.2f}), "
            f"{sample.peak_bytes / 1e6:.0f} MB")
