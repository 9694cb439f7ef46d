"""The sets of files that are mirrored: made once, the same on every machine, and kept in the cache directory."""
import hashlib
import os
import random
import shutil

MTIME = 1_700_000_000
MIB = 1 << 20


class Tree:
    """A directory to be served, and what a faithful copy of it holds."""

    def __init__(self, name, title, make):
        self.name, self.title, self._make = name, title, make
        self.path = None
        self.sizes = None  # relative path → bytes

    def prepare(self, cache):
        """Makes the tree unless the cache has it whole; reads its index."""
        self.path = os.path.join(cache, "trees", self.name)
        index = self.path + ".index"
        if not os.path.exists(index):
            shutil.rmtree(self.path, ignore_errors=True)
            os.makedirs(self.path)
            print(f"making {self.name}: {self.title}", flush=True)
            with open(index + ".part", "w", encoding="ascii") as out:
                for path, size in self._make(self.path):
                    out.write(f"{size} {path}\n")
            os.sync()
            os.rename(index + ".part", index)
        with open(index, encoding="ascii") as lines:
            pairs = (line.rstrip("\n").split(" ", 1) for line in lines)
            self.sizes = {path: int(size) for size, path in pairs}
        return self

    @property
    def count(self):
        return len(self.sizes)

    @property
    def bytes(self):
        return sum(self.sizes.values())

    @property
    def disk_bytes(self):
        """Of a copy: whole blocks, an inode and an entry of a directory each."""
        return sum(-(-size // 4096) * 4096 + 512 for size in self.sizes.values())

    def warm(self):
        """Brings the tree into the page cache: the disk of the server is not what is measured."""
        buffer = bytearray(MIB)
        for path, size in self.sizes.items():
            full = os.path.join(self.path, path)
            if size == 0:
                os.lstat(full)
                continue
            with open(full, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    def fault_of(self, copy):
        """What is wrong with a copy of the tree, every byte compared; None when it is right."""
        missing = dict(self.sizes)
        for directory, _, names in os.walk(copy):
            for name in names:
                path = os.path.relpath(os.path.join(directory, name), copy)
                if path not in missing:
                    return f"{path} does not belong there"
                del missing[path]
                if not _same(os.path.join(copy, path), os.path.join(self.path, path)):
                    return f"{path} differs"
        return f"{len(missing)} files are missing, such as {next(iter(missing))}" if missing else None


def _same(one, other):
    if os.path.getsize(one) != os.path.getsize(other):
        return False
    if os.path.getsize(one) == 0:
        return True
    with open(one, "rb", buffering=0) as a, open(other, "rb", buffering=0) as b:
        while True:
            left, right = a.read(MIB), b.read(MIB)
            if left != right:
                return False
            if not left:
                return True


def _write(root, path, pieces):
    full = os.path.join(root, path)
    size = 0
    with open(full, "wb") as file:
        for piece in pieces:
            size += file.write(piece)
    os.utime(full, (MTIME, MTIME))
    return path, size


def _directories(root, names):
    for name in names:
        os.makedirs(os.path.join(root, name), exist_ok=True)


def small_files(files, directories):
    """Random bytes; sizes spread evenly up to 28,600, 14.3 kB in the mean; 143 MB for 10,000 files."""
    def make(root):
        source = random.Random(f"small {files}")
        _directories(root, (f"d{d:03}" for d in range(directories)))
        for number in range(files):
            size = source.randrange(28_600)
            yield _write(root, f"d{number % directories:03}/file-{number:06}.bin", [source.randbytes(size)])
    return make


def big_files(random_mib, csv_mib):
    """One file of random bytes and one like a table: what does not compress, and what does."""
    def make(root):
        source = random.Random("big")
        yield _write(root, "random.bin", (source.randbytes(MIB) for _ in range(random_mib)))
        yield _write(root, "table.csv", _table(csv_mib))
    return make


def _table(mib):
    row = 0
    for _ in range(mib):
        lines, size = [], 0
        while size < MIB:
            digest = hashlib.md5(str(row).encode()).hexdigest()
            line = f"{row},2026-01-{row % 28 + 1:02},{digest[:8]},{int(digest[8:12], 16) / 100:.2f},EUR,settled\n"
            lines.append(line)
            size += len(line)
            row += 1
        yield "".join(lines).encode()[:MIB]


def tiny_files(files, directories):
    """Files of a few bytes, in directories of two levels."""
    def make(root):
        names = [f"t{d // 26:02}/s{d % 26:02}" for d in range(directories)]
        _directories(root, names)
        for number in range(files):
            yield _write(root, f"{names[number % directories]}/{number:07}.txt", [b"%d\n" % number])
    return make


def empty_files(files):
    """Files without content, a hundred in a directory: what grows is the number alone."""
    def make(root):
        names = [f"e{d // 100:03}/f{d % 100:02}" for d in range((files + 99) // 100)]
        _directories(root, names)
        for number in range(files):
            yield _write(root, f"{names[number // 100]}/{number:07}", [])
    return make


SMALL = Tree("small", "10,000 files of 143 MB in 100 directories", small_files(10_000, 100))
BIG = Tree("big", "1 GiB of random bytes and a table of 512 MiB", big_files(1024, 512))
TINY = Tree("tiny", "100,000 files in 520 directories", tiny_files(100_000, 520))
QUICK_SMALL = Tree("quick-small", "1,000 files of 14 MB in 10 directories", small_files(1_000, 10))
QUICK_BIG = Tree("quick-big", "64 MiB of random bytes and a table of 32 MiB", big_files(64, 32))
QUICK_TINY = Tree("quick-tiny", "10,000 files in 52 directories", tiny_files(10_000, 52))


def scale(files):
    return Tree(f"scale-{files}", f"{files:,} empty files, 100 in a directory", empty_files(files))
