#!/usr/bin/env python3
"""Makes a large tree of empty files to serve, and a staging volume that knows all of them, to measure with.

    synthetic-tree.py tree DIRECTORY FILES DIRECTORIES
    synthetic-tree.py volume DIRECTORY FILES DIRECTORIES HOST PORT USER FOLDER DESTINATION

The volume's journal says that every file of the tree was fetched and published to DESTINATION; files/ stays empty,
since a run that has nothing to do does not look there.
"""
import hashlib
import json
import os
import sys

MTIME = 1_700_000_000
SEGMENT_LIMIT = 64 << 20
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
EMPTY_MD5 = hashlib.md5(b"").hexdigest()


def directories(count):
    return ["year-%04d/department-%05d" % (2000 + number % 10, number) for number in range(count)]


def paths(files, count):
    names = directories(count)
    each = -(-files // count)
    for number in range(files):
        yield "%s/delivery-%07d.csv" % (names[number // each], number)


def make_tree(root, files, count):
    for name in directories(count):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for path in paths(files, count):
        path = os.path.join(root, path)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        os.utime(path, (MTIME, MTIME))


class Journal:
    def __init__(self, directory):
        self.directory, self.number, self.seq, self.head = directory, 0, 0, "0" * 64
        self.open_segment()

    def open_segment(self):
        self.number += 1
        self.file = open(os.path.join(self.directory, "%08d.jsonl" % self.number), "wb")
        self.size = 0

    def append(self, entry):
        self.write(entry)
        seq = self.seq
        if self.size >= SEGMENT_LIMIT:
            self.write({"op": "sealed", "size": self.size})
            self.file.close()
            self.open_segment()
        return seq

    def write(self, entry):
        self.seq += 1
        record = {"seq": self.seq, "at": "2024-01-01T00:00:00.000Z", "run": "synthetic", "b": self.seq, **entry}
        line = json.dumps(record, separators=(",", ":"))[:-1]
        self.head = hashlib.sha256((self.head + line).encode()).hexdigest()
        encoded = ('%s,"h":"%s"}\n' % (line, self.head)).encode()
        self.file.write(encoded)
        self.size += len(encoded)


def make_volume(root, files, count, host, port, user, folder, destination):
    for name in ("files", "journal", "state", "tmp"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    journal = Journal(os.path.join(root, "journal"))
    binding = {"format": 1, "volume": "0" * 32, "host": host, "port": port, "user": user, "folder": folder}
    journal.append({"op": "volume", **binding})
    for number, path in enumerate(paths(files, count)):
        digests = {"sha256": EMPTY_SHA256, "md5": EMPTY_MD5}
        fetched = {"path": path, "size": 0, "mtime": MTIME, **digests, "tmp": "synthetic-%d" % number}
        generation = journal.append({"op": "fetched", **fetched, "host_key": "SHA256:" + "A" * 43})
        sent = {"path": path, "gen": generation, "destination": destination, "etag": '"%s"' % EMPTY_MD5}
        journal.append({"op": "published", **sent, "bytes": 0, **digests, "request": "0123456789ABCDEF"})
    journal.file.close()


if __name__ == "__main__":
    what, root, files, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if what == "tree":
        make_tree(root, files, count)
    else:
        host, port, user, folder, destination = sys.argv[5:]
        make_volume(root, files, count, host, int(port), user, folder, destination)
