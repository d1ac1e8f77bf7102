"""How many megapixels may be in flight at one time, so that memory does not grow with their number.

A picture in flight costs up to 16 MB for each megapixel: the file, its pixels, restored tiles, the
picture made of them, and what was read again.
"""

import threading
from collections.abc import Hashable

# By the kind of device. A GPU empties its queue faster, and stands in machines with more memory.
MEGAPIXELS_IN_FLIGHT = {"cpu": 48.0, "cuda": 400.0}

_BYTES_A_MEGAPIXEL = 16e6
_BYTES_A_PROCESS = 1.3e9  # torch, the networks with a window, decoders and coders
_BYTES_A_WINDOW = 0.8e9  # see `most` in `demoire.models.restorer`
_BYTES_BESIDE_A_PAGE = 780e6  # the same, with a smaller window
_LARGE_PAGE = 8e6  # bytes a megapixel of a page that is alone in flight, most of them in files


def megapixels_in_flight(device: str, memory: float, share: float = 1.0) -> float:
    """How many megapixels one process may have in flight; at least one, whatever the memory.

    Args:
        device: The kind, cpu or cuda.
        memory: Bytes that machine or container have.
        share: How much of them is for this process, 0..1.
    """
    room = (memory * share - _BYTES_A_PROCESS) / _BYTES_A_MEGAPIXEL
    return min(MEGAPIXELS_IN_FLIGHT[device], max(1.0, room))


def windows_at_once(memory: float, share: float, threads: int) -> int:
    """How many windows may be in the restorer at a time, beside all megapixels in flight.

    Args:
        memory: Bytes that machine or container have.
        share: How much of them is for this process, 0..1.
        threads: How many could restore one each.
    """
    others = _BYTES_A_PROCESS + MEGAPIXELS_IN_FLIGHT["cpu"] * _BYTES_A_MEGAPIXEL
    further = int((memory * share - others) / _BYTES_A_WINDOW)
    return max(1, min(threads, 1 + further))


def largest_page(memory: float) -> float:
    """Megapixels of the largest page that can be cleaned alone in so much memory (bytes)."""
    return max(0.0, (memory - _BYTES_BESIDE_A_PAGE) / _LARGE_PAGE)


class Budget:
    """Megapixels in flight, shared by the threads that decode and the one that gives results.

    A single image is always let in, however large, or it would wait forever.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit  # MP
        self._in_flight: dict[Hashable, float] = {}  # MP by owner
        self._open = True
        self._changed = threading.Condition()

    def take(self, owner: Hashable, megapixels: float) -> bool:
        """Wait until there is room, and take it.

        Args:
            owner: Whoever takes it, and gives it back under the same name.
            megapixels: How much room is needed.

        Returns:
            False when the budget was closed meanwhile, so that the work need not start.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._open or self._has_room(megapixels))
            self._in_flight[owner] = megapixels
            return self._open

    def give(self, owner: Hashable) -> None:
        """Give back what `owner` has taken."""
        with self._changed:
            del self._in_flight[owner]
            self._changed.notify_all()

    def close(self) -> None:
        """Wake all that wait; nobody is let in any more."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _has_room(self, megapixels: float) -> bool:
        if not self._in_flight:
            return True
        return sum(self._in_flight.values()) + megapixels <= self._limit
