"""Keeps one server, and takes in the children that it leaves behind, so that their processor time is not lost.

    keeper.py COMMAND…

Prints the server's process id. (sshd does not wait for its SFTP server when a client goes without taking leave.) Ends
with the server; ends the server when it is ended itself, or when who started it is.
"""
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(command):
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    server = os.fork()
    if server == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.execv(command[0], command)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(server, signal.SIGTERM))
    print(server, flush=True)
    while os.wait()[0] != server:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
