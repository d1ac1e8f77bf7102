"""Directories of a TIFF file with their values, read from a seekable file by few small reads.

`tiff_directory` looks at files that are in memory. A file of many pages need not be: here only the
directories are read, and the values and strips that somebody asks for. Nothing is trusted: what
lies beyond the end of the file, or is larger than any honest file has it, raises DamagedPagesError.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from demoire.imaging.codecs.tiff_directory import Shapes, shapes_of
from demoire.imaging.codecs.tiff_tags import (
    NEW_SUBFILE_TYPE,
    NUMBERS,
    REDUCED,
    STRIP_OFFSETS,
    STRIP_SIZES,
    SUB_DIRECTORIES,
    TILE_OFFSETS,
    TILE_SIZES,
    VALUE_SIZES,
)

SEGMENT_TAGS = ((STRIP_OFFSETS, STRIP_SIZES), (TILE_OFFSETS, TILE_SIZES))
_HEADER_SIZE = 16  # bytes of a BigTIFF header; a TIFF header has 8
_MOST_ENTRIES = 4096
_MOST_VALUE_BYTES = 256 << 20


class DamagedPagesError(ValueError):
    """A file whose directories do not check out, or one of a kind that is not taken apart."""


@dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    Attributes:
        tag: What it is about.
        type: Of its values.
        count: Of its values.
        field: Its last 4 or 8 bytes: the values, or their offset.
        at: Where the entry lies in the file.
        value_at: Where the values lie in the file; None where they are in the entry.
    """

    tag: int
    type: int
    count: int
    field: bytes
    at: int
    value_at: int | None


@dataclass(frozen=True)
class FileDirectory:
    """A directory as it lies in a file.

    Attributes:
        at: Its offset.
        entries: By tag, in the file's order.
        next_at: Where the next directory lies; 0 behind the last one.
        next_pointer_at: Where the file says so.
    """

    at: int
    entries: dict[int, Entry]
    next_at: int
    next_pointer_at: int


@dataclass(frozen=True)
class SegmentTable:
    """Where the strips or tiles of a directory lie.

    Attributes:
        offsets_tag: The tag that holds their offsets.
        sizes_tag: The tag that holds their sizes.
        offsets: Bytes from the beginning of the file.
        sizes: Bytes.
    """

    offsets_tag: int
    sizes_tag: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


def packed_numbers(order: str, value_type: int, values: Sequence[int]) -> bytes:
    """Whole numbers as values of a tag.

    Args:
        order: Of bytes, as `struct` writes it.
        value_type: One of NUMBERS.
        values: As many as the tag has.

    Raises:
        struct.error: One is too large for the type.
    """
    return struct.pack(f"{order}{len(values)}{NUMBERS[value_type]}", *values)


class TiffReader:
    """Reads the directories of a TIFF or BigTIFF file.

    Attributes:
        file: The file.
        shapes: How its directories are laid out.
        header: Its first bytes, up to the offset of the first directory.
        first_at: That offset.
        length: Of the file, bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the header.

        Raises:
            DamagedPagesError: There is none.
        """
        self.file = file
        self.length = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(_HEADER_SIZE)
        try:
            self.shapes: Shapes = shapes_of(start)
            (self.first_at,) = self.shapes.offset.unpack_from(start, self.shapes.first_at)
        except struct.error as error:
            raise DamagedPagesError("no header of a TIFF file") from error
        self.header = start[: self.shapes.first_at]

    def directory(self, at: int) -> FileDirectory:
        """The directory at an offset; its values are not read yet.

        Raises:
            DamagedPagesError: It is not there in full, or names a tag twice.
        """
        shapes = self.shapes
        (count,) = shapes.count.unpack(self.read(at, shapes.count.size))
        if count > _MOST_ENTRIES:
            raise DamagedPagesError(f"a directory of {count} entries")
        first_entry = at + shapes.count.size
        size = count * shapes.entry.size
        table = self.read(first_entry, size + shapes.offset.size)
        entries: dict[int, Entry] = {}
        for start in range(0, size, shapes.entry.size):
            entry = self._entry(table[start : start + shapes.entry.size], first_entry + start)
            if entry.tag in entries:
                raise DamagedPagesError(f"a directory that names tag {entry.tag} twice")
            entries[entry.tag] = entry
        (next_at,) = shapes.offset.unpack_from(table, size)
        return FileDirectory(at, entries, next_at, first_entry + size)

    def value(self, entry: Entry) -> bytes:
        """The values of an entry as they are stored; its whole field where the type is unknown."""
        size = VALUE_SIZES.get(entry.type, 0) * entry.count
        if entry.value_at is None:
            return entry.field[:size] if size else entry.field
        return self.read(entry.value_at, size)

    def numbers(self, entry: Entry) -> tuple[int, ...]:
        """The values of an entry as numbers.

        Raises:
            DamagedPagesError: They are none.
        """
        code = NUMBERS.get(entry.type)
        if code is None:
            raise DamagedPagesError(f"tag {entry.tag} holds no whole numbers")
        return struct.unpack(f"{self.shapes.order}{entry.count}{code}", self.value(entry))

    def number(self, directory: FileDirectory, tag: int) -> int:
        """The only value of a tag; 0 where the directory does not have it."""
        entry = directory.entries.get(tag)
        if entry is None or entry.count != 1:
            return 0
        return self.numbers(entry)[0]

    def is_reduced(self, directory: FileDirectory) -> bool:
        """Whether it says that it shows another page in small."""
        return bool(self.number(directory, NEW_SUBFILE_TYPE) & REDUCED)

    def sub_directories(self, directory: FileDirectory) -> tuple[int, ...]:
        """The offsets of the directories below this one."""
        entry = directory.entries.get(SUB_DIRECTORIES)
        return () if entry is None else self.numbers(entry)

    def segments(self, directory: FileDirectory) -> list[SegmentTable]:
        """Where its strips or tiles lie.

        Raises:
            DamagedPagesError: There are not as many sizes as offsets.
        """
        tables = []
        for offsets_tag, sizes_tag in SEGMENT_TAGS:
            offsets = directory.entries.get(offsets_tag)
            sizes = directory.entries.get(sizes_tag)
            if offsets is None and sizes is None:
                continue
            if offsets is None or sizes is None or offsets.count != sizes.count:
                raise DamagedPagesError("not as many sizes of strips as offsets")
            table = SegmentTable(offsets_tag, sizes_tag, self.numbers(offsets), self.numbers(sizes))
            tables.append(table)
        return tables

    def read(self, at: int, size: int) -> bytes:
        """Bytes of the file, all of them.

        Raises:
            DamagedPagesError: The file ends before them, or nobody stores so many in one piece.
        """
        if at < 0 or size > _MOST_VALUE_BYTES or at + size > self.length:
            raise DamagedPagesError(f"{size} bytes at {at} of a file of {self.length}")
        return self.read_segment(at, size)

    def read_segment(self, at: int, size: int) -> bytes:
        """Bytes of a strip or tile; fewer where the file ends before it does."""
        if size <= 0 or at >= self.length:
            return b""
        self.file.seek(at)
        return self.file.read(min(size, self.length - at))

    def _entry(self, packed: bytes, at: int) -> Entry:
        tag, value_type, count, offset = self.shapes.entry.unpack(packed)
        field = packed[-self.shapes.inline :]
        size = VALUE_SIZES.get(value_type, 0) * count
        value_at = offset if size > self.shapes.inline else None
        return Entry(tag, value_type, count, field, at, value_at)
