"""Zip archives: their members and payloads, and writing one anew with every other byte as it
was.
"""

import bisect
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO, cast

from demoire.errors import ImageError
from demoire.reasons import Reason
from pipelines.records import Member
from pipelines.sources.members import MOST_MEMBERS, DamagedArchiveError, _Bounded, member_kind
from pipelines.sources.splice import PayloadOf, _Edit, _Replacement, _splice

_LOCAL = struct.Struct("<4s5H3I2H")


_CENTRAL = struct.Struct("<4s6H3I5H2I")


_END = struct.Struct("<4s4H2IH")


_END64 = struct.Struct("<4sQ2H2I4Q")


_END64_LOCATOR = struct.Struct("<4sIQI")


_ZIP64_EXTRA, _MOST_32 = 1, 0xFFFFFFFF


_DESCRIPTOR_FLAG, _DESCRIPTOR_SIZES = 0x8, (12, 16, 20, 24)


def rewrite_zip(
    source: BinaryIO, out: BinaryIO, positions: Collection[int], payload_of: PayloadOf
) -> set[int]:
    """Copy a zip with new payloads for the members at these places of its directory; the positions
    refused.

    Where all are refused, `out` is of no use: the directory may contradict itself.
    """
    rewriting = _ZipRewriting(source, payload_of)
    try:
        _splice(source, out, rewriting.edits(positions))
    # zipfile is content with directories that do not end where they should
    except (struct.error, EOFError):
        return set(positions)
    return rewriting.refused


@dataclass(frozen=True)
class _Packed:
    """What the directory has to say of a changed member."""

    checksum: int
    packed: int
    size: int


@dataclass
class _ZipRewriting:
    """One pass over a zip: the changed members in the order of their bytes, then the directory."""

    source: BinaryIO
    payload_of: PayloadOf
    refused: set[int] = field(default_factory=set)
    changed: dict[int, _Packed] = field(default_factory=dict)  # by position
    # (end in the source, bytes more since the beginning)
    shifts: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with zipfile.ZipFile(self.source) as archive:
            self.infos, self.directory = archive.infolist(), archive.start_dir
        self.offsets = sorted({info.header_offset for info in self.infos} | {self.directory})
        self.shared = set(self._shared())

    def _shared(self) -> Iterator[int]:
        """The offsets of members that begin within another, or in the directory."""
        reach = 0
        for info in sorted(self.infos, key=lambda info: info.header_offset):
            if info.header_offset < reach or info.header_offset >= self.directory:
                yield info.header_offset
            reach = max(reach, info.header_offset + _LOCAL.size + info.compress_size)

    def edits(self, positions: Collection[int]) -> Iterator[_Edit]:
        self.refused.update(
            position for position in positions if self.infos[position].header_offset in self.shared
        )
        for position in sorted(
            set(positions) - self.refused, key=lambda position: self.infos[position].header_offset
        ):
            yield self._member(position)
        yield _Edit(self.directory, self._directory)

    def _member(self, position: int) -> _Edit:
        info = self.infos[position]

        def make(source: BinaryIO) -> _Replacement | None:
            head = source.read(_LOCAL.size)
            after = self.offsets[bisect.bisect(self.offsets, info.header_offset)]
            if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
                self.refused.add(position)
                return None
            signature, version, flags, method, time, date, _, _, _, name_length, extra_length = (
                _LOCAL.unpack(head)
            )
            name, extra = source.read(name_length), source.read(extra_length)
            end = info.header_offset + len(head) + name_length + extra_length + info.compress_size
            if end > after or method != info.compress_type:
                self.refused.add(position)
                return None
            if flags & _DESCRIPTOR_FLAG and after - end in _DESCRIPTOR_SIZES:
                end = after  # sizes are known now, and stand in the header
            payload = self.payload_of(position)
            packed = payload if method == zipfile.ZIP_STORED else _deflated(payload)
            sizes = zlib.crc32(payload), len(packed), len(payload)
            extra = _without_zip64(extra)
            fixed = _LOCAL.pack(
                signature,
                version,
                flags & ~_DESCRIPTOR_FLAG,
                method,
                time,
                date,
                *sizes,
                name_length,
                len(extra),
            )
            data = fixed + name + extra + packed
            self.changed[position] = _Packed(*sizes)
            before = self.shifts[-1][1] if self.shifts else 0
            self.shifts.append((end, before + len(data) - (end - info.header_offset)))
            return _Replacement(data, end)

        return _Edit(info.header_offset, make)

    def _shift(self, offset: int) -> int:
        place = bisect.bisect_right(self.shifts, offset, key=lambda shift: shift[0])
        return self.shifts[place - 1][1] if place else 0

    def _directory(self, source: BinaryIO) -> _Replacement:
        entries, ahead = [], 0
        for position, info in enumerate(self.infos):
            fixed = _CENTRAL.unpack(source.read(_CENTRAL.size))
            name, extra, comment = (source.read(length) for length in fixed[10:13])
            if position == 0:  # bytes before the archive that its own offsets do not count
                ahead = info.header_offset - _stated_offset(fixed, extra)
            offset = info.header_offset + self._shift(info.header_offset) - ahead
            known = self.changed.get(position) or _Packed(
                fixed[7], info.compress_size, info.file_size
            )
            entries.append(
                _entry(fixed, name, extra, comment, known, offset, position in self.changed)
            )
        directory = b"".join(entries)
        start = self.directory + self._shift(self.directory) - ahead
        tail = source.read()
        return _Replacement(
            directory + _end(tail, len(entries), len(directory), start), source.tell()
        )


def _deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(payload) + packer.flush()


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, whole field) of each extra field; what is no field comes last, under -1."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        yield kind, extra[place : place + 4 + length]
        place += 4 + length
    if place < len(extra):
        yield -1, extra[place:]


def _without_zip64(extra: bytes) -> bytes:
    return b"".join(whole for kind, whole in _extras(extra) if kind != _ZIP64_EXTRA)


def _stated_offset(fixed: tuple, extra: bytes) -> int:
    """The offset of the local header as the directory's entry states it."""
    packed, size, offset = fixed[8], fixed[9], fixed[16]
    if offset != _MOST_32:
        return int(offset)
    wide = next((whole[4:] for kind, whole in _extras(extra) if kind == _ZIP64_EXTRA), b"")
    skipped = 8 * ((size == _MOST_32) + (packed == _MOST_32))
    return int.from_bytes(wide[skipped : skipped + 8], "little")


def _entry(
    fixed: tuple,
    name: bytes,
    extra: bytes,
    comment: bytes,
    known: _Packed,
    offset: int,
    changed: bool,
) -> bytes:
    """An entry of the directory; sizes and offset stand in a zip64 field where they did, or are
    beyond 32 bits.
    """
    signature, made_by, version, flags, method, time, date = fixed[:7]
    disk, internal, external = fixed[13:16]
    numbers, before = (known.size, known.packed, offset), (fixed[9], fixed[8], fixed[16])
    wide = [_MOST_32 in (old, min(new, _MOST_32)) for new, old in zip(numbers, before, strict=True)]
    size, packed, offset = (
        _MOST_32 if far else number for number, far in zip(numbers, wide, strict=True)
    )
    if any(wide):
        far_numbers = [number for number, far in zip(numbers, wide, strict=True) if far]
        extra = _with_zip64(extra, far_numbers, before.count(_MOST_32))
        version = version if _MOST_32 in before else max(version, 45)
    elif changed:
        extra = _without_zip64(extra)
    flags = flags & ~_DESCRIPTOR_FLAG if changed else flags
    facts = (signature, made_by, version, flags, method, time, date, known.checksum, packed, size)
    lengths = (len(name), len(extra), len(comment))
    return (
        _CENTRAL.pack(*facts, *lengths, disk, internal, external, offset) + name + extra + comment
    )


def _with_zip64(extra: bytes, numbers: list[int], before: int) -> bytes:
    """Extra fields with a zip64 field of these numbers, in the place of one that held `before`
    numbers, or first.
    """
    fields = list(_extras(extra))
    place = next((place for place, (kind, _) in enumerate(fields) if kind == _ZIP64_EXTRA), -1)
    rest = fields.pop(place)[1][4 + 8 * before :] if place >= 0 else b""
    data = struct.pack(f"<{len(numbers)}Q", *numbers) + rest
    fields.insert(max(place, 0), (_ZIP64_EXTRA, struct.pack("<2H", _ZIP64_EXTRA, len(data)) + data))
    return b"".join(whole for _, whole in fields)


def _end(tail: bytes, count: int, size: int, start: int) -> bytes:
    """What stands behind the directory, for its new size and place: zip64 record and locator, end
    record, comment.
    """
    at = tail.rfind(b"PK\5\6")
    wide, (*facts, small, near, comment_length) = tail[:at], _END.unpack_from(tail, at)
    if wide or max(size, start) >= _MOST_32:
        known = (
            _END64.unpack_from(wide)[:6] if wide else (b"PK\6\6", _END64.size - 12, 45, 45, 0, 0)
        )
        wide = _END64.pack(*known, count, count, size, start)
        wide += _END64_LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    small, near = (
        _MOST_32 if old == _MOST_32 else min(new, _MOST_32)
        for old, new in ((small, size), (near, start))
    )
    return wide + _END.pack(*facts, small, near, comment_length) + tail[at + _END.size :]


# bytes; a zip may say up to 2**64, of which no sum fits a column of the manifest
_LARGEST_SAID = 1 << 50


_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


_LOCAL_EXTRA = 512  # bytes of a zip member's extra field that are read along at first


_DESCRIPTOR = 24  # bytes at most behind a zip payload that repeat checksum and sizes


_EMPTY_ZIP = 22  # bytes of one without members and comment


_ENCRYPTED, _HAS_DESCRIPTOR = 0x1, 0x8


def zip_members(file: BinaryIO) -> Iterator[Member]:
    """The members in the order of the zip's directory. Raises DamagedArchiveError.

    A member's `offset` is that of its local header, whose size only reading it tells; -1 where the
    payload cannot be had: encrypted, compressed by another method than deflate, or said to lie
    beyond the archive's end.
    """
    try:
        with zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as archive:
            infos = archive.infolist()
        size = file.seek(0, io.SEEK_END)
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        ValueError,
        struct.error,
        NotImplementedError,
    ) as error:
        raise DamagedArchiveError(str(error)) from error
    if not infos and size > _EMPTY_ZIP + len(archive.comment):
        raise DamagedArchiveError(f"its directory is empty, and yet it is of {size} bytes")
    if len(infos) > MOST_MEMBERS:
        raise DamagedArchiveError(f"{len(infos)} members")
    for position, info in enumerate(infos):
        linked = stat.S_ISLNK(info.external_attr >> 16)
        folder = info.filename.endswith("/")  # ZipInfo.is_dir fails on an empty name
        kind = member_kind(info.filename, plain=not folder and not linked)
        common = not info.flag_bits & _ENCRYPTED and info.compress_type in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        )
        inside = 0 <= info.header_offset <= info.header_offset + info.compress_size <= size
        yield Member(
            position,
            info.filename,
            kind,
            info.header_offset if common and inside else -1,
            min(info.compress_size, _LARGEST_SAID),
            min(info.file_size, _LARGEST_SAID),
            "deflate" if info.compress_type == zipfile.ZIP_DEFLATED else "stored",
            "",
            0.0,
        )


def zip_span(member: Member) -> int:
    """Bytes from the local header on that hold the member, but for an uncommonly long extra
    field.
    """
    return (
        _LOCAL_HEADER.size
        + len(member.name.encode(errors="replace"))
        + _LOCAL_EXTRA
        + member.length
        + _DESCRIPTOR
    )


def zip_payload_start(span: bytes, member: Member) -> int:
    """Where in the bytes from the local header on the payload begins. Raises ImageError:
    unreadable.
    """
    if len(span) < _LOCAL_HEADER.size or span[:4] != b"PK\3\4":
        raise _unreadable(member, "its local header is not there")
    *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(span)
    return _LOCAL_HEADER.size + name_length + extra_length


def zip_payload(span: bytes, member: Member) -> bytes:
    """The unpacked payload from the bytes of local header, payload and descriptor. Raises
    ImageError: unreadable.

    Never unpacks more than the size that the directory declares; checks size and checksum.
    """
    start = zip_payload_start(span, member)
    packed = span[start : start + member.length]
    if len(packed) != member.length:
        raise _unreadable(member, "the archive ends before it does")
    try:
        data = packed if member.compression == "stored" else inflate(packed, member.size)
    except zlib.error as error:
        raise _unreadable(member, str(error)) from error
    _, _, flags, _, _, _, checksum, *_ = _LOCAL_HEADER.unpack_from(span)
    if flags & _HAS_DESCRIPTOR and not checksum:
        behind = span[start + member.length :]
        behind = behind[4:] if behind[:4] == b"PK\7\x08" else behind
        checksum = int.from_bytes(behind[:4], "little")
    if len(data) != member.size or zlib.crc32(data) != checksum:
        raise _unreadable(member, "size or checksum differ")
    return data


def inflate(packed: bytes, size: int) -> bytes:
    """Raw deflate, at most one byte more than `size`. Raises zlib.error."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)


def _unreadable(member: Member, why: str) -> ImageError:
    return ImageError(
        Reason.UNREADABLE, f"Member {member.position} cannot be read out of its archive: {why}."
    )
