"""How many megapixels may be decoded at one time."""

import threading
from collections.abc import Hashable

_IN_FLIGHT_MP = {"cpu": 48.0, "cuda": 400.0}


class _Budget:
    """Megapixels in flight. One image alone is always let in, however large."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._in_flight: dict[Hashable, float] = {}
        self._open = True
        self._changed = threading.Condition()

    def take(self, owner: Hashable, megapixels: float) -> bool:
        """Wait for room; False when the work has been stopped meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open or self._has_room(megapixels))
            self._in_flight[owner] = megapixels
            return self._open

    def _has_room(self, megapixels: float) -> bool:
        return not self._in_flight or sum(self._in_flight.values()) + megapixels <= self._limit

    def give(self, owner: Hashable) -> None:
        with self._changed:
            del self._in_flight[owner]
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
