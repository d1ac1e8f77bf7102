"""What is inside a tar or a zip: its members in order, and one zip member's payload.

Reading stays with the standard library (`tarfile`, `zipfile`) over a seekable file; this module adds what a hostile or
damaged archive needs. `tarfile` stops in silence at a bad header, so the end is checked: whatever follows the last
member must be zeros. It trusts sizes in headers, so reads and steps are bounded. An archive that does not check out
raises DamagedArchiveError: it is copied as it is, byte for byte, because a mirror built from half an index would lose
members.
"""

import gzip
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Literal, cast

from demoire.errors import ImageError, UsageError
from demoire.imaging.images import IMAGE_SUFFIXES, UNSUPPORTED_SUFFIXES
from pipelines.records import Member, MemberKind

MOST_MEMBERS = 2_000_000  # a source of more is taken for damaged; two million cost about 1 GB while indexed
LARGEST_MEMBER = 1 << 30  # bytes of one image, unpacked; a larger one is quarantined as too_large
# What unpacks to so many times its size, and to so many bytes, is a trap: an image is quarantined as compression_bomb,
# a tar.gz is taken for damaged.
BOMB_RATIO, BOMB_MEMBER, BOMB_STREAM = 200, 64 << 20, 4 << 30

_LARGEST_HEADER = 256 << 20  # a zip directory of two million members; far more than any tar header
_LARGEST_SAID = 1 << 50  # bytes; a zip may say up to 2**64, of which no sum fits a column of the manifest
_ZEROS_BLOCK = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_EXTRA = 512  # bytes of a zip member's extra field that are read along at first
_DESCRIPTOR = 24  # bytes at most behind a zip payload that repeat checksum and sizes
_EMPTY_ZIP = 22  # bytes of one without members and comment
_ENCRYPTED, _HAS_DESCRIPTOR = 0x1, 0x8

ArchiveKind = Literal["tar", "tar.gz", "zip"]
_ARCHIVES: dict[str, ArchiveKind] = {".tar": "tar", ".tar.gz": "tar.gz", ".tgz": "tar.gz", ".zip": "zip"}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class DamagedArchiveError(UsageError):
    """An archive that is cut short or does not check out. It is mirrored as it is; none of its images is cleaned."""


def archive_kind(name: str) -> ArchiveKind | None:
    """The kind of archive by its name's end; None if it is none that is opened."""
    lower = name.lower()
    return next((kind for suffix, kind in _ARCHIVES.items() if lower.endswith(suffix)), None)


def suffix_of(name: str) -> str:
    """'.jpg' of 'a/B.JPG'; '' where there is none."""
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_image_name(name: str) -> bool:
    """Whether a name says image. The forks that macOS puts beside images ('._a.jpg', '__MACOSX/') are none."""
    base = name.replace("\\", "/").rpartition("/")[2]
    if base.startswith("._") or "__MACOSX" in name.split("/"):
        return False
    return suffix_of(name) in IMAGE_SUFFIXES or suffix_of(name) in UNSUPPORTED_SUFFIXES


def is_unsafe_name(name: str) -> bool:
    """Whether unpacking a member under this name could leave its folder, here or on another system."""
    parts = name.replace("\\", "/").split("/")
    return not name or "\0" in name or parts[0] == "" or ".." in parts or bool(_DRIVE.match(name))


def member_kind(name: str, *, plain: bool) -> MemberKind:
    """`image` for a plain file that is cleaned; `unsafe` for one that is not, but has its row in the report."""
    if not is_image_name(name) or not plain:
        return "other"
    return "unsafe" if is_unsafe_name(name) else "image"


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
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError, OverflowError) as error:
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
        yield Member(position, info.name, kind, offset, info.size, info.size, "stored", "", 0.0), info.offset_data
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        position += 1


def _check_end(file: BinaryIO, offset: int) -> None:
    file.seek(offset)
    while block := file.read(_ZEROS_BLOCK):
        if block.count(0) != len(block):
            raise tarfile.ReadError(f"something that is no member stands at byte {offset}")


def zip_members(file: BinaryIO) -> Iterator[Member]:
    """The members in the order of the zip's directory. Raises DamagedArchiveError.

    A member's `offset` is that of its local header, whose size only reading it tells; -1 where the payload cannot be
    had: encrypted, compressed by another method than deflate, or said to lie beyond the archive's end.
    """
    try:
        with zipfile.ZipFile(cast(IO[bytes], _Bounded(file))) as archive:
            infos = archive.infolist()
        size = file.seek(0, io.SEEK_END)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, struct.error, NotImplementedError) as error:
        raise DamagedArchiveError(str(error)) from error
    if not infos and size > _EMPTY_ZIP + len(archive.comment):
        raise DamagedArchiveError(f"its directory is empty, and yet it is of {size} bytes")
    if len(infos) > MOST_MEMBERS:
        raise DamagedArchiveError(f"{len(infos)} members")
    for position, info in enumerate(infos):
        linked = stat.S_ISLNK(info.external_attr >> 16)
        folder = info.filename.endswith("/")  # ZipInfo.is_dir fails on an empty name
        kind = member_kind(info.filename, plain=not folder and not linked)
        common = not info.flag_bits & _ENCRYPTED and info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
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
    """Bytes from the local header on that hold the member, but for an uncommonly long extra field."""
    return _LOCAL_HEADER.size + len(member.name.encode(errors="replace")) + _LOCAL_EXTRA + member.length + _DESCRIPTOR


def zip_payload_start(span: bytes, member: Member) -> int:
    """Where in the bytes from the local header on the payload begins. Raises ImageError: unreadable."""
    if len(span) < _LOCAL_HEADER.size or span[:4] != b"PK\3\4":
        raise _unreadable(member, "its local header is not there")
    *_, name_length, extra_length = _LOCAL_HEADER.unpack_from(span)
    return _LOCAL_HEADER.size + name_length + extra_length


def zip_payload(span: bytes, member: Member) -> bytes:
    """The unpacked payload from the bytes of local header, payload and descriptor. Raises ImageError: unreadable.

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
    return ImageError("unreadable", f"Member {member.position} cannot be read out of its archive: {why}.")


class BoundedGzip(gzip.GzipFile):
    """A gzip stream that stops being read once it has unpacked to far more than its size. Raises OSError then."""

    def __init__(self, file: BinaryIO, packed: int) -> None:
        super().__init__(fileobj=file)
        self._most = max(BOMB_STREAM, BOMB_RATIO * packed)

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > self._most:
            raise OSError(f"it unpacks to more than {BOMB_RATIO} times its size")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset > self._most:  # forward it reads as well
            raise OSError(f"it unpacks to more than {BOMB_RATIO} times its size")
        return super().seek(offset, whence)


class _Bounded:
    """A file that refuses the giant reads that a forged header asks for."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, lambda: None
        self.seekable = lambda: True

    def read(self, size: int = -1) -> bytes:
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)
