"""The headers of a zip: how they are read, and written with other sizes and offsets.

The format: PKWARE's APPNOTE.TXT (.ZIP File Format Specification, version 6.3.10); numbers in
brackets are its clauses. All integers are little-endian.

    [local header 1] [payload 1] [data descriptor 1]
    ...
    [central directory: one entry a member]
    [zip64 end record] [zip64 locator]                  only where something needs 64 bits
    [end record] [comment]

- Every member is described twice: by the local header before its payload (4.3.7), and by its entry
  in the central directory (4.3.12). Readers go by the directory.
- Where flag bit 3 is set (4.4.4), the packer did not know the sizes in advance: they stand in a
  data descriptor behind the payload (4.3.9), with or without a signature, in 4 or 8 bytes each.
- Fields of 32 bits that hold FFFFFFFF have their value in the zip64 extra field, id 1 (4.5.3),
  which holds only those values, in a fixed order: size, packed size, offset, disk.
- Whoever reads zip64 fields needs version 4.5 (4.4.3.2).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from demoire.file_bytes import FileBytes

ENCRYPTED = 0x1  # flag bit 0
HAS_DESCRIPTOR = 0x8  # flag bit 3
_HAS_END_MARKER = 0x2  # flag bit 1, where the method is LZMA
_LZMA = 14

# Bytes of a data descriptor: with or without signature, sizes of 4 or of 8 bytes.
DESCRIPTOR_SIZES = (12, 16, 20, 24)

EMPTY_ZIP = 22  # bytes of a zip without members and comment: the end record alone

# Version needed to extract, 4.4.3.2: "4.5 - File uses ZIP64 format extensions".
_ZIP64_VERSION = 45

_LARGEST_32 = 0xFFFFFFFF  # in a field of 32 bits: the value stands in the zip64 field
_ZIP64_ID = 1
_NO_FIELD = -1  # the id under which bytes come that are no extra field

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")

LOCAL_HEADER_SIZE = _LOCAL.size  # bytes, without name and extra field


@dataclass(frozen=True)
class Content:
    """What a header says of a member's payload."""

    checksum: int  # CRC-32 of the unpacked payload
    packed_size: int  # bytes
    size: int  # bytes, unpacked


@dataclass(frozen=True)
class LocalHeader:
    """The header before a member's payload (4.3.7)."""

    version: int  # needed to extract
    flags: int
    method: int
    time: int
    date: int
    content: Content
    name_length: int  # bytes, as the header says
    extra_length: int

    @staticmethod
    def parse(data: FileBytes) -> "LocalHeader | None":
        """The header at the beginning of `data`; None where there is none."""
        if len(data) < _LOCAL.size or data[:4] != b"PK\3\4":
            return None
        _, version, flags, method, time, date, *numbers = _LOCAL.unpack_from(data)
        checksum, packed_size, size, name_length, extra_length = numbers
        content = Content(checksum, packed_size, size)
        return LocalHeader(version, flags, method, time, date, content, name_length, extra_length)

    @property
    def length(self) -> int:
        """Bytes from the header's beginning to the payload's."""
        return _LOCAL.size + self.name_length + self.extra_length

    def rewritten(self, content: Content, name: bytes, extra: bytes) -> bytes:
        """The header, name and extra field for another payload.

        Sizes are known now: they stand in the header itself and not in a descriptor; both in the
        zip64 field where one is beyond 32 bits, else there is no such field. An LZMA payload is
        written with a marker at its end.
        """
        sizes = (content.size, content.packed_size)
        short_sizes = sizes
        version = self.version
        extra = without_zip64(extra)
        if max(sizes) >= _LARGEST_32:
            short_sizes = (_LARGEST_32, _LARGEST_32)
            version = max(version, _ZIP64_VERSION)
            extra = _with_zip64(extra, sizes, 0)
        size, packed_size = short_sizes
        fixed = _LOCAL.pack(
            b"PK\3\4",
            version,
            _flags_of_known(self.flags, self.method),
            self.method,
            self.time,
            self.date,
            content.checksum,
            packed_size,
            size,
            self.name_length,
            len(extra),
        )
        return fixed + name + extra


@dataclass(frozen=True)
class CentralEntry:
    """A member's entry in the central directory (4.3.12)."""

    made_by: int
    version: int  # needed to extract
    flags: int
    method: int
    time: int
    date: int
    content: Content
    disk: int
    internal: int  # attributes
    external: int
    offset: int  # of the local header
    name: bytes
    extra: bytes
    comment: bytes

    @staticmethod
    def read(source: BinaryIO) -> "CentralEntry":
        """The entry at the source's position, which is behind it afterwards.

        Raises:
            struct.error: The source ends within it.
        """
        numbers = _CENTRAL.unpack(source.read(_CENTRAL.size))
        name_length, extra_length, comment_length = numbers[10:13]
        return CentralEntry(
            made_by=numbers[1],
            version=numbers[2],
            flags=numbers[3],
            method=numbers[4],
            time=numbers[5],
            date=numbers[6],
            content=Content(*numbers[7:10]),
            disk=numbers[13],
            internal=numbers[14],
            external=numbers[15],
            offset=numbers[16],
            name=source.read(name_length),
            extra=source.read(extra_length),
            comment=source.read(comment_length),
        )

    @property
    def stated_offset(self) -> int:
        """The offset of the local header, wherever the entry keeps it."""
        if self.offset != _LARGEST_32:
            return self.offset
        # In the zip64 field the offset comes behind those of size and packed size that are there.
        ahead = (self.content.size, self.content.packed_size).count(_LARGEST_32)
        numbers = b""
        for field_id, field in _extra_fields(self.extra):
            if field_id == _ZIP64_ID:
                numbers = field[4:]
                break
        return int.from_bytes(numbers[8 * ahead : 8 * ahead + 8], "little")

    def moved(self, content: Content, offset: int) -> bytes:
        """The entry of an unchanged member whose local header is at another offset.

        Args:
            content: Its real checksum and sizes, which may stand in the zip64 field.
            offset: Where the local header is.
        """
        return self._pack(content, offset)

    def rewritten(self, content: Content, offset: int) -> bytes:
        """The entry of a member whose payload and local header are new."""
        entry = replace(self, flags=_flags_of_known(self.flags, self.method))
        if not entry._uses_zip64(content, offset):
            entry = replace(entry, extra=without_zip64(entry.extra))
        return entry._pack(content, offset)

    def _uses_zip64(self, content: Content, offset: int) -> bool:
        return any(self._is_wide(content, offset))

    def _is_wide(self, content: Content, offset: int) -> list[bool]:
        """Whether size, packed size and offset stand in the zip64 field.

        They do where they did before, and where they are beyond 32 bits.
        """
        new_numbers = (content.size, content.packed_size, offset)
        wide = []
        for old, new in zip(self._numbers(), new_numbers, strict=True):
            wide.append(old == _LARGEST_32 or new >= _LARGEST_32)
        return wide

    def _numbers(self) -> tuple[int, int, int]:
        """What may stand in the zip64 field, in its order, as the entry has it."""
        return self.content.size, self.content.packed_size, self.offset

    def _pack(self, content: Content, offset: int) -> bytes:
        short_numbers = []
        wide_numbers = []
        new_numbers = (content.size, content.packed_size, offset)
        for number, is_wide in zip(new_numbers, self._is_wide(content, offset), strict=True):
            if is_wide:
                wide_numbers.append(number)
                number = _LARGEST_32
            short_numbers.append(number)
        size, packed_size, short_offset = short_numbers
        version = self.version
        extra = self.extra
        if wide_numbers:
            wide_before = self._numbers().count(_LARGEST_32)
            extra = _with_zip64(extra, wide_numbers, wide_before)
            if not wide_before:
                version = max(version, _ZIP64_VERSION)
        fixed = _CENTRAL.pack(
            b"PK\1\2",
            self.made_by,
            version,
            self.flags,
            self.method,
            self.time,
            self.date,
            content.checksum,
            packed_size,
            size,
            len(self.name),
            len(extra),
            len(self.comment),
            self.disk,
            self.internal,
            self.external,
            short_offset,
        )
        return fixed + self.name + extra + self.comment


def end_of_zip(tail: bytes, count: int, size: int, start: int) -> bytes:
    """What stands behind the directory, for a directory of another size at another offset.

    Args:
        tail: What stands there now: zip64 end record and locator (4.3.14, 4.3.15) where the zip has
            them, the end record (4.3.16), and the comment.
        count: Members in the directory.
        size: Bytes of the new directory.
        start: Its offset.

    Raises:
        struct.error: There is no end record, or half a zip64 one.
    """
    end = tail.rfind(b"PK\5\6")
    zip64_records = tail[: max(end, 0)]
    *counts, old_size, old_start, comment_length = _END.unpack_from(tail, end)
    if zip64_records or max(size, start) >= _LARGEST_32:
        facts = (b"PK\6\6", _ZIP64_END.size - 12, _ZIP64_VERSION, _ZIP64_VERSION, 0, 0)
        if zip64_records:
            facts = _ZIP64_END.unpack_from(zip64_records)[:6]
        zip64_records = _ZIP64_END.pack(*facts, count, count, size, start)
        zip64_records += _ZIP64_LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    short_size = _short(size, old_size)
    short_start = _short(start, old_start)
    record = _END.pack(*counts, short_size, short_start, comment_length)
    return zip64_records + record + tail[end + _END.size :]


def _flags_of_known(flags: int, method: int) -> int:
    """The flags of a member that is packed anew, now that its sizes are known."""
    flags &= ~HAS_DESCRIPTOR
    return flags | _HAS_END_MARKER if method == _LZMA else flags


def _short(new: int, old: int) -> int:
    """A number for a field of 32 bits that held `old`."""
    return _LARGEST_32 if old == _LARGEST_32 else min(new, _LARGEST_32)


def without_zip64(extra: bytes) -> bytes:
    """Extra fields without a zip64 field."""
    return b"".join(field for field_id, field in _extra_fields(extra) if field_id != _ZIP64_ID)


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, whole field) of each extra field (4.5.1): id and length in two bytes each, then data.

    Bytes that are no field come last.
    """
    start = 0
    while start + 4 <= len(extra):
        field_id, length = struct.unpack_from("<2H", extra, start)
        end = start + 4 + length
        yield field_id, extra[start:end]
        start = end
    if start < len(extra):
        yield _NO_FIELD, extra[start:]


def _with_zip64(extra: bytes, numbers: Sequence[int], count_before: int) -> bytes:
    """Extra fields with a zip64 field of these numbers.

    It takes the place of one that held `count_before` of these numbers, and keeps what else that
    one held (the disk). Where there was none it comes first.
    """
    fields: list[bytes] = []
    behind = b""
    position = 0
    is_first = True
    for field_id, field in _extra_fields(extra):
        if field_id == _ZIP64_ID and is_first:
            is_first = False
            position = len(fields)
            behind = field[4 + 8 * count_before :]
        else:
            fields.append(field)
    data = struct.pack(f"<{len(numbers)}Q", *numbers) + behind
    fields.insert(position, struct.pack("<2H", _ZIP64_ID, len(data)) + data)
    return b"".join(fields)
