#!/usr/bin/env python3
"""Compares sftp-to-s3 with its peers on the same work, alternately, on this machine. Called by `make bench`.

Each run has an empty directory and starts after a sync(1). What was made is compared with the source, byte by byte.
"""
import argparse
import dataclasses
import fcntl
import fnmatch
import os
import shutil
import sys

import harness
import report
import servers
import suites

ROOT = os.path.dirname(harness.HERE)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="ROWS", help="these rows, comma-separated; * and ? are wild")
    parser.add_argument("--quick", action="store_true", help="small sets, one round: a look, not a measurement")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="rounds (default 3; 1 with --quick)")
    parser.add_argument("--clients", default="", metavar="NAMES", help="only clients with these words in their names")
    parser.add_argument("--variant", default="", metavar="NAME=VALUE…",
                        help="ours once more, with these variables; BINARY=… is another build. Several: A=1;A=2")
    parser.add_argument("--record", action="store_true", help="keep the rows in RESULTS.md")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--cache", default=os.environ.get("BENCH_DIR") or "/tmp/sftp-to-s3-bench", metavar="DIR")
    parser.add_argument("--build", default=os.path.join(ROOT, ".build"), metavar="DIR", help="where the build is")
    return parser.parse_args()


def select(rows, only):
    if not only:
        return [row for row in rows if not row.is_long]
    patterns = [pattern.strip() for pattern in only.split(",") if pattern.strip()]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(row.id, pattern) for row in rows):
            raise harness.BenchError(f"no row {pattern}; there are {', '.join(row.id for row in rows)}")
    return [row for row in rows if any(fnmatch.fnmatch(row.id, pattern) for pattern in patterns)]


def narrow(rows, words, variants):
    """Leaves the clients that are asked for, and adds ours with other settings."""
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    variants = [variant.strip() for variant in variants.split(";") if variant.strip()]
    for row in rows:
        # Where clients do not take turns, each needs what the one before has left.
        if row.rotates:
            ours = [client for client in row.clients if client.is_ours]
            row.clients = row.clients + [vary(client, variant) for variant in variants for client in ours]
        if wanted:
            row.clients = [client for client in row.clients if any(word in client.name for word in wanted)]
    return [row for row in rows if row.clients]


def vary(client, variant):
    settings = dict(pair.split("=", 1) for pair in variant.split())
    return dataclasses.replace(client, name=f"{client.name} {variant}", settings=settings)


def find_tools(build):
    tools = {name: os.path.join(build, "release", name) for name in ("sftp-to-s3", "bench-proxy", "bench-sftp")}
    tools["rclone"] = os.path.join(ROOT, ".venv/bin/rclone")
    tools |= {name: shutil.which(name) or name for name in ("lftp", "sftp")}
    for path in tools.values():
        if not os.access(path, os.X_OK):
            raise harness.BenchError(f"{path} is missing: run `make bench`, which builds and installs what is needed")
    return tools


def main():
    asked = options()
    rows = select(suites.rows(asked.quick), asked.only)
    if asked.list:
        for row in rows:
            print(f"{row.id:14} {row.title}, {row.round_trip_ms} ms: {', '.join(c.name for c in row.clients)}")
        return 0
    rows = narrow(rows, asked.clients, asked.variant)
    if asked.record and (asked.quick or asked.clients or asked.variant):
        raise harness.BenchError("only whole rows of the real sets are recorded")
    tools = find_tools(os.path.abspath(asked.build))
    cache = os.path.abspath(asked.cache)
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, "lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise harness.BenchError(f"another benchmark is at work in {cache}") from error
        return measure(asked, rows, tools, cache)


def measure(asked, rows, tools, cache):
    work = os.path.join(cache, "runs")
    if os.path.exists(work):
        print("removing what an interrupted benchmark left", flush=True)
        shutil.rmtree(work)
    results = report.Results(tools)
    everything = None
    try:
        everything = servers.Servers(ROOT, tools, os.path.join(cache, "servers"))
        for round_trip_ms in sorted({row.round_trip_ms for row in rows} - {0}):
            results.note_proxy(round_trip_ms, servers.probe(tools["bench-proxy"], round_trip_ms))
        bench = harness.Bench(ROOT, tools["sftp-to-s3"], tools, cache, everything,
                              asked.runs or (1 if asked.quick else 3))
        for row in rows:
            print(f"{row.id}: {row.title}, {row.round_trip_ms} ms", flush=True)
            results.add(row, bench.carry_out(row))
            if asked.record:
                results.write(harness.HERE)
    finally:
        if everything is not None:
            everything.stop()
        # What was measured before something went wrong, too.
        print(f"\n{results.text()}\n", flush=True)
        if asked.quick:
            print("The targets are for the real sets: in these, connecting and starting weigh too much.")
        print("removing what was made", flush=True)
        shutil.rmtree(work, ignore_errors=True)
    return 1 if results.faults_of_ours() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (harness.BenchError, servers.ServerError) as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
