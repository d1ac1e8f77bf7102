"""Tar archives: their members, payloads, and writing one anew with every other byte as it was.

The format: POSIX.1-2017, `pax`, sections "ustar Interchange Format" and "pax Interchange Format"
(https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html). A tar is a row of 512-byte
blocks. A member is a header block, its payload, and zeros up to the next block; two blocks of zeros
end the archive, and tapes fill up with zeros to a whole record of 20 blocks. What does not fit a
header (long names, exact times, sizes beyond 8 GB) stands in an extended header before it, itself a
member of type 'x' (pax) or 'L'/'K' (GNU).

Of the header block, three fields matter here; numbers are octal digits in ASCII, and programs
differ in how they fill and end them:

    offset  length  field
       124      12  size of the payload, bytes
       148       8  checksum: the sum of all bytes of the header, this field taken as blanks
       156       1  type

`tarfile` reads the headers. It stops in silence at a bad one, so the end is checked here: whatever
follows the last member must be zeros. It also trusts the sizes in headers, so reads and steps are
bounded.

To change a payload, the header block before it gets another size and checksum, in the form of the
old ones, and the payload is padded anew. Everything else, extended headers too, is copied. That is
right unless the size stands in an extended header (pax `size`, GNU's base-256): then the header
block says something else than the length of the payload, and the member is refused.

Costs: the index reads one small range a member.
"""

import tarfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, BinaryIO, cast

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes
from pipelines.records import Member, Source
from pipelines.sources.coalesce import read_ranges
from pipelines.sources.megapixels import PROBE_BYTES
from pipelines.sources.members import (
    MOST_MEMBERS,
    BoundedFile,
    DamagedArchiveError,
    member_kind,
)
from pipelines.sources.splice import (
    COPIED_AT_ONCE,
    Edit,
    PayloadOf,
    Replacement,
    Writer,
    splice,
)
from pipelines.storage.open import open_place
from pipelines.storage.place import Place, source_changed

_BLOCK = 512  # bytes
_RECORD = 20 * _BLOCK

_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)

_ZEROS_READ_AT_ONCE = 1 << 20  # bytes, behind the last member


def head(place: Place, version: str, member: Member) -> bytes:
    """The first bytes of a member's payload."""
    return place.read("", member.offset, min(PROBE_BYTES, member.length), version=version)


def payload_start(file: BinaryIO, member: Member) -> int:
    """Where a member's payload begins in the archive: where its offset says."""
    return member.offset


def unpack(file: BinaryIO, member: Member, out: Writer) -> None:
    """Copy a member's payload out of an open archive.

    Raises:
        DamagedArchiveError: The archive ends before it does.
    """
    file.seek(member.offset)
    missing = member.length
    while missing:
        block = file.read(min(COPIED_AT_ONCE, missing))
        if not block:
            raise DamagedArchiveError("the archive ends before a member does")
        out.write(block)
        missing -= len(block)


def list_members(file: BinaryIO) -> Iterator[Member]:
    """The members of an uncompressed tar in its order.

    `offset` is where the payload begins in the stream. Between two members the caller may seek and
    read `file` forward.

    Raises:
        DamagedArchiveError: It is no whole tar.
    """
    try:
        file.seek(0)  # tarfile begins where the file stands
        with tarfile.open(
            fileobj=cast(IO[bytes], BoundedFile(file)),
            mode="r:",
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            yield from _members_of(tar)
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


def read(
    source: Source, members: Sequence[Member]
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """The payload of each member, in the order given; see `pipelines.sources.read`."""
    place = open_place(source.uri)
    spans = read_ranges(place, members, source.version, lambda member: member.length)
    for member, payload in spans:
        if not isinstance(payload, ImageError) and len(payload) != member.length:
            raise source_changed(place.full())
        yield member, payload


def rewrite(
    source: BinaryIO, out: Writer, members: Collection[Member], payload_of: PayloadOf
) -> set[int]:
    """Copy a tar with new payloads for these members.

    Args:
        source: The tar.
        out: Where the new one is written.
        members: The members to change, with the offsets they have in `source`.
        payload_of: Their new payloads.

    Returns:
        The positions of members that are refused, and stay as they are.
    """
    refused: set[int] = set()
    edits = []
    for member in sorted(members, key=lambda member: member.offset):
        edits.append(_edit(member, payload_of, refused))
    spliced = splice(source, out, edits)
    # Tapes were written in whole records, and some readers still count on it.
    if spliced.read % _RECORD == 0:
        out.write(bytes(-spliced.written % _RECORD))
    return refused


def _members_of(tar: tarfile.TarFile) -> Iterator[Member]:
    position = 0
    before = -1
    while True:
        info = tar.next()
        if info is None:
            return
        # A negative size would send tarfile back to a header that it has read already, for ever.
        goes_back = info.size < 0 or tar.offset <= before
        if goes_back or position >= MOST_MEMBERS:
            raise tarfile.ReadError("sizes that cannot be")
        before = tar.offset
        kind = member_kind(info.name, plain=info.isreg())
        if kind == "image" and info.sparse is not None:
            kind = "unsafe"  # its bytes in the archive are not those of the file
        size = info.size
        yield Member(position, info.name, kind, info.offset_data, size, size, "stored", "", 0.0)
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        position += 1


def _check_end(file: BinaryIO, offset: int) -> None:
    file.seek(offset)
    while True:
        block = file.read(_ZEROS_READ_AT_ONCE)
        if not block:
            return
        if block.count(0) != len(block):
            raise tarfile.ReadError(f"something that is no member stands at byte {offset}")


def _edit(member: Member, payload_of: PayloadOf, refused: set[int]) -> Edit:
    """The edit that begins with the header block before a member's payload."""

    def make(source: BinaryIO) -> Replacement | None:
        header = source.read(_BLOCK)
        if _number_in(header[_SIZE]) != member.length:
            refused.add(member.position)
            return None
        payload = payload_of(member.position)
        if payload is None:
            refused.add(member.position)
            return None
        parts = (_with_size(header, len(payload)), payload, _padding(len(payload)))
        end = member.offset + member.length + len(_padding(member.length))
        return Replacement(parts, end)

    return Edit(member.offset - _BLOCK, make)


def _padding(length: int) -> bytes:
    """The zeros behind so many bytes, up to the next block."""
    return bytes(-length % _BLOCK)


def _number_in(field: bytes) -> int:
    """The number in a field of octal digits; -1 where it is written in another way."""
    digits = field.strip(b" \0")
    if not digits or not set(digits) <= set(b"01234567"):
        return -1
    return int(digits, 8)


def _with_size(header: bytes, size: int) -> bytes:
    """A header block for a payload of another size."""
    sized = _with_field(header, _SIZE, size)
    blanks = sum(b" " * 8)  # the checksum counts its own field as blanks
    checksum = sum(sized) - sum(sized[_CHECKSUM]) + blanks
    return _with_field(sized, _CHECKSUM, checksum)


def _with_field(header: bytes, field: slice, number: int) -> bytes:
    """A header block with another number in a field, written the way the old one was.

    It has as many digits as before, filled from the left with blanks or zeros like them, and the
    field ends as it did: programs differ in both, and a byte that need not change shall not.
    """
    old = header[field]
    digits_before = old.rstrip(b" \0")
    fill = b" " if digits_before.startswith(b" ") else b"0"
    digits = (b"%o" % number).rjust(len(digits_before), fill)
    new = digits + old[len(digits) :]
    return header[: field.start] + new + header[field.stop :]
