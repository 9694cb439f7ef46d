"""What the clients talk to: an sshd and delay proxies of our own, and SeaweedFS. All end with the benchmark."""
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20


class ServerError(Exception):
    pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def processor_seconds(process_id, with_ended_children=False):
    """Processor time that a process has used so far; with that of the children it has seen end."""
    with open(f"/proc/{process_id}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    ticks = fields[11:15] if with_ended_children else fields[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def children(process_id):
    with open(f"/proc/{process_id}/task/{process_id}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


class SSHServer:
    """sshd on loopback, for the current user and a throw-away key, with its own SFTP server."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        os.makedirs("/run/sshd", 0o755, exist_ok=True) if os.getuid() == 0 else None
        self.directory, self.key_path = directory, os.path.join(directory, "user_key")
        self.known_hosts_path = os.path.join(directory, "known_hosts")
        for name in ("host_key", "user_key"):
            path = os.path.join(directory, name)
            if not os.path.exists(path):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
        self.port = free_port()
        config = os.path.join(directory, "sshd_config")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {self.key_path}.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 1000
Subsystem sftp internal-sftp
""")
        self.log_path = os.path.join(directory, "sshd.log")
        with open(self.log_path, "w", encoding="utf-8") as log:
            keeper = [sys.executable, "-I", "-S", os.path.join(HERE, "keeper.py")]
            self.process = subprocess.Popen([*keeper, "/usr/sbin/sshd", "-D", "-e", "-f", config],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.server_id = int(self.process.stdout.readline() or 0)
        self._wait()

    def _wait(self):
        for _ in range(100):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
                client.settimeout(2)
                if client.recv(4) == b"SSH-":
                    return
            time.sleep(0.05)
        with open(self.log_path, encoding="utf-8") as log:
            raise ServerError(f"sshd did not start:\n{log.read()}")

    def known_hosts(self, ports):
        """Writes a file that knows the server at each of its ports, the proxies' included."""
        with open(os.path.join(self.directory, "host_key.pub"), encoding="ascii") as file:
            key = " ".join(file.read().split()[:2])
        with open(self.known_hosts_path, "w", encoding="ascii") as file:
            file.writelines(f"[127.0.0.1]:{port} {key}\n" for port in ports)

    def fingerprint(self):
        shown = subprocess.run(["ssh-keygen", "-l", "-f", os.path.join(self.directory, "host_key.pub")], check=True,
                               capture_output=True, text=True).stdout
        return shown.split()[1]

    def settled_processor_seconds(self):
        """Its processor time, once no connection is left: a session is counted when it has ended."""
        end = time.monotonic() + 5
        while time.monotonic() < end and (children(self.server_id) or children(self.process.pid) != [self.server_id]):
            time.sleep(0.01)
        keeper = processor_seconds(self.process.pid, with_ended_children=True)
        return keeper + processor_seconds(self.server_id, with_ended_children=True)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class DelayProxy:
    """Makes the line to a port of loopback longer by a round trip."""

    def __init__(self, program, target_port, round_trip_ms):
        self.process = subprocess.Popen([program, str(target_port), str(round_trip_ms)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise ServerError(f"{program} did not start")
        self.port = int(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def probe(program, round_trip_ms, mib=512):
    """What a delay proxy does: (milliseconds of a round trip, of setting up a connection, MB/s)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            for _ in range(2):
                client, _ = server.accept()
                with client:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.sendall(b"!")
                    while byte := client.recv(1):
                        if byte == b"d":
                            piece = bytes(MIB)
                            for _ in range(mib):
                                client.sendall(piece)
                            break
                        client.sendall(byte)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        proxy = DelayProxy(program, server.getsockname()[1], round_trip_ms)
        try:
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.recv(1)
                connected = time.monotonic() - started
                round_trips = []
                for _ in range(9):
                    started = time.monotonic()
                    client.sendall(b"x")
                    client.recv(1)
                    round_trips.append(time.monotonic() - started)
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                client.recv(1)
                started = time.monotonic()
                client.sendall(b"d")
                buffer, received = bytearray(MIB), 0
                while count := client.recv_into(buffer):
                    received += count
                seconds = time.monotonic() - started
            if received != mib * MIB:
                raise ServerError(f"the delay proxy passed {received} bytes of {mib * MIB}")
        finally:
            proxy.stop()
            thread.join()
    return statistics.median(round_trips) * 1000, connected * 1000, received / seconds / 1e6


class ObjectStore:
    """SeaweedFS by scripts/dev-servers.sh, and the variables that say where it is."""

    def __init__(self, root, directory):
        self.script, self.directory = os.path.join(root, "scripts/dev-servers.sh"), directory
        subprocess.run([self.script, "start", directory], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(directory, "env"), encoding="utf-8") as file:
            pairs = (line.removeprefix("export ").rstrip("\n").partition("=") for line in file)
            self.environment = {name: value for name, _, value in pairs if name.startswith("S3_")}

    def stop(self):
        subprocess.run([self.script, "stop", self.directory], check=True)


class Servers:
    """All of them, started when first asked for."""

    def __init__(self, root, tools, directory):
        self.root, self.tools, self.directory = root, tools, directory
        self.ssh = SSHServer(os.path.join(directory, "ssh"))
        self.proxies, self._store = {}, None
        self.ssh.known_hosts([self.ssh.port])

    def port(self, round_trip_ms):
        """Where the SSH server answers with that round trip; 0 is loopback itself, with nothing in between."""
        if round_trip_ms == 0:
            return self.ssh.port
        if round_trip_ms not in self.proxies:
            self.proxies[round_trip_ms] = DelayProxy(self.tools["bench-proxy"], self.ssh.port, round_trip_ms)
            self.ssh.known_hosts([self.ssh.port] + [proxy.port for proxy in self.proxies.values()])
        return self.proxies[round_trip_ms].port

    @property
    def store(self):
        if self._store is None:
            self._store = ObjectStore(self.root, os.path.join(self.directory, "s3"))
        return self._store

    def processor_seconds(self):
        """(of sshd, of the proxies) so far."""
        proxies = sum(processor_seconds(proxy.process.pid) for proxy in self.proxies.values())
        return self.ssh.settled_processor_seconds(), proxies

    def stop(self):
        if self._store is not None:
            self._store.stop()
        for proxy in self.proxies.values():
            proxy.stop()
        self.ssh.stop()
