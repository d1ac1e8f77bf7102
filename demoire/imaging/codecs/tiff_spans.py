"""Which bytes of a TIFF file belong to one thing alone, and so may be written over.

Blank strips may share their bytes, within a page and among pages, and a forged file may let strips
lie over directories. Writing over such bytes would change what nobody meant to touch.
"""

from array import array
from collections.abc import Iterable

import numpy as np

from demoire.imaging.codecs.tiff_pages import chain
from demoire.imaging.codecs.tiff_reader import DamagedPagesError, FileDirectory, TiffReader


class OwnedSpans:
    """All directories, values, strips and tiles of a file: 16 bytes of memory for each.

    Where the directories do not check out, nothing is known to belong to one thing alone.
    """

    def __init__(self, reader: TiffReader) -> None:
        """Look through all directories of a file."""
        self._length = reader.length
        self._starts = array("Q")
        self._ends = array("Q")
        self._reader = reader
        try:
            self._add_all_directories()
        except DamagedPagesError:
            self._length = 0
        self._sorted_starts = np.sort(np.frombuffer(self._starts, np.uint64))
        self._sorted_ends = np.sort(np.frombuffer(self._ends, np.uint64))

    def is_own(self, start: int, size: int) -> bool:
        """Whether no other thing has any of these bytes, which are one thing of the file."""
        if start + size > self._length:
            return False
        begun = np.searchsorted(self._sorted_starts, np.uint64(start + size), side="left")
        over = np.searchsorted(self._sorted_ends, np.uint64(start), side="right")
        return int(begun) - int(over) == 1

    def _add_all_directories(self) -> None:
        self._add(0, self._reader.shapes.first_at + self._reader.shapes.offset.size)
        for directory in chain(self._reader):
            self._add_directory(directory)
            for at in self._reader.sub_directories(directory):
                self._add_directory(self._reader.directory(at))

    def _add_directory(self, directory: FileDirectory) -> None:
        shapes = self._reader.shapes
        self._add(directory.at, directory.next_pointer_at + shapes.offset.size - directory.at)
        for entry in directory.entries.values():
            if entry.value_at is not None:
                self._add(entry.value_at, len(self._reader.value(entry)))
        for table in self._reader.segments(directory):
            self._add_all(table.offsets, table.sizes)

    def _add_all(self, offsets: Iterable[int], sizes: Iterable[int]) -> None:
        for start, size in zip(offsets, sizes, strict=True):
            self._add(start, size)

    def _add(self, start: int, size: int) -> None:
        """Add a thing, as far as it lies in the file."""
        if size and start < self._length:
            self._starts.append(start)
            self._ends.append(min(start + size, self._length))
