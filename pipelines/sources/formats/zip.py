"""Zip archives: their members and payloads; writing one anew is in `zip_splice`.

The format, with its clauses in APPNOTE.TXT, is told in `zip_headers`. `zipfile` reads the
directory. Three things are left to do here: bound the sizes and offsets that members claim, refuse
an empty directory in an archive that is not empty, and read members by range.

The directory says where a member's local header is, but not how long that is, so `Member.offset` is
the offset of the local header. A range for a member is made long enough for the header, with some
room for an extra field, and for the descriptor behind the payload.

`Member.offset` is -1 where the payload cannot be had: encrypted, compressed by a method that is not
known (see `zip_packing`), or said to lie beyond the archive's end.

Costs: the index reads the directory, in one or two requests.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, BinaryIO, cast

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, part_of
from demoire.reasons import Reason
from pipelines.records import Member, Source
from pipelines.sources.coalesce import read_ranges
from pipelines.sources.formats.streams import BrokenStreamError
from pipelines.sources.formats.zip_headers import (
    DESCRIPTOR_SIZES,
    EMPTY_ZIP,
    ENCRYPTED,
    HAS_DESCRIPTOR,
    LOCAL_HEADER_SIZE,
    LocalHeader,
)
from pipelines.sources.formats.zip_packing import METHODS, unpacked, unpacked_pieces
from pipelines.sources.formats.zip_splice import rewrite
from pipelines.sources.megapixels import PROBE_BYTES
from pipelines.sources.members import (
    MOST_MEMBERS,
    BoundedFile,
    DamagedArchiveError,
    member_kind,
    unreadable,
)
from pipelines.sources.splice import Writer
from pipelines.storage.open import open_place
from pipelines.storage.place import Place, read_object

__all__ = ["head", "list_members", "payload_start", "read", "rewrite", "unpack"]

# Bytes; a zip may claim up to 2**64, of which no sum fits a column of the manifest.
_LARGEST_CLAIM = 1 << 50

_EXTRA_ROOM = 512  # bytes of a member's extra field that are read along at first

_READ_AT_ONCE = 1 << 16  # bytes of a packed payload that is unpacked by pieces


def head(place: Place, version: str, member: Member) -> bytes:
    """The first bytes of a member's unpacked payload; none where they cannot be unpacked."""
    length = min(PROBE_BYTES, _span_length(member))
    return _unpacked_head(place.read("", member.offset, length, version=version), member)


def head_in(file: BinaryIO, member: Member) -> bytes:
    """The same of a member of an open archive."""
    file.seek(member.offset)
    return _unpacked_head(file.read(min(PROBE_BYTES, _span_length(member))), member)


def payload_start(file: BinaryIO, member: Member) -> int:
    """Where a member's packed payload begins in the archive: behind its local header.

    Raises:
        DamagedArchiveError: There is no local header.
    """
    return member.offset + _local_header(file, member).length


def unpack(file: BinaryIO, member: Member, out: Writer) -> None:
    """Copy a member's unpacked payload out of an open archive, a piece in memory at a time.

    Raises:
        DamagedArchiveError: Size or checksum differ from what its headers say.
        BrokenStreamError: It does not unpack.
    """
    header = _local_header(file, member)
    file.seek(member.offset + header.length)
    size = 0
    checksum = 0
    packed = _pieces_of(file, member.length)
    for piece in unpacked_pieces(packed, member.compression, member.size):
        size += len(piece)
        checksum = zlib.crc32(piece, checksum)
        out.write(piece)
    file.seek(member.offset + header.length + member.length)
    stated = _stated_checksum(header, file.read(max(DESCRIPTOR_SIZES)))
    if size != member.size or checksum != stated:
        raise DamagedArchiveError("size or checksum differ")


def _local_header(file: BinaryIO, member: Member) -> LocalHeader:
    file.seek(member.offset)
    header = LocalHeader.parse(file.read(LOCAL_HEADER_SIZE))
    if header is None:
        raise DamagedArchiveError("a local header is not there")
    return header


def _pieces_of(file: BinaryIO, length: int) -> Iterator[bytes]:
    """So many bytes of a file from where it stands, fewer where it ends."""
    missing = length
    while missing:
        piece = file.read(min(_READ_AT_ONCE, missing))
        if not piece:
            return
        missing -= len(piece)
        yield piece


def list_members(file: BinaryIO) -> Iterator[Member]:
    """The members of a zip in the order of its directory.

    Raises:
        DamagedArchiveError: Its directory does not check out.
    """
    try:
        with zipfile.ZipFile(cast(IO[bytes], BoundedFile(file))) as archive:
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
    if not infos and size > EMPTY_ZIP + len(archive.comment):
        raise DamagedArchiveError(f"its directory is empty, and yet it is of {size} bytes")
    if len(infos) > MOST_MEMBERS:
        raise DamagedArchiveError(f"{len(infos)} members")
    for position, info in enumerate(infos):
        yield _member(position, info, size)


def read(
    source: Source, members: Sequence[Member]
) -> Iterator[tuple[Member, FileBytes | ImageError]]:
    """The payload of each member, in the order given; see `pipelines.sources.read`."""
    place = open_place(source.uri)
    for member, span in read_ranges(place, members, source.version, _span_length):
        if isinstance(span, ImageError):
            yield member, span
        else:
            yield member, _payload(place, source.version, member, span)


def _member(position: int, info: zipfile.ZipInfo, archive_size: int) -> Member:
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    is_folder = info.filename.endswith("/")  # ZipInfo.is_dir fails on an empty name
    kind = member_kind(info.filename, plain=not is_folder and not is_link)
    is_encrypted = bool(info.flag_bits & ENCRYPTED)
    compression = METHODS.get(info.compress_type)
    is_readable = compression is not None and not is_encrypted
    reason = ""
    if compression is None and not is_encrypted and kind == "image":
        reason = Reason.UNKNOWN_PACKING.value
    end = info.header_offset + info.compress_size
    is_inside = 0 <= info.header_offset <= end <= archive_size
    return Member(
        position=position,
        name=info.filename,
        kind=kind,
        offset=info.header_offset if is_readable and is_inside else -1,
        length=min(info.compress_size, _LARGEST_CLAIM),
        size=min(info.file_size, _LARGEST_CLAIM),
        compression=compression or "stored",
        version="",
        megapixels=0.0,
        reason=reason,
    )


def _span_length(member: Member) -> int:
    """Bytes from the local header on that hold the member, unless its extra field is very long."""
    name_length = len(member.name.encode(errors="replace"))
    header_length = LOCAL_HEADER_SIZE + name_length + _EXTRA_ROOM
    return header_length + member.length + max(DESCRIPTOR_SIZES)


def _unpacked_head(span: bytes, member: Member) -> bytes:
    """The first bytes of the unpacked payload; none where they cannot be unpacked."""
    header = LocalHeader.parse(span)
    if header is None:
        return b""
    packed = span[header.length : header.length + member.length]
    try:
        return bytes(unpacked(packed, member.compression, min(member.size, PROBE_BYTES)))
    except BrokenStreamError:
        return b""


def _payload(place: Place, version: str, member: Member, span: FileBytes) -> FileBytes | ImageError:
    header = LocalHeader.parse(span)
    if header is None:
        return unreadable(member, "its local header is not there")
    if header.length > _span_length(member) - member.length:
        # The extra field is longer than there was room for.
        needed = header.length + _span_length(member)
        span = read_object(place, "", member.offset, needed, version=version)
    return _unpacked(span, header, member)


def _unpacked(span: FileBytes, header: LocalHeader, member: Member) -> FileBytes | ImageError:
    """The unpacked payload out of local header, payload and descriptor.

    It is never of more bytes than the directory declares; size and checksum have to fit.
    """
    end = header.length + member.length
    packed = part_of(span, header.length, member.length)
    if len(packed) != member.length:
        return unreadable(member, "the archive ends before it does")
    try:
        data = unpacked(packed, member.compression, member.size)
    except BrokenStreamError as error:
        return unreadable(member, str(error))
    checksum = _stated_checksum(header, span[end:])
    if len(data) != member.size or zlib.crc32(data) != checksum:
        return unreadable(member, "size or checksum differ")
    return data


def _stated_checksum(header: LocalHeader, descriptor: bytes) -> int:
    """The checksum in a local header, or in the data descriptor behind the payload (4.3.9), whose
    signature is optional.
    """
    checksum = header.content.checksum
    if checksum or not header.flags & HAS_DESCRIPTOR:
        return checksum
    if descriptor[:4] == b"PK\7\x08":
        descriptor = descriptor[4:]
    return int.from_bytes(descriptor[:4], "little")
