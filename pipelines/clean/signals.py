"""Signals stay with whoever handles them while Ray starts and ends.

Ray puts a handler of SIGTERM in place when it starts, which ends the process with status 15 and
without a word, and below Python one that aborts. When it ends it leaves the default action below
Python, which kills.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_sigterm() -> Iterator[None]:
    """A block of Ray's after which SIGTERM is handled as before it.

    If SIGTERM comes during the block and meets Ray's handler, the handler of before is called at
    the end of the block. Does nothing outside the main thread, where Ray leaves signals alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # from Ray's handler
        signal.signal(signal.SIGTERM, handler)
        signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)
