"""Runs one command and measures it: a process of its own, so small that it does not show in the figures.

    measure.py LIMIT_SECONDS OUTPUT_FILE COMMAND…

A child's peak memory never reads lower than that of the process it was forked from, so this imports next to nothing.
Processor time and memory include all that the command started, also what outlives it: this process is their reaper.
Prints one JSON object; standard output and error of the command go to OUTPUT_FILE.
"""
import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def run(limit_seconds, output_path, command):
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    output = os.open(output_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            # A session of its own hears no Ctrl-C: it ends with who measures it.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.dup2(nothing, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"cannot run {command[0]}: {error}\n".encode())
        os._exit(127)
    timed_out = []

    def stop(*_):
        timed_out.append(True)
        os.killpg(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit_seconds)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status),
            bool(timed_out))


if __name__ == "__main__":
    wall, processor, memory, code, late = run(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
    print('{"seconds": %f, "cpu_seconds": %f, "peak_bytes": %d, "exit_code": %d, "timed_out": %s}'
          % (wall, processor, memory, code, "true" if late else "false"))
