"""Tar archives: their members, and writing one anew with every other byte as it was."""

import tarfile
import zlib
from collections.abc import Collection, Iterator
from typing import IO, BinaryIO, cast

from pipelines.records import Member
from pipelines.sources.members import MOST_MEMBERS, DamagedArchiveError, _Bounded, member_kind
from pipelines.sources.splice import PayloadOf, _Edit, _Replacement, _splice

_BLOCK, _RECORD = 512, 20 * 512


def rewrite_tar(
    source: BinaryIO, out: BinaryIO, members: Collection[Member], payload_of: PayloadOf
) -> set[int]:
    """Copy a tar with new payloads for these members, whose offsets are those in `source`; the
    positions refused.
    """
    refused: set[int] = set()
    edits = (
        _tar_edit(member, payload_of, refused)
        for member in sorted(members, key=lambda member: member.offset)
    )
    read, written = _splice(source, out, edits)
    # tapes were written in whole records, and some readers still count on it
    if read % _RECORD == 0:
        out.write(bytes(-written % _RECORD))
    return refused


def tar_places(file: BinaryIO, positions: Collection[int]) -> list[Member]:
    """The members of a tar at these positions, with their offsets in it."""
    return [
        member for member, _ in tar_members(file, by_range=True) if member.position in positions
    ]


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
    """The number in place of a field's own, with as many digits, filled and ended in the same
    way.
    """
    before = field.rstrip(b" \0")
    digits = (b"%o" % number).rjust(len(before), b" " if before[:1] == b" " else b"0")
    return digits + field[len(digits) :]


_ZEROS_BLOCK = 1 << 20


def tar_members(file: BinaryIO, *, by_range: bool) -> Iterator[tuple[Member, int]]:
    """The members of an uncompressed tar stream, each with the place of its payload in the stream.

    Between two members the caller may seek and read `file` forward. Raises DamagedArchiveError.
    """
    try:
        with tarfile.open(
            fileobj=cast(IO[bytes], _Bounded(file)),
            mode="r:",
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            yield from _tar_members(tar, by_range)
            _check_end(file, tar.offset)
    except (
        tarfile.TarError,
        EOFError,
        zlib.error,
        OSError,
        ValueError,
        RecursionError,
        OverflowError,
    ) as error:
        raise DamagedArchiveError(str(error)) from error


def _tar_members(tar: tarfile.TarFile, by_range: bool) -> Iterator[tuple[Member, int]]:
    position, before = 0, -1
    while (info := tar.next()) is not None:
        if tar.offset <= before or info.size < 0 or position >= MOST_MEMBERS:
            raise tarfile.ReadError("sizes that cannot be")
        before = tar.offset
        kind = member_kind(info.name, plain=info.isreg())
        if kind == "image" and info.sparse is not None:
            kind = "unsafe"
        offset = info.offset_data if by_range else -1
        yield (
            Member(position, info.name, kind, offset, info.size, info.size, "stored", "", 0.0),
            info.offset_data,
        )
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        position += 1


def _check_end(file: BinaryIO, offset: int) -> None:
    file.seek(offset)
    while block := file.read(_ZEROS_BLOCK):
        if block.count(0) != len(block):
            raise tarfile.ReadError(f"something that is no member stands at byte {offset}")
