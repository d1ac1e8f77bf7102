"""The end of a process whose command is done."""

import os
import sys
import threading
from contextlib import suppress

from demoire.errors import INTERRUPTED_STATUS

_LONGEST_END = 20.0  # seconds; Prefect takes a few to stop a server of its own


def leave_soon(status: int) -> None:
    """From now on this process ends with this status, at the latest in some seconds; at once
    if the keyboard stopped its command.

    Python waits at its end for all threads, and one may still be reading an archive whose contents
    nobody asks for any more.
    """
    _flush()
    if status == INTERRUPTED_STATUS:
        # Threads in the midst of native code made Python abort at its orderly end.
        os._exit(status)
    end = threading.Timer(_LONGEST_END, os._exit, (status,))
    end.daemon = True
    end.start()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
