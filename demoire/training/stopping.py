"""Being asked to stop: a training finishes its step, saves, and says where it stands."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
