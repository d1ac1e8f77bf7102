"""Directories of a TIFF file with their values, read from a seekable file by few small reads.

A TIFF header holds the byte order, a version (42, or 43 for BigTIFF) and the offset of the first
directory. A directory is a count, so many entries of one size, and the offset of the next directory
or 0. An entry is a tag, the type of its values, their count, and the values themselves, or their
offset where they do not fit. BigTIFF widens counts and offsets to 8 bytes.

Only the directories are read, and the values and strips that somebody asks for. Nothing is trusted:
what lies beyond the end of the file, or is larger than any honest file has it, raises
DamagedPagesError. What is in a page is told by tifffile (`tiff_layout`); here is where it lies.

References:
    Adobe, "TIFF Revision 6.0" (1992), section 2; "The BigTIFF File Format" (Aware Systems, 2007).
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from demoire.imaging.codecs.tiff_tags import (
    LONG,
    LONG8,
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
_BIG = 43  # version of a BigTIFF file
_HEADER_SIZE = 16  # bytes of a BigTIFF header; a TIFF header has 8
_MOST_ENTRIES = 4096
_MOST_VALUE_BYTES = 256 << 20


class DamagedPagesError(ValueError):
    """A file whose directories do not check out, or one of a kind that is not taken apart."""


@dataclass(frozen=True)
class Shapes:
    """How directories are laid out in one file."""

    order: str  # of bytes, as `struct` writes it
    first_at: int  # where the header holds the offset of the first directory
    offset: struct.Struct
    count: struct.Struct
    entry: struct.Struct
    inline: int  # bytes of values that fit into an entry

    @property
    def is_big(self) -> bool:
        """Whether it is a BigTIFF file, with offsets of 8 bytes."""
        return self.inline == 8

    @property
    def wide_type(self) -> int:
        """The type of values that hold any offset of the file: LONG, or LONG8 of BigTIFF."""
        return LONG8 if self.is_big else LONG

    def near_entry(self, tag: int, value_type: int, count: int, value: bytes) -> bytes:
        """An entry whose values fit into it."""
        head = self.entry.pack(tag, value_type, count, 0)[: -self.inline]
        return head + value.ljust(self.inline, b"\0")

    def entry_as_it_is(self, entry: "Entry") -> bytes:
        """An entry with the field that it has."""
        return self.near_entry(entry.tag, entry.type, entry.count, entry.field)


@dataclass(frozen=True)
class Entry:
    """An entry of a directory.

    Attributes:
        tag: What it is about.
        type: Of its values.
        count: Of its values.
        size: Bytes of its values; 0 where the type is unknown.
        field: Its last 4 or 8 bytes: the values, or their offset.
        at: Where the entry lies in the file.
        value_at: Where the values lie in the file; None where they are in the entry.
    """

    tag: int
    type: int
    count: int
    size: int
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


def _shapes_of(start: bytes) -> Shapes:
    """How the directories of a file are laid out, by its first bytes.

    Raises:
        struct.error: There is no header.
    """
    order = "<" if start[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", start, 2)
    if version == _BIG:
        return Shapes(
            order=order,
            first_at=8,
            offset=struct.Struct(order + "Q"),
            count=struct.Struct(order + "Q"),
            entry=struct.Struct(order + "2HQQ"),
            inline=8,
        )
    return Shapes(
        order=order,
        first_at=4,
        offset=struct.Struct(order + "I"),
        count=struct.Struct(order + "H"),
        entry=struct.Struct(order + "2HII"),
        inline=4,
    )


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
            self.shapes = _shapes_of(start)
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
        if entry.value_at is None:
            return entry.field[: entry.size] if entry.size else entry.field
        return self.read(entry.value_at, entry.size)

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
        return Entry(tag, value_type, count, size, field, at, value_at)
