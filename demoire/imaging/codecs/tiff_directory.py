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

_MOST_PAGES = 1000
_NEW_SUBFILE_TYPE = 254
_BIG = 43
_LONG, _LONG8 = 4, 16  # types of values
# Bytes of one value, by type: BYTE, ASCII, SHORT, LONG, RATIONAL, then their signed twins and
# floats; 13 is an offset, 16 to 18 are those of BigTIFF.
VALUE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


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
        return _LONG8 if self.is_big else _LONG

    def near_entry(self, tag: int, value_type: int, count: int, value: bytes) -> bytes:
        """An entry whose values fit into it."""
        head = self.entry.pack(tag, value_type, count, 0)[: -self.inline]
        return head + value.ljust(self.inline, b"\0")


def shapes_of(data: bytes) -> Shapes:
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


def read_directory(data: bytes) -> Directory:
    """The first directory.

    Raises:
        struct.error: It is not there in full.
    """
    shapes = shapes_of(data)
    (start,) = shapes.offset.unpack_from(data, shapes.first_at)
    (count,) = shapes.count.unpack_from(data, start)
    first_entry = start + shapes.count.size
    end = first_entry + count * shapes.entry.size
    (next_at,) = shapes.offset.unpack_from(data, end)
    entries = []
    for at in range(first_entry, end, shapes.entry.size):
        entries.append(data[at : at + shapes.entry.size])
    return Directory(shapes, start, tuple(entries), next_at)


def count_pages(data: bytes) -> int:
    """Directories in the chain that are pages in their own right, a thousand at most.

    Smaller versions of the first page (NewSubfileType, bit 0) are none. One more is counted if the
    chain leads to where nothing is: such a file must not be taken for one of a single page. A chain
    that turns back on itself ends there.
    """
    seen: set[int] = set()
    pages = 0
    try:
        shapes = shapes_of(data)
        (directory,) = shapes.offset.unpack_from(data, shapes.first_at)
        while directory and directory not in seen and len(seen) < _MOST_PAGES:
            is_first = not seen
            seen.add(directory)
            pages += 1
            (count,) = shapes.count.unpack_from(data, directory)
            if not is_first and _is_reduced(data, shapes, directory, count):
                pages -= 1
            next_at = directory + shapes.count.size + count * shapes.entry.size
            (directory,) = shapes.offset.unpack_from(data, next_at)
    except (struct.error, OverflowError):
        pass
    return max(1, pages)


def _is_reduced(data: bytes, shapes: Shapes, directory: int, count: int) -> bool:
    """Whether a directory says that it shows another page in small.

    NewSubfileType is the lowest tag there is, so it can only be the first entry.
    """
    if not count:
        return False
    at = directory + shapes.count.size
    tag, _, _, value = shapes.entry.unpack_from(data, at)
    return bool(tag == _NEW_SUBFILE_TYPE and value & 1)


def ends_of_first(data: bytes) -> Iterator[int]:
    """Where the first directory ends, and where each of its values does; 0 for those in an entry.

    Raises:
        struct.error: The directory is not there.
    """
    shapes = shapes_of(data)
    (directory,) = shapes.offset.unpack_from(data, shapes.first_at)
    (count,) = shapes.count.unpack_from(data, directory)
    start = directory + shapes.count.size
    end = start + count * shapes.entry.size
    yield end
    for entry_at in range(start, min(end, len(data)), shapes.entry.size):
        _, value_type, length, offset = shapes.entry.unpack_from(data, entry_at)
        size = length * VALUE_SIZES.get(value_type, 0)
        yield offset + size if size > shapes.inline else 0
