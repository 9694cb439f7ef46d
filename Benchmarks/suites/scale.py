"""How time and memory grow with the number of files: listing, first fetch, and a fetch that finds nothing."""
import os

import clients
import trees
from harness import Client, MemoryTarget, Row

FIRST = "sftp-to-s3 (first fetch)"
AGAIN = "sftp-to-s3 (fetch that finds nothing)"
MILLION = 1_000_000


def rows(is_quick):
    every = [clients.our_listing(is_ours=True), Client(FIRST, first, is_ours=True), Client(AGAIN, again, is_ours=True)]
    result = []
    for files in (1000, 10_000) if is_quick else (1000, 10_000, 100_000, MILLION):
        tree = trees.scale(files)
        is_million = files == MILLION
        result.append(Row(
            f"scale-{files}", f"grow to {tree.title}", tree, 0, every, limit_seconds=3600, rotates=False,
            targets=[MemoryTarget(name, 500_000_000) for name in (FIRST, AGAIN)] if is_million else [],
            most_rounds=1 if is_million else 1000, copies_per_round=1, is_long=is_quick))
    return result


def first(run):
    staging = os.path.join(run.round_directory, "staging")
    os.mkdir(staging)
    return clients.ours(run, "fetch", staging=staging,
                        check=lambda _: run.tree.fault_of(os.path.join(staging, "files")))


def again(run):
    """On what the first has left."""
    staging = os.path.join(run.round_directory, "staging")
    return clients.ours(run, "fetch", staging=staging, check=clients.wrote_nothing(staging))
