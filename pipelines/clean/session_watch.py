"""The last resort where Ray fails: a thread that ends this process.

Any call of Ray may wait for minutes where a helper of Ray is dead or stopped, and no exception
reaches a thread that waits in native code: closing a wave's gate after the last row did so for
eight minutes. So a thread that never calls Ray looks after Ray's helpers from the start of a local
Ray to the end of its shutdown. Whoever awaits rows has some seconds to end in good order; after
that the thread ends Ray's processes and this one. What is committed stays; the next start copes as
it does after a kill. Costs a thread that reads two files of /proc every other second.

While Ray comes up there are no helpers to look at, and only the time can be watched.
"""

import os
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import NoReturn

from demoire.errors import STALLED_STATUS
from pipelines.clean.own_ray import OwnRay, stalled

_LOOK_AGAIN = 2.0  # seconds
_GRACE = 8.0  # seconds from the look that finds a failure to the end


class _Watch(ABC):
    """A thread that looks after a Ray while a `with` block runs, and may end this process.

    Args:
        watched: The Ray of this process.
    """

    def __init__(self, watched: OwnRay) -> None:
        self._watched = watched
        self._over = threading.Event()  # the block has ended

    def __enter__(self) -> None:
        name = f"demoire-{type(self).__name__}"
        threading.Thread(target=self._watch, name=name, daemon=True).start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    @abstractmethod
    def _watch(self) -> None:
        """Return once the block has ended, or end this process."""

    def _say(self, failure: str, stderr: int) -> None:
        # Not by sys.stderr, whose lock the thread that waits may hold.
        os.write(stderr, f"demoire: {stalled(failure)}\n".encode())

    def _end(self) -> NoReturn:
        self._watched.end_by_force()
        os._exit(STALLED_STATUS)


class SessionWatch(_Watch):
    """For a `with` block: end this process, with STALLED_STATUS, where its Ray fails for good.

    Args:
        watched: The Ray of this process.
    """

    def _watch(self) -> None:
        failed_at: float | None = None
        while not self._over.wait(_LOOK_AGAIN):
            failure = self._watched.look()
            if failure is None:
                failed_at = None
                continue
            now = time.monotonic()
            if failed_at is None:
                failed_at = now
            if now - failed_at >= _GRACE:
                self._say(failure, stderr=2)
                self._end()


class StartWatch(_Watch):
    """For a `with` block that starts Ray: end this process, with STALLED_STATUS, where it takes too
    long.

    Args:
        watched: The Ray that is being started.
        patience: Seconds.
    """

    def __init__(self, watched: OwnRay, patience: float) -> None:
        super().__init__(watched)
        self._patience = patience
        self._stderr = -1

    def __enter__(self) -> None:
        # The block may turn off standard error.
        self._stderr = os.dup(2)
        super().__enter__()

    def _watch(self) -> None:
        if self._over.wait(self._patience):
            os.close(self._stderr)
            return
        minutes = self._patience / 60
        self._say(f"Ray did not come up within {minutes:g} minutes", self._stderr)
        self._watched.note_start()
        self._end()
