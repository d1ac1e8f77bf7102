"""What this process starts ends with it, however it ends.

A Prefect server, the runs that a schedule starts and a local Ray live in processes of their own,
some in sessions of their own, so that Ctrl-C does not tear them down in the middle of the work. An
orderly end stops them. A process that is killed stops nothing; the server would then hold its port
and its memory for ever.

So a watchdog stands beside the process. It holds the reading end of a pipe, and the process holds
the writing end until it is gone. Everything that the process starts inherits a mark in its
environment, and once the pipe is closed the watchdog ends whatever still carries that mark. A
signal on the parent's death (PR_SET_PDEATHSIG) would be simpler, but it reaches direct children
alone, and only those that we start ourselves: Prefect starts most of them.

Costs: one small Python process (some 15 MB) and 0.1 s.
"""

import os
import subprocess
import sys
import time
from uuid import uuid4

import psutil

MARK = "DEMOIRE_LEASH"

_GRACE = 20.0  # seconds between SIGTERM and SIGKILL

_watchdogs: list[subprocess.Popen[bytes]] = []  # keeps the pipe open as long as the process lives


def leash_children() -> None:
    """From now on, whatever this process starts ends with it.

    Does nothing where that is so already: in this process, or in the one that started it.
    """
    if os.environ.get(MARK):
        return
    mark = uuid4().hex
    # Isolated, since this file's folder must not come first in the search for modules.
    command = [sys.executable, "-I", __file__, mark]
    # In a session of its own, out of reach of what kills the whole group.
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    _watchdogs.append(watchdog)
    os.environ[MARK] = mark


def end_marked(mark: str, grace: float = _GRACE, variable: str = MARK) -> None:
    """End all processes that carry this mark: SIGTERM, and SIGKILL for those that stay.

    Args:
        mark: Value of the variable in their environment.
        grace: Seconds between the two signals; 0: SIGKILL at once.
        variable: The variable.
    """
    deadline = time.monotonic() + grace
    if grace > 0:
        for process in _marked(variable, mark):
            _send(process, force=False)
    while time.monotonic() < deadline and _marked(variable, mark):
        time.sleep(0.2)
    for process in _marked(variable, mark):
        _send(process, force=True)


def _marked(variable: str, mark: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            carries = process.environ().get(variable) == mark
            if carries and process.status() != psutil.STATUS_ZOMBIE:
                marked.append(process)
        except psutil.Error:
            continue  # gone meanwhile, or somebody else's
    return marked


def _send(process: psutil.Process, *, force: bool) -> None:
    try:
        if force:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        pass  # gone meanwhile


def _watch(mark: str) -> None:
    """Wait until the pipe's other end is closed, and end what is left then."""
    sys.stdin.buffer.read()
    end_marked(mark)


if __name__ == "__main__":
    _watch(sys.argv[1])
