"""Bytes of a TIFF file that nothing refers to any more: new strips are put there first.

Strips that become longer cannot stay where they were. If all of them went to the end, a file of
cleaned pages would hold each strip twice. Here the bytes of those that moved are kept by extents,
neighbours joined, and the first one with enough room is used (first fit).
"""

from bisect import bisect_left

_MOST_EXTENTS = 1000  # so that looking for room takes a bounded time; small ones are given up


class FreeSpace:
    """Extents of a file that are free, in their order; no two touch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, size: int) -> None:
        """Add bytes that are free from now on, and were not before."""
        if size <= 0:
            return
        end = start + size
        index = bisect_left(self._starts, start)
        if index < len(self._starts) and self._starts[index] == end:
            end = self._ends[index]
            self._remove(index)
        if index > 0 and self._ends[index - 1] == start:
            index -= 1
            start = self._starts[index]
            self._remove(index)
        self._insert(index, start, end)
        if len(self._starts) > _MOST_EXTENTS:
            self._remove_smallest()

    def take(self, size: int) -> int | None:
        """The offset of so many free bytes, which is even by custom; None where there is no room.

        They are free no longer.
        """
        for index, (start, end) in enumerate(zip(self._starts, self._ends, strict=True)):
            first = start + start % 2
            if first + size <= end:
                self._remove(index)
                self.add(start, first - start)
                self.add(first + size, end - first - size)
                return first
        return None

    def take_tail(self, end: int) -> int:
        """Where the free bytes begin that reach up to an offset; that offset if there are none.

        They are free no longer.
        """
        if not self._ends or self._ends[-1] != end:
            return end
        start = self._starts[-1]
        self._remove(-1)
        return start

    def _insert(self, index: int, start: int, end: int) -> None:
        self._starts.insert(index, start)
        self._ends.insert(index, end)

    def _remove(self, index: int) -> None:
        del self._starts[index]
        del self._ends[index]

    def _remove_smallest(self) -> None:
        sizes = [end - start for start, end in zip(self._starts, self._ends, strict=True)]
        self._remove(sizes.index(min(sizes)))
