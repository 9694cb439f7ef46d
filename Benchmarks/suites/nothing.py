"""A sync that finds nothing to do: what a mirror does nearly every time."""
import os
import subprocess

import clients
import harness
import trees
from harness import Client, Command, Row, Target

STAGING = "staging of a sync that finds nothing"  # in Bench.shared


def rows(is_quick):
    tree = trees.QUICK_TINY if is_quick else trees.TINY
    every = [
        Client(clients.OURS, our_sync, is_ours=True),
        clients.our_listing(is_ours=False),
        Client(clients.RCLONE_SYNC, rclone_sync),
        Client(clients.RCLONE_SYNC_FAST, lambda run: rclone_sync(run, "--fast-list", "--size-only")),
    ]
    targets = [Target(1.3, [clients.LISTING]), Target(0.05, [clients.RCLONE_SYNC]),
               Target(0.2, [clients.RCLONE_SYNC_FAST])]
    title = f"sync that finds nothing, {tree.title}"
    # Staged, and stored by SeaweedFS.
    return [Row(f"noop-{round_trip_ms}ms", title, tree, round_trip_ms, every, targets, set_up=fill, copies_per_round=0,
                copies_of_set_up=2, is_long=is_quick)
            for round_trip_ms in (0, 50)]


def fill(run):
    """Fetches and publishes the tree, once for all rows: all clients then compare the server with the same objects."""
    is_first = STAGING not in run.bench.shared
    staging = run.bench.shared.setdefault(STAGING, os.path.join(run.bench.work, "nothing-staging"))
    if is_first:
        os.mkdir(staging)
        print("  filling the staging volume and the bucket, not measured", flush=True)
    # The same server, at another port for every round trip.
    command = clients.ours(run, "sync", "--rebind", staging=staging, check=None, **run.bench.servers.store.environment)
    done = subprocess.run(command.arguments, env=harness.base_environment(run.directory) | command.environment,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise harness.BenchError(f"cannot fill the bucket: exit code {done.returncode}: {done.stderr[-500:]}")


def our_sync(run):
    staging = run.bench.shared[STAGING]
    return clients.ours(run, "sync", staging=staging, check=clients.wrote_nothing(staging),
                        **run.bench.servers.store.environment)


def rclone_sync(run, *options):
    store = run.bench.servers.store.environment
    target = f"store:{store['S3_BUCKET_NAME']}/{store['S3_FOLDER_NAME']}"

    def check(output):
        return None if "There was nothing to transfer" in output else f"it transferred: {output[-300:].strip()}"
    return Command([run.bench.tools["rclone"], "sync", "--log-level", "INFO", *options, "remote:" + run.tree.path,
                    target], check, clients.rclone_environment(run) | clients.rclone_store_environment(store))
