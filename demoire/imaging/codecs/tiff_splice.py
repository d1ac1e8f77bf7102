"""Cleaned pages put back into their TIFF file; every byte of the other pages stays where it is.

A page comes as `tiff_pages.carve` gave it, cleaned by the codec. Its strips or tiles, and those of
its smaller versions, are held against the ones in the file. Those that differ are exchanged, and so
are values that do (the XMP packet); `tiff_patch` says where they go. A directory that has to grow
is written anew elsewhere, and the pointer to it is changed.

So order, tags, and all that belongs to other pages keep their bytes and offsets. In memory is one
page twice at a time, and 16 bytes for each strip of the file. Each page is carved out of the result
again and held against the cleaned one; if they differ, nothing is published.
"""

import io
import struct
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

from demoire.imaging.codecs.tiff_pages import LEFT_OUT, carved_digest
from demoire.imaging.codecs.tiff_patch import NewSegment, PageRefusedError, PatchedFile
from demoire.imaging.codecs.tiff_reader import FileDirectory, SegmentTable, TiffReader
from demoire.imaging.codecs.tiff_tags import SUB_DIRECTORIES


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


class _Splicing:
    """Where in the chain of directories of a changing file we are."""

    def __init__(self, file: BinaryIO) -> None:
        self._patched = PatchedFile(file)
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
                self._patched.put_pointer(pointer_at, moved_to)
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
            packed[tag] = self._shapes.entry_as_it_is(old.entries[tag])
        tables = zip(self._reader.segments(old), new.segments(new_directory), strict=True)
        about_segments = {SUB_DIRECTORIES}
        for table, new_table in tables:
            tags = (table.offsets_tag, table.sizes_tag)
            about_segments |= set(tags)
            changed = self._changed_segments(table, new, new_table)
            packed.update(self._patched.put_segments(old, tags, changed))
        for tag, entry in new_directory.entries.items():
            if tag not in about_segments:
                value = new.value(entry)
                before = old.entries.get(tag)
                packed[tag] = self._patched.put_value(before, entry.type, entry.count, value, tag)
        return self._patched.put_directory(old, packed)

    def _changed_segments(
        self, table: SegmentTable, new: TiffReader, new_table: SegmentTable
    ) -> Iterator[NewSegment]:
        """The strips or tiles of the cleaned page that are not those in the file."""
        old_spans = zip(table.offsets, table.sizes, strict=True)
        new_spans = zip(new_table.offsets, new_table.sizes, strict=True)
        for index, (old_span, new_span) in enumerate(zip(old_spans, new_spans, strict=True)):
            at, room = old_span
            _, size = new_span
            data = new.read_segment(*new_span)
            if size == room and data == self._reader.read_segment(at, room):
                continue
            if len(data) < size:
                raise PageRefusedError("a strip of the cleaned page is cut short")
            yield NewSegment(index, at, room, data)
