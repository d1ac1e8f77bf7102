"""Stopping in good order: on SIGTERM or Ctrl-C what is in work is finished, nothing else is begun,
and the run ends.

Signals belong to the process, and only its main thread is told of any. A second signal ends the run
at once, which loses nothing either: what was not committed is done again by the next run.

A signal may come anywhere, also in the middle of a library. So it raises KeyboardInterrupt, which
libraries let through, and only the end of the whole run makes a StoppedError of it. An error of any
other kind is reworded by whoever catches exceptions (a store, Ray's start), and Ray's library drops
it where the run waits for tasks.

One request may arrive twice: `timeout` and service managers signal a command and its whole group,
and the command passes on what it gets (`flows.supervisor`). So a repetition at once is none.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from demoire.errors import StoppedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_REQUEST = 0.5  # seconds

_LOG = logging.getLogger(__name__)


class OrderlyStop:
    """Turns stop signals into StoppedError, after what is in work is done.

    A run makes one and hands it down to its waves.
    """

    def __init__(self) -> None:
        self._drain: _Drain | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A block that SIGTERM and SIGINT end; in a `draining` block they first wait.

        Does nothing outside the main thread.

        Raises:
            StoppedError: A signal came.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        except KeyboardInterrupt as asked:
            raise StoppedError(
                "Stopped as asked; what is committed stays, run the same command again to go on."
            ) from asked
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def draining(self, wait: Callable[[], None]) -> Iterator[None]:
        """A block in which a first signal calls `wait`, in a thread of its own, and only then ends
        the run.
        """
        drain = _Drain(wait)
        self._drain = drain
        try:
            yield
        finally:
            self._drain = None
            drain.end()
        if drain.asked_at is not None:  # all was done before the wait was over
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        drain = self._drain
        if drain is None:
            raise KeyboardInterrupt
        if drain.asked_at is not None:
            if not drain.is_over and time.monotonic() - drain.asked_at < _SAME_REQUEST:
                return
            raise KeyboardInterrupt
        drain.begin()


class _Drain:
    """What has to be waited for before the run may end."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._changing = threading.Lock()
        self._over = False
        self.asked_at: float | None = None
        self.is_over = False  # the wait, so that the next signal is this one's own

    def begin(self) -> None:
        """Wait in another thread, then stop this one.

        The signal may have come anywhere, in code that is not reentrant, so this thread cannot wait
        here.
        """
        self.asked_at = time.monotonic()
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    def _run(self) -> None:
        # Here and not in the handler: a signal may come in the middle of writing to stderr.
        _LOG.warning(
            "Asked to stop: the units in progress are finished first; "
            "a second Ctrl-C or SIGTERM ends the run at once."
        )
        try:
            self._wait()
        finally:
            self.is_over = True
            with self._changing:
                if not self._over:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def end(self) -> None:
        """The block is over: there is nothing to stop any more."""
        with self._changing:
            self._over = True
