"""Being asked to stop: a training finishes its step, saves, and says where it stands."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Deadline:
    """When a training has to stop by itself.

    It stops while there is still time for a step, a validation among them, as long as the longest
    so far. The first one does not count: workers start in it.
    """

    def __init__(self, minutes: float | None, began: float) -> None:
        """Count from `began`, of `time.monotonic`; None never stops."""
        self._end = math.inf if minutes is None else began + 60 * minutes
        self._longest = 0.0
        self._last: float | None = None

    def is_near(self) -> bool:
        """Whether it is time to stop; to be asked after every step."""
        now = time.monotonic()
        if self._last is not None:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        return now + self._longest > self._end


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGINT or SIGTERM has come.

    Outside the main thread no signal can be caught; then it always says no.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals_to_the_training(worker: int) -> None:
    """Let a worker process ignore signals: for a DataLoader's `worker_init_fn`.

    Ctrl-C and `kill` of a whole group reach the workers too. The training ends its step first, and
    then ends them.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
