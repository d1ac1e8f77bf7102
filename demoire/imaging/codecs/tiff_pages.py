"""The pages of a TIFF file, and one page carved out of it as a file of its own.

A carved page is a TIFF file with the page's directory, its values and its strips or tiles, laid out
anew. Smaller versions of the page that are behind it in the chain, and its sub-directories, come
along. So the codec decodes, cleans and encodes it like any file of one page, and `tiff_splice` puts
what changed back.

Left out are the directories of Exif and GPS data: nothing in them is needed to clean the page, and
what is left out here stays in the original as it is. Offsets and sizes of strips are always wide,
so that carving the page out of the original and out of its cleaned self can be compared.

Not taken apart, and so copied as a whole:
- a chain of directories that loops, leaves the file, or is otherwise damaged;
- a signed file, since the signature is about all pages;
- JPEG as in section 22 of the specification, whose tables lie at offsets all over the file;
- a file of which it is not certain what the smaller versions in its chain belong to. Certain is
  that each page has as many as the others behind it, or only the first page has any.

References:
    Adobe, "TIFF Revision 6.0" (1992), section 2; "TIFF Technical Note 1" (1995), SubIFDs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from demoire.imaging.codecs.tiff_reader import (
    DamagedPagesError,
    FileDirectory,
    TiffReader,
    packed_numbers,
)
from demoire.imaging.codecs.tiff_tags import (
    EXIF,
    GPS,
    HEIGHT,
    INTEROPERABILITY,
    MANIFEST,
    OLD_JPEG,
    SUB_DIRECTORIES,
    WIDTH,
)

LEFT_OUT = frozenset({EXIF, GPS, INTEROPERABILITY})

MOST_PAGES = 100_000
_MOST_LEVELS = 32  # behind one page
_LARGEST_CLAIM = 1 << 50  # bytes of a page; a forged directory may claim any number
_FEWEST = 2  # pages that are worth taking apart


@dataclass(frozen=True)
class TiffPage:
    """One page of a file.

    Attributes:
        offset: Of its directory.
        size: Bytes of its strips or tiles, with those of its smaller versions.
        megapixels: MP.
    """

    offset: int
    size: int
    megapixels: float


def pages_of(file: BinaryIO) -> list[TiffPage]:
    """The pages of a file in their order; none where it has one page or is not taken apart.

    A file of one page costs its header and its first directory.
    """
    try:
        reader = TiffReader(file)
        if not reader.directory(reader.first_at).next_at:
            return []
        return _pages_of(reader)
    except (DamagedPagesError, struct.error, OverflowError):
        return []


def _check_kind(directory: FileDirectory) -> None:
    """Raise DamagedPagesError where a file with this directory is not taken apart."""
    if MANIFEST in directory.entries:
        raise DamagedPagesError("a signed file")
    for tag in OLD_JPEG:
        if tag in directory.entries:
            raise DamagedPagesError("JPEG as in section 22")


def _size_of(reader: TiffReader, directory: FileDirectory) -> int:
    """Bytes of the strips or tiles of a directory and of those below it."""
    directories = [directory]
    for at in reader.sub_directories(directory):
        directories.append(reader.directory(at))
    size = 0
    for one in directories:
        for table in reader.segments(one):
            size += sum(table.sizes)
    return min(size, _LARGEST_CLAIM)


def _pages_of(reader: TiffReader) -> list[TiffPage]:
    pages: list[TiffPage] = []
    levels: list[int] = []  # smaller versions behind each page
    for directory in chain(reader):
        _check_kind(directory)
        size = _size_of(reader, directory)
        if pages and reader.is_reduced(directory):
            page = pages[-1]
            pages[-1] = TiffPage(page.offset, page.size + size, page.megapixels)
            levels[-1] += 1
            continue
        width = reader.number(directory, WIDTH)
        height = reader.number(directory, HEIGHT)
        pages.append(TiffPage(directory.at, size, width * height / 1e6))
        levels.append(0)
    has_own_levels = len(set(levels)) == 1 and levels[0] <= _MOST_LEVELS
    is_first_alone = not any(levels[1:]) and levels[0] <= _MOST_LEVELS
    if len(pages) < _FEWEST or not (has_own_levels or is_first_alone):
        return []
    return pages


def chain(reader: TiffReader) -> Iterator[FileDirectory]:
    """The directories of a file, one behind the other.

    The next one is only looked for when it is asked for, so a caller may move this one.

    Raises:
        DamagedPagesError: The chain loops, leaves the file, or is too long.
    """
    seen: set[int] = set()
    at = reader.first_at
    while at:
        if at in seen or len(seen) >= MOST_PAGES:
            raise DamagedPagesError("a chain of directories that does not end")
        seen.add(at)
        directory = reader.directory(at)
        at = directory.next_at
        yield directory


def carve(file: BinaryIO, offset: int) -> bytes:
    """A page as a file of its own.

    A strip that lies beyond the end of the file does so in the new file as well.

    Args:
        file: The file of many pages.
        offset: Of the page's directory.

    Raises:
        DamagedPagesError: A directory or value of the page is not there.
    """
    return bytes(_Carving(TiffReader(file)).page(offset))


def carved_digest(file: BinaryIO, offset: int) -> bytes:
    """The SHA-256 of the file that a page is carved out as; half the memory of having it.

    Args:
        file: The file of many pages.
        offset: Of the page's directory.

    Raises:
        DamagedPagesError: A directory or value of the page is not there.
    """
    return sha256(_Carving(TiffReader(file)).page(offset)).digest()


class _Carving:
    """A file that is put together from the parts of another."""

    def __init__(self, reader: TiffReader) -> None:
        self._reader = reader
        self._shapes = reader.shapes
        self._out = bytearray(reader.header) + bytes(self._shapes.offset.size)

    def page(self, offset: int) -> bytearray:
        """The file of the page whose directory is at this offset."""
        reader = self._reader
        pointer_at = self._shapes.first_at
        directory = reader.directory(offset)
        for _ in range(1 + _MOST_LEVELS):
            start = self._add_directory(directory, is_below=False)
            self._shapes.offset.pack_into(self._out, pointer_at, start)
            pointer_at = len(self._out) - self._shapes.offset.size
            if not directory.next_at:
                break
            directory = reader.directory(directory.next_at)
            if not reader.is_reduced(directory):
                break
        return self._out

    def _add_directory(self, directory: FileDirectory, *, is_below: bool) -> int:
        """Add a directory behind all that belongs to it; its offset.

        The offset of the next directory is the last thing written, as 0.
        """
        replaced: dict[int, tuple[int, ...]] = {}
        for table in self._reader.segments(directory):
            offsets = []
            for at, size in zip(table.offsets, table.sizes, strict=True):
                offsets.append(self._add_segment(at, size))
            replaced[table.offsets_tag] = tuple(offsets)
            replaced[table.sizes_tag] = table.sizes
        below = []
        if not is_below:
            for at in self._reader.sub_directories(directory):
                below.append(self._add_directory(self._reader.directory(at), is_below=True))
        packed = []
        for entry in directory.entries.values():
            if entry.tag in LEFT_OUT:
                continue
            if entry.tag in replaced:
                packed.append(self._wide_numbers(entry.tag, replaced[entry.tag]))
            elif entry.tag != SUB_DIRECTORIES:
                value = self._reader.value(entry)
                packed.append(self._entry(entry.tag, entry.type, entry.count, value))
            elif below:
                packed.append(self._wide_numbers(entry.tag, tuple(below)))
        self._align()
        start = len(self._out)
        self._out += self._shapes.count.pack(len(packed))
        self._out += b"".join(packed)
        self._out += self._shapes.offset.pack(0)
        return start

    def _add_segment(self, at: int, size: int) -> int:
        """Add a strip or tile; its offset, which is beyond any file where it is cut short."""
        data = self._reader.read_segment(at, size)
        if len(data) < size:
            return (1 << 32) - 1
        if not data:
            return 0
        self._align()
        start = len(self._out)
        self._out += data
        return start

    def _wide_numbers(self, tag: int, values: tuple[int, ...]) -> bytes:
        wide = self._shapes.wide_type
        value = packed_numbers(self._shapes.order, wide, values)
        return self._entry(tag, wide, len(values), value)

    def _entry(self, tag: int, value_type: int, count: int, value: bytes) -> bytes:
        """An entry; its value is added to the file where it does not fit."""
        shapes = self._shapes
        if len(value) <= shapes.inline:
            return shapes.near_entry(tag, value_type, count, value)
        self._align()
        start = len(self._out)
        self._out += value
        return shapes.entry.pack(tag, value_type, count, start)

    def _align(self) -> None:
        """Offsets are even by custom."""
        self._out += bytes(len(self._out) % 2)
