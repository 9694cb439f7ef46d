"""An SSH server with the login rules a test asks for. Prints its port, then serves until it is killed.

ssh_server.py HOST_KEY RULE [PASSWORD] [AUTHORIZED_KEYS]
RULE: password | prompt (one hidden prompt) | visible (a prompt that shows the answer) | empty (a round without prompts)
      | key | key+password | key+prompt (both, in this order) | hang-up (ends the connection instead of any login)
      | strict (a password, and the connection ends with the first wrong one)
      | cut (the same, without a word) | endless (rounds without prompts, for ever)
      | ignore (any password; then packets to be ignored, for ever, and no answer)
"""

import asyncio
import sys

import asyncssh

host_key, rule = sys.argv[1:3]
password = sys.argv[3] if len(sys.argv) > 3 else ""
authorized_keys = sys.argv[4] if len(sys.argv) > 4 else None


async def flood(connection):
    while True:
        for _ in range(50):
            connection.send_packet(2, asyncssh.packet.String(b"x" * 30000))
        await asyncio.sleep(0)
        while connection._transport.get_write_buffer_size() > 1 << 20:
            await asyncio.sleep(0.001)


class Silent(asyncssh.SFTPServer):
    async def stat(self, path):
        await asyncio.sleep(1000)


class Server(asyncssh.SSHServer):
    def auth_completed(self):
        if rule == "ignore":
            self.task = asyncio.get_running_loop().create_task(self.wait())

    async def wait(self):
        await asyncio.sleep(1)
        await flood(self.connection)

    def connection_made(self, connection):
        self.connection = connection
        connection.key_accepted = False

    def begin_auth(self, username):
        if rule == "hang-up":
            self.connection.abort()
        return True

    def password_auth_supported(self):
        return rule in ("password", "strict", "cut", "ignore") or rule == "key+password" and self.connection.key_accepted

    def validate_password(self, username, given):
        if given != password and rule == "strict":
            self.connection.disconnect(2, "Too many authentication failures")
        if given != password and rule == "cut":
            self.connection.abort()
        return given == password

    def kbdint_auth_supported(self):
        return rule in ("prompt", "visible", "empty", "endless") or rule == "key+prompt" and self.connection.key_accepted

    def get_kbdint_challenge(self, username, lang, submethods):
        self.rounds = 0
        return "", "", "en", self.prompts()

    def prompts(self):
        if rule in ("empty", "endless"):
            return []
        return [("Password: " if rule != "visible" else "Your mother's name: ", rule == "visible")]

    def validate_kbdint_response(self, username, responses):
        if rule == "endless":
            return "", "", "en", []
        if rule == "empty":
            self.rounds += 1
            return ("", "", "en", [("Password: ", False)]) if self.rounds == 1 else responses == [password]
        return responses == [password]


accept = asyncssh.SSHServerConnection.send_userauth_success


async def send_userauth_success(self):
    if rule.startswith("key+") and not self.key_accepted:
        self.key_accepted = True
        self.send_userauth_failure(True)
    else:
        await accept(self)


asyncssh.SSHServerConnection.send_userauth_success = send_userauth_success
asyncssh.SSHServerConnection.public_key_auth_supported = lambda self: (
    rule.startswith("key") and not self.key_accepted)


async def main():
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[host_key], sftp_factory=Silent if rule == "ignore" else True,
        authorized_client_keys=authorized_keys)
    print(server.get_port(), flush=True)
    await server.wait_closed()


asyncio.run(main())
