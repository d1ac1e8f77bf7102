"""A zip written anew with other payloads for some members, and every other byte as it was.

What changes with a payload (clauses of APPNOTE.TXT, see `pipelines.sources.formats.zip_headers`):

1. The local header (4.3.7) of the member: checksum and sizes, now known in advance. So flag bit 3
   goes, and with it the data descriptor behind the payload; a zip64 field goes too, unless the
   new payload needs one.
2. The directory (4.3.12): checksum and sizes of changed members, and for all of them the offset of
   the local header, which moves by what the payloads before it grew or shrank.
3. The end record (4.3.16): size and offset of the directory.

Three things make this harder than it looks:

- Local headers need not come in the order of the directory, and between two members there may be
  anything. So the edits go by offset, the directory comes last, and `_Shift`s say how far what was
  at some offset has moved.
- Offsets may share bytes: packers that store equal files once give two entries one local header,
  and hostile archives hide a member within another or behind the directory. A change of one would
  change the other, so both are refused; a member that merely holds such a one is not harmed.
- A self-extracting zip has a program ahead of it that its offsets may or may not count. `zipfile`
  corrects for that; the first entry tells by how much, and what is written states offsets in the
  way of the original.
"""

import bisect
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipelines.records import Member
from pipelines.sources.formats.zip_headers import (
    DESCRIPTOR_SIZES,
    HAS_DESCRIPTOR,
    LOCAL_HEADER_SIZE,
    CentralEntry,
    Content,
    LocalHeader,
    end_of_zip,
)
from pipelines.sources.formats.zip_packing import (
    HEAD_SIZE,
    METHODS,
    PackedOtherwiseError,
    packed_like,
)
from pipelines.sources.splice import Edit, PayloadOf, Replacement, Writer, splice


def rewrite(
    source: BinaryIO, out: Writer, members: Collection[Member], payload_of: PayloadOf
) -> set[int]:
    """Copy a zip with new payloads for these members.

    Args:
        source: The zip.
        out: Where the new one is written. It is of no use where all members are refused: the
            directory may contradict itself.
        members: The members to change.
        payload_of: Their new payloads.

    Returns:
        The positions of members that are refused, and stay as they are.
    """
    positions = {member.position for member in members}
    rewriting = _ZipRewriting(source, payload_of)
    try:
        splice(source, out, rewriting.edits(positions))
    # zipfile is content with directories that do not end where they should.
    except (struct.error, EOFError):
        return positions
    return rewriting.refused


@dataclass(frozen=True)
class _Shift:
    """From byte `start` of the source on, everything stands so many bytes further back."""

    start: int
    by: int


class _ZipRewriting:
    """One pass over a zip: the changed members in the order of their bytes, then the directory."""

    def __init__(self, source: BinaryIO, payload_of: PayloadOf) -> None:
        with zipfile.ZipFile(source) as archive:
            self._infos = archive.infolist()
            self._directory_start = archive.start_dir
        self._payload_of = payload_of
        self._changed: dict[int, Content] = {}  # by position
        self._shifts: list[_Shift] = []  # ascending
        self.refused: set[int] = set()
        offsets = {info.header_offset for info in self._infos}
        self._boundaries = sorted(offsets | {self._directory_start})

    def edits(self, positions: Collection[int]) -> Iterator[Edit]:
        """The edits in the order of their bytes; each is made before the next is asked for."""
        shared = set(self._shared_offsets())
        changing = []
        for position in positions:
            if self._infos[position].header_offset in shared:
                self.refused.add(position)
            else:
                changing.append(position)
        changing.sort(key=lambda position: self._infos[position].header_offset)
        for position in changing:
            yield self._member_edit(position)
        yield Edit(self._directory_start, self._new_directory)

    def _shared_offsets(self) -> Iterator[int]:
        """The offsets of members that begin within another, or in the directory."""
        reach = 0
        for info in sorted(self._infos, key=lambda info: info.header_offset):
            start = info.header_offset
            if start < reach or start >= self._directory_start:
                yield start
            reach = max(reach, start + LOCAL_HEADER_SIZE + info.compress_size)

    def _member_edit(self, position: int) -> Edit:
        def make(source: BinaryIO) -> Replacement | None:
            replacement = self._new_member(source, position)
            if replacement is None:
                self.refused.add(position)
            return replacement

        return Edit(self._infos[position].header_offset, make)

    def _new_member(self, source: BinaryIO, position: int) -> Replacement | None:
        """Local header and payload of a changed member; None where its headers disagree."""
        info = self._infos[position]
        start = info.header_offset
        header = LocalHeader.parse(source.read(LOCAL_HEADER_SIZE))
        if header is None or header.method != info.compress_type:
            return None
        name = source.read(header.name_length)
        extra = source.read(header.extra_length)
        end = start + header.length + info.compress_size
        next_boundary = self._boundaries[bisect.bisect(self._boundaries, start)]
        if end > next_boundary:
            return None
        # The descriptor is known by its flag and by the room up to the next member; its signature
        # is optional, and its bytes may be anything.
        has_descriptor = bool(header.flags & HAS_DESCRIPTOR)
        if has_descriptor and next_boundary - end in DESCRIPTOR_SIZES:
            end = next_boundary
        head = source.read(min(HEAD_SIZE, info.compress_size))
        payload = self._payload_of(position)
        if payload is None or header.method not in METHODS:
            return None
        try:
            packed = packed_like(payload, METHODS[header.method], header.flags, head)
        except PackedOtherwiseError:
            return None
        content = Content(zlib.crc32(payload), len(packed), len(payload))
        new_header = header.rewritten(content, name, extra)
        self._changed[position] = content
        self._grow(end, len(new_header) + len(packed) - (end - start))
        return Replacement((new_header, packed), end)

    def _grow(self, start: int, by: int) -> None:
        """Note that what follows byte `start` moves by so many bytes more than what is before."""
        before = self._shifts[-1].by if self._shifts else 0
        self._shifts.append(_Shift(start, before + by))

    def _moved(self, offset: int) -> int:
        """Where what was at this offset stands now."""
        behind = bisect.bisect_right(self._shifts, offset, key=lambda shift: shift.start)
        if behind == 0:
            return offset
        return offset + self._shifts[behind - 1].by

    def _new_directory(self, source: BinaryIO) -> Replacement:
        entries = []
        ahead = 0  # bytes before the archive that its own offsets do not count
        for position, info in enumerate(self._infos):
            entry = CentralEntry.read(source)
            if position == 0:
                ahead = info.header_offset - entry.stated_offset
            offset = self._moved(info.header_offset) - ahead
            changed = self._changed.get(position)
            if changed is not None:
                entries.append(entry.rewritten(changed, offset))
            else:
                content = Content(entry.content.checksum, info.compress_size, info.file_size)
                entries.append(entry.moved(content, offset))
        directory = b"".join(entries)
        start = self._moved(self._directory_start) - ahead
        tail = source.read()
        end = end_of_zip(tail, len(entries), len(directory), start)
        return Replacement((directory, end), source.tell())
