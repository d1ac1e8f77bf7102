"""An archive written anew with other payloads for some members, and every other byte as it was.

A mirror is spliced, not packed: between two changed members the source's own bytes are copied, headers and all. So
names, order, times, modes, owners, pax headers, extra fields, comments, encrypted members and whatever no library
understands come through by construction, and equal input gives equal bytes. Of a changed member only its sizes and
checksums are written anew.

A few members cannot be changed that way: a tar header whose size stands in an extended header, a zip member that shares
bytes with another or with the directory. They are refused, stay as they are, and the caller says so in the report.

A tar and a zip are read once from front to back. A tar.gz is unpacked into a temporary file first, and compressed again
at about the level it came with: 20 MB/s a core.
"""

import bisect
import gzip
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from pipelines.records import Member
from pipelines.sources.members import tar_members
from pipelines.storage.place import local_temporary

PayloadOf = Callable[[int], bytes]  # the new payload of the member at this position

_BLOCK, _RECORD = 512, 20 * 512
_COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class _Replacement:
    data: bytes
    end: int  # first byte of the source that is copied again


@dataclass(frozen=True)
class _Edit:
    """From `start` on, what `make` gives instead; it may read the source there. None: nothing is changed after all."""

    start: int
    make: Callable[[BinaryIO], _Replacement | None]


def rewrite_tar(source: BinaryIO, out: BinaryIO, members: Collection[Member], payload_of: PayloadOf) -> set[int]:
    """Copy a tar with new payloads for these members, whose offsets are those in `source`; the positions refused."""
    refused: set[int] = set()
    edits = (_tar_edit(member, payload_of, refused) for member in sorted(members, key=lambda member: member.offset))
    read, written = _splice(source, out, edits)
    if read % _RECORD == 0:  # tapes were written in whole records, and some readers still count on it
        out.write(bytes(-written % _RECORD))
    return refused


def rewrite_tar_gz(source: BinaryIO, out: BinaryIO, members: Collection[Member], payload_of: PayloadOf) -> set[int]:
    """As `rewrite_tar` for a compressed one. Its gzip header (time, name, system) stays."""
    source.seek(0)
    header = _gzip_header(source)
    source.seek(0)
    with local_temporary() as unpacked:
        with unpacked.open("wb") as file, gzip.GzipFile(fileobj=source) as stream:
            shutil.copyfileobj(stream, file, _COPIED_AT_ONCE)
        with unpacked.open("rb") as tar:
            places = tar_places(tar, {member.position for member in members})
            packer = _GzipWriter(out, header)
            refused = rewrite_tar(tar, cast(BinaryIO, packer), places, payload_of)
            packer.finish()
    return refused


def tar_places(file: BinaryIO, positions: Collection[int]) -> list[Member]:
    """The members of a tar at these positions, with their offsets in it."""
    return [member for member, _ in tar_members(file, by_range=True) if member.position in positions]


def _tar_edit(member: Member, payload_of: PayloadOf, refused: set[int]) -> _Edit:
    def make(source: BinaryIO) -> _Replacement | None:
        header = source.read(_BLOCK)
        if _octal(header[124:136]) != member.length:
            refused.add(member.position)
            return None
        data = payload_of(member.position)
        end = member.offset + member.length + -member.length % _BLOCK
        return _Replacement(_with_size(header, len(data)) + data + bytes(-len(data) % _BLOCK), end)

    return _Edit(member.offset - _BLOCK, make)


def _octal(text: bytes) -> int:
    digits = text.strip(b" \0")
    return int(digits, 8) if digits and set(digits) <= set(b"01234567") else -1


def _with_size(header: bytes, size: int) -> bytes:
    """A tar header block for another size."""
    sized = header[:124] + _octal_like(header[124:136], size) + header[136:]
    checksum = sum(sized[:148]) + 8 * ord(" ") + sum(sized[156:])
    return sized[:148] + _octal_like(header[148:156], checksum) + sized[156:]


def _octal_like(field: bytes, number: int) -> bytes:
    """The number in place of a field's own, with as many digits, filled and ended in the same way."""
    before = field.rstrip(b" \0")
    digits = (b"%o" % number).rjust(len(before), b" " if before[:1] == b" " else b"0")
    return digits + field[len(digits) :]


class _GzipWriter:
    """One gzip member with a given header."""

    def __init__(self, out: BinaryIO, header: bytes) -> None:
        level = {2: 9, 4: 1}.get(header[8], 6)  # what the first packer noted of its effort
        self._out, self._packer = out, zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._checksum, self._size = 0, 0
        out.write(header)

    def write(self, data: bytes) -> int:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        self._out.write(self._packer.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out.write(self._packer.flush() + struct.pack("<2I", self._checksum, self._size & 0xFFFFFFFF))


def _gzip_header(source: BinaryIO) -> bytes:
    """The header of the first gzip member, without the checksum that it may have of itself."""
    fixed = source.read(10)
    flags, parts = fixed[3], [fixed[:3] + bytes([fixed[3] & ~0x02]) + fixed[4:]]
    if flags & 0x04:
        length = source.read(2)
        parts.append(length + source.read(int.from_bytes(length, "little")))
    for flag in (0x08, 0x10):  # name, comment
        if flags & flag:
            parts.append(_until_zero(source))
    return b"".join(parts)


def _until_zero(source: BinaryIO) -> bytes:
    text = bytearray()
    while byte := source.read(1):
        text += byte
        if byte == b"\0":
            break
    return bytes(text)


_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_END64_LOCATOR = struct.Struct("<4sIQI")
_ZIP64_EXTRA, _MOST_32 = 1, 0xFFFFFFFF
_DESCRIPTOR_FLAG, _DESCRIPTOR_SIZES = 0x8, (12, 16, 20, 24)


def rewrite_zip(source: BinaryIO, out: BinaryIO, positions: Collection[int], payload_of: PayloadOf) -> set[int]:
    """Copy a zip with new payloads for the members at these places of its directory; the positions refused.

    Where all are refused, `out` is of no use: the directory may contradict itself.
    """
    rewriting = _ZipRewriting(source, payload_of)
    try:
        _splice(source, out, rewriting.edits(positions))
    except (struct.error, EOFError):  # zipfile is content with directories that do not end where they should
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
    shifts: list[tuple[int, int]] = field(default_factory=list)  # (end in the source, bytes more since the beginning)

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
        self.refused.update(position for position in positions if self.infos[position].header_offset in self.shared)
        for position in sorted(set(positions) - self.refused, key=lambda position: self.infos[position].header_offset):
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
            signature, version, flags, method, time, date, _, _, _, name_length, extra_length = _LOCAL.unpack(head)
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
                signature, version, flags & ~_DESCRIPTOR_FLAG, method, time, date, *sizes, name_length, len(extra)
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
            known = self.changed.get(position) or _Packed(fixed[7], info.compress_size, info.file_size)
            entries.append(_entry(fixed, name, extra, comment, known, offset, position in self.changed))
        directory = b"".join(entries)
        start = self.directory + self._shift(self.directory) - ahead
        tail = source.read()
        return _Replacement(directory + _end(tail, len(entries), len(directory), start), source.tell())


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
    fixed: tuple, name: bytes, extra: bytes, comment: bytes, known: _Packed, offset: int, changed: bool
) -> bytes:
    """An entry of the directory; sizes and offset stand in a zip64 field where they did, or are beyond 32 bits."""
    signature, made_by, version, flags, method, time, date = fixed[:7]
    disk, internal, external = fixed[13:16]
    numbers, before = (known.size, known.packed, offset), (fixed[9], fixed[8], fixed[16])
    wide = [_MOST_32 in (old, min(new, _MOST_32)) for new, old in zip(numbers, before, strict=True)]
    size, packed, offset = (_MOST_32 if far else number for number, far in zip(numbers, wide, strict=True))
    if any(wide):
        far_numbers = [number for number, far in zip(numbers, wide, strict=True) if far]
        extra = _with_zip64(extra, far_numbers, before.count(_MOST_32))
        version = version if _MOST_32 in before else max(version, 45)
    elif changed:
        extra = _without_zip64(extra)
    flags = flags & ~_DESCRIPTOR_FLAG if changed else flags
    facts = (signature, made_by, version, flags, method, time, date, known.checksum, packed, size)
    lengths = (len(name), len(extra), len(comment))
    return _CENTRAL.pack(*facts, *lengths, disk, internal, external, offset) + name + extra + comment


def _with_zip64(extra: bytes, numbers: list[int], before: int) -> bytes:
    """Extra fields with a zip64 field of these numbers, in the place of one that held `before` numbers, or first."""
    fields = list(_extras(extra))
    place = next((place for place, (kind, _) in enumerate(fields) if kind == _ZIP64_EXTRA), -1)
    rest = fields.pop(place)[1][4 + 8 * before :] if place >= 0 else b""
    data = struct.pack(f"<{len(numbers)}Q", *numbers) + rest
    fields.insert(max(place, 0), (_ZIP64_EXTRA, struct.pack("<2H", _ZIP64_EXTRA, len(data)) + data))
    return b"".join(whole for _, whole in fields)


def _end(tail: bytes, count: int, size: int, start: int) -> bytes:
    """What stands behind the directory, for its new size and place: zip64 record and locator, end record, comment."""
    at = tail.rfind(b"PK\5\6")
    wide, (*facts, small, near, comment_length) = tail[:at], _END.unpack_from(tail, at)
    if wide or max(size, start) >= _MOST_32:
        known = _END64.unpack_from(wide)[:6] if wide else (b"PK\6\6", _END64.size - 12, 45, 45, 0, 0)
        wide = _END64.pack(*known, count, count, size, start)
        wide += _END64_LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    small, near = (_MOST_32 if old == _MOST_32 else min(new, _MOST_32) for old, new in ((small, size), (near, start)))
    return wide + _END.pack(*facts, small, near, comment_length) + tail[at + _END.size :]


def _splice(source: BinaryIO, out: BinaryIO, edits: Iterable[_Edit]) -> tuple[int, int]:
    """Copy `source` with the edits, which come in the order of their starts; bytes read and bytes written."""
    read = written = source.seek(0)
    for edit in edits:
        written += _copy(source, out, edit.start - read)
        read = edit.start
        replacement = edit.make(source)
        if replacement is not None:
            written += out.write(replacement.data)
            read = replacement.end
        source.seek(read)
    rest = _copy(source, out, None)
    return read + rest, written + rest


def _copy(source: BinaryIO, out: BinaryIO, length: int | None) -> int:
    """Copy so many bytes, or all that follow. Raises EOFError where there are fewer."""
    copied = 0
    while length is None or copied < length:
        block = source.read(_COPIED_AT_ONCE if length is None else min(_COPIED_AT_ONCE, length - copied))
        if not block:
            if length is not None:
                raise EOFError(f"{length - copied} bytes are missing")
            break
        copied += out.write(block)
    return copied
