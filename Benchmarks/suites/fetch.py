"""SFTP → local disk: ours durable and journaled, the peers as they come."""
import dataclasses

import clients
import trees
from harness import Row, Target


def rows(is_quick):
    small = trees.QUICK_SMALL if is_quick else trees.SMALL
    big = trees.QUICK_BIG if is_quick else trees.BIG

    def row(tree, kind, round_trip_ms, peers, targets=(), limit_seconds=300):
        return Row(f"{kind}-{round_trip_ms}ms", f"fetch {tree.title}", tree, round_trip_ms,
                   [clients.our_fetch(), *clients.peers(*peers)], list(targets), limit_seconds,
                   is_cleared_at_once=kind == "big")

    every = clients.PEERS
    fast = [clients.RCLONE_16]
    result = [
        row(small, "small", 0, every, [Target(0.25, every)]),
        row(small, "small", 50, fast if is_quick else every, [Target(0.06, fast)]),
        row(big, "big", 0, every, [Target(1.0, every)]),
        row(big, "big", 50, every, [Target(1.0, every)]),
    ]
    if not is_quick:
        # rclone needs ten minutes, the others an hour each.
        far = row(small, "small", 200, fast, limit_seconds=900)
        far.clients = [client if client.is_ours else dataclasses.replace(client, most_rounds=1)
                       for client in far.clients]
        result += [
            far,
            row(big, "big", 200, [clients.RCLONE, clients.RCLONE_16, clients.SFTP]),
        ]
    return result
