"""The programs that are compared: ours and its peers, and what each needs to be told."""
import getpass
import os
import shlex

from harness import Client, Command

OURS = "sftp-to-s3"
RCLONE = "rclone"
RCLONE_16 = "rclone --transfers 16"
LFTP = "lftp mirror --parallel=4"
SFTP = "sftp get -r"
LISTING = "sftp-to-s3 (bare listing)"
READING = "sftp-to-s3 (bytes dropped)"
RCLONE_LIST = "rclone lsf -R"
RCLONE_LIST_32 = "rclone lsf -R --checkers 32"
RCLONE_SYNC = "rclone sync"
RCLONE_SYNC_FAST = "rclone sync --fast-list --size-only"
PEERS = [RCLONE, RCLONE_16, LFTP, SFTP]


def our_environment(run, staging):
    return {
        "SFTP_HOST": "127.0.0.1", "SFTP_PORT": str(run.port), "SFTP_USER": getpass.getuser(),
        "SFTP_KEY_FILE": run.bench.servers.ssh.key_path, "SFTP_HOST_KEY": run.bench.servers.ssh.fingerprint(),
        "SFTP_FOLDER_NAME": run.tree.path, "STAGING_DIR": staging, "SETTLE_SECONDS": "0", "LOG_LEVEL": "warning",
    } | run.settings


def ours(run, *arguments, staging, check, **variables):
    binary = run.settings.get("BINARY", run.bench.binary)
    return Command([binary, *arguments], check, our_environment(run, staging) | variables)


def our_fetch():
    """`fetch` into an empty volume: durable, and journaled."""
    def command(run):
        staging = os.path.join(run.directory, "staging")
        os.mkdir(staging)
        return ours(run, "fetch", staging=staging, check=lambda _: run.tree.fault_of(os.path.join(staging, "files")))
    return Client(OURS, command, is_ours=True)


def wrote_nothing(staging):
    """A check that the journal is as it was when this was called."""
    directory = os.path.join(staging, "journal")

    def sizes():
        return {name: os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory)}
    before = sizes()
    return lambda _: None if sizes() == before else "it wrote to the journal"


def our_walk(name, does, is_ours):
    def command(run):
        def check(output):
            expected = [run.tree.count, run.tree.bytes]
            return None if list(map(int, output.split()[:2])) == expected else f"{output.strip()}, not {expected}"
        return Command([run.bench.tools["bench-sftp"], does], check, our_environment(run, run.directory))
    return Client(name, command, is_ours)


def our_listing(is_ours=True):
    """The walk of `fetch`, with a visitor that only counts."""
    return our_walk(LISTING, "list", is_ours)


def our_reading():
    """The walk and the download of `fetch`, with nothing made of the bytes."""
    return our_walk(READING, "read", is_ours=False)


def rclone_environment(run):
    variables = {
        "RCLONE_CONFIG": "", "RCLONE_CONFIG_REMOTE_TYPE": "sftp", "RCLONE_CONFIG_REMOTE_HOST": "127.0.0.1",
        "RCLONE_CONFIG_REMOTE_PORT": str(run.port), "RCLONE_CONFIG_REMOTE_USER": getpass.getuser(),
        "RCLONE_CONFIG_REMOTE_KEY_FILE": run.bench.servers.ssh.key_path,
        "RCLONE_CONFIG_REMOTE_KNOWN_HOSTS_FILE": run.bench.servers.ssh.known_hosts_path,
        # Else it would run md5sum on the server, which partners' servers do not allow.
        "RCLONE_CONFIG_REMOTE_SHELL_TYPE": "none", "RCLONE_CONFIG_REMOTE_DISABLE_HASHCHECK": "true",
    }
    return variables


def rclone_store_environment(store):
    return {
        "RCLONE_CONFIG_STORE_TYPE": "s3", "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENDPOINT": store["S3_ENDPOINT"], "RCLONE_CONFIG_STORE_REGION": store["S3_REGION"],
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": store["S3_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": store["S3_SECRET_ACCESS_KEY"],
    }


def rclone_fetch(name, *options):
    def command(run):
        target = os.path.join(run.directory, "target")
        return Command([run.bench.tools["rclone"], "copy", *options, "remote:" + run.tree.path, target],
                       lambda _: run.tree.fault_of(target), rclone_environment(run))
    return Client(name, command)


def rclone_listing(name, *options):
    def command(run):
        def check(output):
            found = len(output.splitlines())
            return None if found == run.tree.count else f"{found} files, not {run.tree.count}"
        return Command([run.bench.tools["rclone"], "lsf", "-R", "--files-only", *options, "remote:" + run.tree.path],
                       check, rclone_environment(run))
    return Client(name, command)


def ssh_options(run):
    ssh = run.bench.servers.ssh
    return ["-F", "/dev/null", "-i", ssh.key_path, "-o", "IdentitiesOnly=yes", "-o",
            f"UserKnownHostsFile={ssh.known_hosts_path}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]


def lftp_fetch():
    def command(run):
        target = os.path.join(run.directory, "target")
        connect = shlex.join(["ssh", "-a", "-x", *ssh_options(run)])
        script = (f"set cmd:fail-exit yes; set sftp:connect-program {shlex.quote(connect)}; "
                  f"open -u {getpass.getuser()}, -p {run.port} sftp://127.0.0.1; "
                  f"mirror --parallel=4 {shlex.quote(run.tree.path)} {shlex.quote(target)}; exit")
        return Command([run.bench.tools["lftp"], "--norc", "-c", script], lambda _: run.tree.fault_of(target))
    return Client(LFTP, command)


def sftp_fetch():
    def command(run):
        target = os.path.join(run.directory, "target")
        batch = run.directory + ".batch"
        with open(batch, "w", encoding="utf-8") as file:
            file.write(f"get -r {shlex.quote(run.tree.path)} {shlex.quote(target)}\n")
        return Command([run.bench.tools["sftp"], *ssh_options(run), "-P", str(run.port), "-b", batch,
                        f"{getpass.getuser()}@127.0.0.1"], lambda _: run.tree.fault_of(target))
    return Client(SFTP, command)


def peers(*names):
    every = {RCLONE: rclone_fetch(RCLONE), RCLONE_16: rclone_fetch(RCLONE_16, "--transfers", "16"), LFTP: lftp_fetch(),
             SFTP: sftp_fetch()}
    return [every[name] for name in names]
