"""Cleaned pages put back into their TIFF file; every byte of the other pages stays where it is.

A page comes as `tiff_pages.carve` gave it, cleaned by the codec. Its strips or tiles, and those of
its smaller versions, are held against the ones in the file. One that differs takes the old one's
place where it fits and nothing else has those bytes; else it goes to the end of the file, and the
page's directory says so. A value that differs (the XMP packet) is treated likewise. A directory
that has to grow is written anew at the end of the file, and the pointer to it is changed.

So order, tags, and all that belongs to other pages keep their bytes and offsets. In memory is one
page twice at a time, and 16 bytes for each strip of the file. Each page is carved out of the result
again and held against the cleaned one; if they differ, nothing is published.
"""

import io
import struct
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

from demoire.imaging.codecs.tiff_pages import LEFT_OUT, carved_digest
from demoire.imaging.codecs.tiff_reader import (
    Entry,
    FileDirectory,
    SegmentTable,
    TiffReader,
    packed_numbers,
)
from demoire.imaging.codecs.tiff_spans import OwnedSpans
from demoire.imaging.codecs.tiff_tags import NUMBERS, SUB_DIRECTORIES

_MOST_OFFSET = (1 << 32) - 1  # of a TIFF file; BigTIFF has no such limit


class PageRefusedError(ValueError):
    """A cleaned page that cannot be put back faithfully."""


def put_pages(
    file: BinaryIO, numbers: Collection[int], cleaned_page: Callable[[int], bytes]
) -> None:
    """Put cleaned pages into a copy of their file.

    Args:
        file: The copy, open for reading and writing. After an error it is of no use.
        numbers: Which pages, from 1.
        cleaned_page: The cleaned file of one page, by its number; asked for in ascending order.

    Raises:
        PageRefusedError: A page cannot be put back, as where the file would grow beyond 4 GB.
    """
    try:
        splicing = _Splicing(file)
        for number in splicing.walk(numbers):
            splicing.put(cleaned_page(number))
    except (ValueError, struct.error, OverflowError) as error:
        raise PageRefusedError(str(error)) from error


class _PatchedFile:
    """A file that is being changed: values and data in their old place, or at its end.

    Attributes:
        reader: Reads it.
        shapes: How its directories are laid out.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.reader = TiffReader(file)
        self.shapes = self.reader.shapes
        self._file = file
        self._spans = OwnedSpans(self.reader)

    def put_data(self, at: int, room: int, data: bytes) -> int:
        """Write data over the `room` bytes at an offset, or at the end of the file; its offset."""
        if 0 < len(data) <= room and self._spans.is_own(at, room):
            self.write(at, data)
            return at
        return self.append(data)

    def put_numbers(self, entry: Entry, values: list[int]) -> bytes:
        """The entry with other numbers, in a wider type where they need it."""
        value_type = entry.type
        if max(values) >= 1 << (8 * struct.calcsize(f"<{NUMBERS[value_type]}")):
            value_type = self.shapes.wide_type
        value = packed_numbers(self.shapes.order, value_type, values)
        return self.put_value(entry, value_type, entry.count, value, entry.tag)

    def put_value(
        self, before: Entry | None, value_type: int, count: int, value: bytes, tag: int
    ) -> bytes:
        """An entry with this value, in the place of the old value where that fits."""
        if before is not None and before.type == value_type and before.count == count:
            if self.reader.value(before) == value:
                return self.entry_as_it_is(before)
            value_at = before.value_at
            if value_at is not None and self._spans.is_own(value_at, len(value)):
                self.write(value_at, value)
                return self.entry_as_it_is(before)
        if len(value) <= self.shapes.inline:
            return self.shapes.near_entry(tag, value_type, count, value)
        return self.shapes.entry.pack(tag, value_type, count, self.append(value))

    def put_entries(self, old: FileDirectory, packed: dict[int, bytes]) -> int:
        """Write the entries of a directory where they were, or all of it at the end of the file.

        Returns:
            Where the directory is now.
        """
        next_pointer = self.shapes.offset.pack(old.next_at)
        if packed.keys() == old.entries.keys():
            first_entry = old.at + self.shapes.count.size
            entries = b"".join(packed.values())
            if entries == self.reader.read(first_entry, len(entries)):
                return old.at
            if self._spans.is_own(old.at, old.next_pointer_at + len(next_pointer) - old.at):
                self.write(first_entry, entries)
                return old.at
            tags = list(packed)
        else:
            tags = sorted(packed)
        table = b"".join(packed[tag] for tag in tags)
        count = self.shapes.count.pack(len(tags))
        return self.append(count + table + next_pointer)

    def entry_as_it_is(self, entry: Entry) -> bytes:
        """The entry with the field that it has."""
        return self.shapes.near_entry(entry.tag, entry.type, entry.count, entry.field)

    def append(self, data: bytes) -> int:
        """Write at the end of the file, at an even offset; that offset."""
        end_before = self.reader.length
        start = end_before + end_before % 2
        end = start + len(data)
        if end > _MOST_OFFSET and not self.shapes.is_big:
            raise PageRefusedError("the file would grow beyond 4 GB")
        self.write(end_before, bytes(start - end_before) + data)
        self.reader.length = end
        return start

    def write(self, at: int, data: bytes) -> None:
        """Write over the bytes at an offset."""
        self._file.seek(at)
        self._file.write(data)


class _Splicing:
    """Where in the chain of directories of a changing file we are."""

    def __init__(self, file: BinaryIO) -> None:
        self._patched = _PatchedFile(file)
        self._reader = self._patched.reader
        self._shapes = self._patched.shapes
        self._pointer_at = self._shapes.first_at
        self._at = self._reader.first_at

    def walk(self, numbers: Collection[int]) -> Iterator[int]:
        """Stop at each of these pages; `put` may move its directory."""
        left = set(numbers)
        number = 0
        while self._at and left:
            directory = self._reader.directory(self._at)
            if number == 0 or not self._reader.is_reduced(directory):
                number += 1
                if number in left:
                    left.remove(number)
                    yield number
                    directory = self._reader.directory(self._at)
            self._pointer_at = directory.next_pointer_at
            self._at = directory.next_at
        if left:
            raise PageRefusedError(f"there are only {number} pages")

    def put(self, cleaned: bytes) -> None:
        """Put the cleaned page in the place of the one where the walk has stopped."""
        new = TiffReader(io.BytesIO(cleaned))
        if new.header != self._reader.header:
            raise PageRefusedError("the cleaned page has another kind of header")
        pointer_at = self._pointer_at
        at = self._at
        new_at = new.first_at
        while new_at:
            new_directory = new.directory(new_at)
            moved_to = self._put_directory(at, new, new_directory)
            if moved_to != at:
                self._patched.write(pointer_at, self._shapes.offset.pack(moved_to))
            if new_at == new.first_at:
                self._at = moved_to
            directory = self._reader.directory(moved_to)
            pointer_at = directory.next_pointer_at
            at = directory.next_at
            new_at = new_directory.next_at
        in_file = carved_digest(self._reader.file, self._at)
        if in_file != carved_digest(new.file, new.first_at):
            raise PageRefusedError("the page in the file is not the cleaned one")

    def _put_directory(self, at: int, new: TiffReader, new_directory: FileDirectory) -> int:
        """Change a directory, and all that belongs to it, to what a cleaned one has.

        Returns:
            Its offset, which is another one where it had to grow.
        """
        old = self._reader.directory(at)
        below = self._reader.sub_directories(old)
        new_below = new.sub_directories(new_directory)
        for sub_at, new_sub_at in zip(below, new_below, strict=False):
            if self._put_directory(sub_at, new, new.directory(new_sub_at)) != sub_at:
                raise PageRefusedError("a directory below the page has to grow")
        packed: dict[int, bytes] = {}
        for tag in old.entries:
            if tag not in new_directory.entries and tag not in (*LEFT_OUT, SUB_DIRECTORIES):
                raise PageRefusedError(f"the cleaned page has lost tag {tag}")
            packed[tag] = self._patched.entry_as_it_is(old.entries[tag])
        tables = zip(self._reader.segments(old), new.segments(new_directory), strict=True)
        about_segments = {SUB_DIRECTORIES}
        for table, new_table in tables:
            about_segments |= {table.offsets_tag, table.sizes_tag}
            packed.update(self._put_segments(old, table, new, new_table))
        for tag, entry in new_directory.entries.items():
            if tag not in about_segments:
                value = new.value(entry)
                before = old.entries.get(tag)
                packed[tag] = self._patched.put_value(before, entry.type, entry.count, value, tag)
        return self._patched.put_entries(old, packed)

    def _put_segments(
        self, old: FileDirectory, table: SegmentTable, new: TiffReader, new_table: SegmentTable
    ) -> dict[int, bytes]:
        """Write the strips or tiles that changed; the entries of their offsets and sizes."""
        offsets = list(table.offsets)
        sizes = list(table.sizes)
        pairs = zip(new_table.offsets, new_table.sizes, strict=True)
        for index, (new_at, new_size) in enumerate(pairs):
            data = new.read_segment(new_at, new_size)
            before = self._reader.read_segment(offsets[index], sizes[index])
            if data == before and new_size == sizes[index]:
                continue
            if len(data) < new_size:
                raise PageRefusedError("a strip of the cleaned page is cut short")
            offsets[index] = self._patched.put_data(offsets[index], sizes[index], data)
            sizes[index] = new_size
        packed = {}
        if tuple(offsets) != table.offsets:
            entry = old.entries[table.offsets_tag]
            packed[entry.tag] = self._patched.put_numbers(entry, offsets)
        if tuple(sizes) != table.sizes:
            entry = old.entries[table.sizes_tag]
            packed[entry.tag] = self._patched.put_numbers(entry, sizes)
        return packed
