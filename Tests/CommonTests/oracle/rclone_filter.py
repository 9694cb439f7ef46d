"""Says which files of a tree rclone takes under given filter rules.

Reads {"trees": [[path, ...], ...], "cases": [{"tree": n, "include": [...], "exclude": [...], "rules": [...],
"command": bool}, ...]} from standard input and prints one answer a case: the sorted paths, or null when rclone refuses
the rules. One rclone serves all cases; those with "command" are asked of `rclone lsf -R --files-only` instead.
"""
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

RCLONE = os.path.join(os.path.dirname(sys.executable), "rclone")
ENVIRONMENT = {"RCLONE_CONFIG": "/dev/null", "HOME": "/nonexistent", "PATH": os.environ.get("PATH", "")}

REFUSALS = ("malformed rule", "bad glob pattern", "too many stars", "mismatched")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask_server(path, folder, case):
    connection = UnixConnection(path)
    body = {
        "fs": folder,
        "remote": "",
        "opt": {"recurse": True, "filesOnly": True, "noModTime": True, "noMimeType": True},
        "_filter": {"IncludeRule": case["include"], "ExcludeRule": case["exclude"], "FilterRule": case["rules"]},
    }
    connection.request("POST", "/operations/list", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        if not any(words in content["error"] for words in REFUSALS):
            raise SystemExit(f"rclone: {content['error']}")
        return None
    return sorted(entry["Path"] for entry in content["list"])


def ask_command(folder, case):
    arguments = [RCLONE, "lsf", "-R", "--files-only"]
    for name in ("include", "exclude"):
        for pattern in case[name]:
            arguments += ["--" + name, pattern]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as rules:
        rules.write("\n".join(case["rules"]) + "\n")
        rules.flush()
        if case["rules"]:
            arguments += ["--filter-from", rules.name]
        run = subprocess.run(arguments + [folder], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    return sorted(run.stdout.splitlines()) if run.returncode == 0 else None


def main():
    request = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as home:
        for number, tree in enumerate(request["trees"]):
            for path in tree:
                full = os.path.join(home, str(number), path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                open(full, "w").close()
        path = os.path.join(home, "socket")
        # A file, for what it says of many rules would fill a pipe that nobody reads.
        log = open(os.path.join(home, "log"), "w+b")
        server = subprocess.Popen(
            [RCLONE, "rcd", "--rc-no-auth", "--rc-addr", "unix://" + path], env=ENVIRONMENT, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not os.path.exists(path):
                if server.poll() is not None or time.monotonic() > deadline:
                    server.kill()
                    log.seek(0)
                    raise SystemExit("rclone does not serve: " + log.read().decode())
                time.sleep(0.02)
            answers = []
            for case in request["cases"]:
                folder = os.path.join(home, str(case["tree"]))
                answers.append(ask_command(folder, case) if case.get("command") else ask_server(path, folder, case))
        finally:
            server.terminate()
            server.wait()
    json.dump(answers, sys.stdout)


main()
