"""A TIFF file that is being changed: new strips, values and directories among the old ones.

A thing takes the old one's place if it fits and nothing else has those bytes. Else it goes where
things lay that were moved before (`tiff_free_space`), and only where no such room is large enough
to the end of the file. Bytes that were in no thing of the file are never written over.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO

from demoire.file_bytes import LARGE_BYTES
from demoire.imaging.codecs.tiff_free_space import FreeSpace
from demoire.imaging.codecs.tiff_reader import Entry, FileDirectory, TiffReader, packed_numbers
from demoire.imaging.codecs.tiff_spans import OwnedSpans
from demoire.imaging.codecs.tiff_tags import NUMBERS
from demoire.temporary_files import temporary_folder

_MOST_OFFSET = (1 << 32) - 1  # of a TIFF file; BigTIFF has no such limit


class PageRefusedError(ValueError):
    """A cleaned page that cannot be put back faithfully."""


@dataclass(frozen=True)
class NewSegment:
    """New bytes for a strip or tile.

    Attributes:
        index: Its number in the tags of offsets and sizes.
        at: Where the old one lies.
        room: Bytes of the old one.
        data: The new one.
    """

    index: int
    at: int
    room: int
    data: bytes | memoryview


class _Room:
    """The bytes of a file that is being changed: which may be written over, and what is free."""

    def __init__(self, file: BinaryIO, reader: TiffReader) -> None:
        self._file = file
        self._reader = reader
        self._spans = OwnedSpans(reader)
        self._free = FreeSpace()

    def is_own(self, at: int, size: int) -> bool:
        """Whether these bytes are of one thing alone."""
        return self._spans.is_own(at, size)

    def fits(self, segment: NewSegment) -> bool:
        """Whether a new strip or tile may be written over the old one."""
        if not 0 < len(segment.data) <= segment.room:
            return False
        return self.is_own(segment.at, segment.room)

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Write over the bytes at an offset."""
        self._file.seek(at)
        self._file.write(data)

    def write_over(self, segment: NewSegment) -> None:
        """Write a strip or tile that fits over the old one, whose other bytes are free then."""
        self.write(segment.at, segment.data)
        end = segment.at + len(segment.data)
        self._free.add(end, segment.room - len(segment.data))

    def release(self, at: int, size: int) -> None:
        """Give up the bytes of a thing that moves, if it has them alone."""
        if size and self.is_own(at, size):
            self._free.add(at, size)

    def place(self, data: bytes) -> int:
        """Write data where there is room, at an even offset; that offset."""
        at = self._free.take(len(data))
        if at is None:
            return self._append(data)
        self.write(at, data)
        return at

    def _append(self, data: bytes) -> int:
        end_of_used = self._free.take_tail(self._reader.length)
        start = end_of_used + end_of_used % 2
        end = start + len(data)
        if end > _MOST_OFFSET and not self._reader.shapes.is_big:
            raise PageRefusedError("the file would grow beyond 4 GB")
        self.write(end_of_used, bytes(start - end_of_used) + data)
        self._reader.length = end
        return start


class PatchedFile:
    """A file whose parts are exchanged; each part once at most.

    Attributes:
        reader: Reads it.
        shapes: How its directories are laid out.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Look at all directories of a file that is open for reading and writing.

        Raises:
            DamagedPagesError: It has no header.
        """
        self.reader = TiffReader(file)
        self.shapes = self.reader.shapes
        self._room = _Room(file, self.reader)

    def put_segments(
        self, directory: FileDirectory, tags: tuple[int, int], changed: Iterable[NewSegment]
    ) -> dict[int, bytes]:
        """Write strips or tiles of a directory.

        Args:
            directory: Theirs.
            tags: Those of their offsets and of their sizes.
            changed: One at a time. Those that do not fit wait until all others are written, so
                that there is as much free room as can be; where they are many, in a file.

        Returns:
            The entries of offsets and sizes that differ now, by tag.

        Raises:
            PageRefusedError: A size differs, and the directory does not tell sizes; or the file
                would grow beyond 4 GB.
        """
        offsets: dict[int, int] = {}
        sizes: dict[int, int] = {}
        waiting: list[tuple[int, int]] = []  # index and size, in the order of their bytes
        with SpooledTemporaryFile(LARGE_BYTES, dir=temporary_folder()) as kept:
            for segment in changed:
                if len(segment.data) != segment.room:
                    sizes[segment.index] = len(segment.data)
                if self._room.fits(segment):
                    self._room.write_over(segment)
                else:
                    self._room.release(segment.at, segment.room)
                    waiting.append((segment.index, len(segment.data)))
                    kept.write(segment.data)
            kept.seek(0)
            for index, size in waiting:
                offsets[index] = self._room.place(kept.read(size))
        packed = {}
        for tag, values in zip(tags, (offsets, sizes), strict=True):
            if not values:
                continue
            if tag not in directory.entries:
                raise PageRefusedError(f"a page without the tag {tag}")
            packed[tag] = self._put_numbers(directory.entries[tag], values)
        return packed

    def put_value(
        self, before: Entry | None, value_type: int, count: int, value: bytes, tag: int
    ) -> bytes:
        """An entry with this value, in the place of the old value where that fits."""
        value_at = None if before is None else before.value_at
        if before is not None and before.type == value_type and before.count == count:
            if self.reader.value(before) == value:
                return self.shapes.entry_as_it_is(before)
            if value_at is not None and self._room.is_own(value_at, len(value)):
                self._room.write(value_at, value)
                return self.shapes.entry_as_it_is(before)
        if before is not None and value_at is not None:
            self._room.release(value_at, len(self.reader.value(before)))
        if len(value) <= self.shapes.inline:
            return self.shapes.near_entry(tag, value_type, count, value)
        return self.shapes.entry.pack(tag, value_type, count, self._room.place(value))

    def put_directory(self, old: FileDirectory, packed: dict[int, bytes]) -> int:
        """Write the entries of a directory where they were, or all of it elsewhere.

        Args:
            old: The directory as it is.
            packed: All its entries, by tag.

        Returns:
            Where the directory is now.
        """
        next_pointer = self.shapes.offset.pack(old.next_at)
        size = old.next_pointer_at + len(next_pointer) - old.at
        tags = sorted(packed)
        if packed.keys() == old.entries.keys():
            first_entry = old.at + self.shapes.count.size
            entries = b"".join(packed.values())
            if entries == self.reader.read(first_entry, len(entries)):
                return old.at
            if self._room.is_own(old.at, size):
                self._room.write(first_entry, entries)
                return old.at
            tags = list(packed)
        self._room.release(old.at, size)
        table = b"".join(packed[tag] for tag in tags)
        return self._room.place(self.shapes.count.pack(len(tags)) + table + next_pointer)

    def put_entries(self, directory: FileDirectory, packed: dict[int, bytes]) -> None:
        """Write some entries of a directory over the old ones."""
        for tag, entry in packed.items():
            self._room.write(directory.entries[tag].at, entry)

    def put_pointer(self, at: int, target: int) -> None:
        """Let the file's pointer at an offset lead to a directory."""
        self._room.write(at, self.shapes.offset.pack(target))

    def _put_numbers(self, entry: Entry, changed: dict[int, int]) -> bytes:
        """The entry with other numbers at these indices, in a wider type where they need it."""
        values = list(self.reader.numbers(entry))
        for index, number in changed.items():
            values[index] = number
        value_type = entry.type
        if max(values) >= 1 << (8 * struct.calcsize(f"<{NUMBERS[value_type]}")):
            value_type = self.shapes.wide_type
        value = packed_numbers(self.shapes.order, value_type, values)
        return self.put_value(entry, value_type, entry.count, value, entry.tag)
