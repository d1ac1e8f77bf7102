"""Stopping in good order: on SIGTERM or Ctrl-C what is in work is finished, nothing else is begun,
and the run ends.

Signals belong to the process, and so does what is known here of them; only its main thread is told
of any. A second signal ends the run at once, which loses nothing either: what was not committed is
done again by the next run. Ray puts a handler of its own in place when it starts, which aborts the
process: this one has to come after it.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from demoire.errors import StoppedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Drain:
    """What has to be waited for before the run may end."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._changing = threading.Lock()
        self._over = False
        self.asked = False

    def begin(self) -> None:
        """Wait in another thread, since this one may be anywhere in code that is not reentrant;
        then stop this one.
        """
        self.asked = True
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    def _run(self) -> None:
        try:
            self._wait()
        finally:
            with self._changing:
                if not self._over:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def end(self) -> None:
        with self._changing:
            self._over = True


_drain: _Drain | None = None


def _stop(number: int, frame: FrameType | None) -> None:
    if _drain is None or _drain.asked:
        raise StoppedError(
            "Stopped as asked; what is committed stays, run the same command again to go on."
        )
    _drain.begin()


@contextmanager
def stops_in_order() -> Iterator[None]:
    """For the block SIGTERM and SIGINT raise StoppedError, in a `draining` block after what that
    waits for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def draining(wait: Callable[[], None]) -> Iterator[None]:
    """For the block a first signal calls `wait`, in a thread of its own, and only then raises
    StoppedError.
    """
    global _drain
    _drain = mine = _Drain(wait)
    try:
        yield
    finally:
        _drain = None
        mine.end()
    if mine.asked:  # all was done before the wait was over
        _stop(signal.SIGTERM, None)
