"""What fetch and listing could take at the least on this machine: each of their parts alone, in turn with the whole."""
import os
import shlex

import clients
import trees
from harness import Client, Command, Row

CIPHER = "ssh cat (wire, cipher)"
DISK = "cp and syncfs (disk)"
SERVER = "sftp get over a pipe (server)"
TREE = "find, on the server (file system)"
SFTP_SERVERS = ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"]


def rows(is_quick):
    small = trees.QUICK_SMALL if is_quick else trees.SMALL
    big = trees.QUICK_BIG if is_quick else trees.BIG
    tiny = trees.QUICK_TINY if is_quick else trees.TINY
    fetching = [clients.our_fetch(), clients.our_reading(), Client(CIPHER, through_ssh), Client(SERVER, without_ssh),
                Client(DISK, onto_disk)]
    listing = [clients.our_listing(), Client(TREE, on_the_server)]

    def row(kind, tree, does, parts, copies):
        return Row(f"bounds-{kind}", f"the parts of: {does} {tree.title}", tree, 0, parts, copies_per_round=copies,
                   is_cleared_at_once=kind == "big", is_long=is_quick)
    return [row("small", small, "fetch", fetching, 3), row("big", big, "fetch", fetching, 3),
            row("list", tiny, "list", listing, 0)]


def through_ssh(run):
    """All bytes in one stream through one connection of OpenSSH: no protocol of files, no disk of the client's."""
    remote = f"find {shlex.quote(run.tree.path)} -type f -exec cat {{}} +"
    return Command(["bash", "-o", "pipefail", "-c", 'ssh "$@" | wc -c', "ssh", *clients.ssh_options(run), "-p",
                    str(run.port), "127.0.0.1", remote], counts(run))


def without_ssh(run):
    """OpenSSH's client and server of files, with a pipe between them: no network and no cipher."""
    target = os.path.join(run.directory, "target")
    batch = run.directory + ".batch"
    with open(batch, "w", encoding="utf-8") as file:
        file.write(f"get -r {shlex.quote(run.tree.path)} {shlex.quote(target)}\n")
    server = next((path for path in SFTP_SERVERS if os.path.exists(path)), SFTP_SERVERS[0])
    return Command([run.bench.tools["sftp"], "-D", server, "-b", batch], lambda _: run.tree.fault_of(target))


def onto_disk(run):
    """A copy from memory to the disk, made durable at its end."""
    target = os.path.join(run.directory, "target")
    return Command(["bash", "-ec", 'cp -r "$1" "$2"; sync -f "$2"', "cp", run.tree.path, target],
                   lambda _: run.tree.fault_of(target))


def on_the_server(run):
    """What the server has to ask its file system: the attributes of every file, here by one process alone."""
    def check(output):
        return None if int(output) == run.tree.count else f"{output.strip()} files, not {run.tree.count}"
    return Command(["bash", "-o", "pipefail", "-c", 'find "$1" -type f -printf "%s %T@ %p\\n" | wc -l', "find",
                    run.tree.path], check)


def counts(run):
    return lambda output: None if int(output) == run.tree.bytes else f"{output.strip()} bytes, not {run.tree.bytes}"
