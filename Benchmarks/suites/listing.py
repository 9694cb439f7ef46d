"""Listing a tree, and nothing else."""
import clients
import trees
from harness import Row, Target


def rows(is_quick):
    tree = trees.QUICK_TINY if is_quick else trees.TINY
    peers = [clients.rclone_listing(clients.RCLONE_LIST),
             clients.rclone_listing(clients.RCLONE_LIST_32, "--checkers", "32")]
    targets = [Target(0.7, [clients.RCLONE_LIST]), Target(0.35, [clients.RCLONE_LIST_32])]
    return [Row(f"list-{round_trip_ms}ms", f"list {tree.title}", tree, round_trip_ms,
                [clients.our_listing(), *peers], targets, copies_per_round=0)
            for round_trip_ms in ([0, 50] if is_quick else [0, 50, 200])]
