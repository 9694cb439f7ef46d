"""asyncssh's SFTP server as it comes, on a free loopback port, for one user with a password and a key.

asyncssh_server.py HOST_KEY AUTHORIZED_KEYS USER PASSWORD [CONNECTIONS]
Says `listening on PORT` on standard error, then serves until it is killed. Beyond CONNECTIONS at a time it hangs up.
"""

import asyncio
import sys

import asyncssh

host_key, authorized_keys, user, password = sys.argv[1:5]
limit = int(sys.argv[5]) if len(sys.argv) > 5 else None
connections = 0


class Server(asyncssh.SSHServer):
    def connection_made(self, connection):
        global connections
        connections += 1
        if limit is not None and connections > limit:
            connection.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "one connection is enough")

    def connection_lost(self, error):
        global connections
        connections -= 1

    def password_auth_supported(self):
        return True

    def validate_password(self, username, given):
        return username == user and given == password


async def main():
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[host_key], sftp_factory=True,
        authorized_client_keys=authorized_keys)
    print(f"listening on {server.get_port()}", file=sys.stderr, flush=True)
    await server.wait_closed()


asyncio.run(main())
