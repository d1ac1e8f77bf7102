"""The chain of directories in a TIFF file, without a look at what is in them.

A TIFF header holds the byte order, a version (42, or 43 for BigTIFF) and the offset of the first
directory. A directory is a count, so many entries of one size, and the offset of the next directory
or 0. An entry is a tag, the type of its values, their count, and the values themselves, or their
offset where they do not fit. BigTIFF widens counts and offsets to 8 bytes.

References:
    Adobe, "TIFF Revision 6.0" (1992), section 2; "The BigTIFF File Format" (Aware Systems, 2007).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.tiff_tags import LONG, LONG8, NEW_SUBFILE_TYPE, REDUCED, VALUE_SIZES

_MOST_PAGES = 1000
_BIG = 43


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


def shapes_of(data: FileBytes) -> Shapes:
    """How the directories of a file are laid out, by its first bytes.

    Raises:
        struct.error: There is no header.
    """
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
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


@dataclass(frozen=True)
class Directory:
    """A directory as it lies in a file."""

    shapes: Shapes
    at: int
    entries: tuple[bytes, ...]
    next_at: int  # where the next directory lies; 0 behind the last one

    def tag_of(self, entry: bytes) -> int:
        """The tag that an entry is about."""
        return int(self.shapes.entry.unpack(entry)[0])


def _first_directory(data: FileBytes) -> tuple[Shapes, int]:
    """How directories are laid out, and where the first one lies.

    Raises:
        struct.error: There is no header.
    """
    shapes = shapes_of(data)
    (at,) = shapes.offset.unpack_from(data, shapes.first_at)
    return shapes, at


def _entries_of(data: FileBytes, shapes: Shapes, at: int) -> range:
    """Where the entries of the directory at an offset begin; the range stops where they end.

    They need not be there in full.

    Raises:
        struct.error: There is no directory.
    """
    (count,) = shapes.count.unpack_from(data, at)
    first = at + shapes.count.size
    return range(first, first + count * shapes.entry.size, shapes.entry.size)


def read_directory(data: FileBytes) -> Directory:
    """The first directory.

    Raises:
        struct.error: It is not there in full.
    """
    shapes, at = _first_directory(data)
    offsets = _entries_of(data, shapes, at)
    (next_at,) = shapes.offset.unpack_from(data, offsets.stop)
    entries = []
    for entry_at in offsets:
        entries.append(data[entry_at : entry_at + shapes.entry.size])
    return Directory(shapes, at, tuple(entries), next_at)


def count_pages(data: FileBytes) -> int:
    """Directories in the chain that are pages in their own right, a thousand at most.

    Smaller versions of the first page (NewSubfileType, bit 0) are none. One more is counted if the
    chain leads to where nothing is: such a file must not be taken for one of a single page. A chain
    that turns back on itself ends there.
    """
    seen: set[int] = set()
    pages = 0
    try:
        shapes, directory = _first_directory(data)
        while directory and directory not in seen and len(seen) < _MOST_PAGES:
            is_first = not seen
            seen.add(directory)
            pages += 1
            entries = _entries_of(data, shapes, directory)
            if not is_first and _is_reduced(data, shapes, entries):
                pages -= 1
            (directory,) = shapes.offset.unpack_from(data, entries.stop)
    except (struct.error, OverflowError):
        pass
    return max(1, pages)


def _is_reduced(data: FileBytes, shapes: Shapes, entries: range) -> bool:
    """Whether a directory with these entries says that it shows another page in small.

    NewSubfileType is the lowest tag there is, so it can only be the first entry.
    """
    if not entries:
        return False
    tag, _, _, value = shapes.entry.unpack_from(data, entries.start)
    return bool(tag == NEW_SUBFILE_TYPE and value & REDUCED)


def ends_of_first(data: FileBytes) -> Iterator[int]:
    """Where the first directory ends, and where each of its values does; 0 for those in an entry.

    Raises:
        struct.error: The directory is not there.
    """
    shapes, at = _first_directory(data)
    entries = _entries_of(data, shapes, at)
    yield entries.stop
    for entry_at in range(entries.start, min(entries.stop, len(data)), entries.step):
        _, value_type, length, offset = shapes.entry.unpack_from(data, entry_at)
        size = length * VALUE_SIZES.get(value_type, 0)
        yield offset + size if size > shapes.inline else 0
