"""Compressed tars: a tar inside a gzip stream, bounded when read, written like the original.

The formats: RFC 1952 (gzip), RFC 1951 (deflate), and for what is inside
`pipelines.sources.formats.tar`.

A gzip stream can only be read from its beginning, so `Member.offset` is -1 for all members, the
index reads everything, and reading some members reads up to the last of them.

To change members, the stream is unpacked into a temporary file, the tar inside is spliced, and the
result is compressed as one gzip member behind the header of the first one (RFC 1952, 2.3):

    offset  length  field
         0       2  1F 8B
         2       1  method, 8 for deflate
         3       1  flags: 01 text, 02 header checksum, 04 extra field, 08 name, 10 comment
         4       4  modification time
         8       1  2 for best compression, 4 for fastest
         9       1  operating system
        10          extra field (length in two bytes, then its bytes), name and comment (each ended
                    by a zero byte), checksum of the header (two bytes): those that the flags say

Time, name, comment, extra field and system stay. The header's own checksum is left out, along with
its flag, because no program in use writes or needs it.
"""

import gzip
import io
import shutil
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, cast

from demoire.errors import ImageError
from demoire.imaging.images import probe
from demoire.reasons import Reason
from pipelines.names import shown
from pipelines.records import Member, Source
from pipelines.sources.formats import tar
from pipelines.sources.megapixels import (
    PROBE_BYTES,
    PROBES,
    probed_megapixels,
    with_megapixels,
)
from pipelines.sources.members import (
    BOMB_MEMBER,
    BOMB_RATIO,
    LARGEST_MEMBER,
    DamagedArchiveError,
    obstacle,
    unreadable,
)
from pipelines.sources.splice import COPIED_AT_ONCE, PayloadOf, Writer
from pipelines.storage.local import local_temporary
from pipelines.storage.open import open_place
from pipelines.storage.place import source_changed

BOMB_STREAM = 4 << 30  # bytes to which a stream may unpack, whatever its size

_HEADER_CHECKSUM = 0x02
_EXTRA_FIELD = 0x04
_NAME = 0x08
_COMMENT = 0x10

# What a damaged stream raises while it is read.
_BROKEN_STREAM = (DamagedArchiveError, EOFError, zlib.error, gzip.BadGzipFile)


class BoundedGzip(gzip.GzipFile):
    """A gzip stream that stops being read once it has unpacked to far more than its size.

    Reading and seeking raise OSError then.
    """

    def __init__(self, file: BinaryIO, packed: int) -> None:
        super().__init__(fileobj=file)
        self._most = max(BOMB_STREAM, BOMB_RATIO * packed)

    def read(self, size: int | None = -1) -> bytes:
        """Read on, unless too much was unpacked already."""
        self._check(self.tell())
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position of the unpacked stream; going back begins anew."""
        self._check(offset)  # a stream seeks forward by reading
        return super().seek(offset, whence)

    def _check(self, offset: int) -> None:
        if offset > self._most:
            raise OSError(f"it unpacks to more than {BOMB_RATIO} times its size")


def index(source: Source) -> list[Member]:
    """The members of a tar.gz in its order, with the megapixels of its images estimated.

    Headers are probed on the way, since there is no second one: all at first, and as they become
    too many every second, fourth, ... image.

    Raises:
        DamagedArchiveError: It is no whole tar in a whole gzip stream.
        SourceChangedError: It is no longer what was discovered.
    """
    members: list[Member] = []
    probed: dict[int, float | None] = {}
    images = 0
    stride = 1
    with (
        open_place(source.uri).open("", version=source.version) as file,
        BoundedGzip(file, source.size) as stream,
    ):
        for member in tar.list_members(cast(BinaryIO, stream)):
            members.append(_without_offset(member))
            if member.kind != "image" or not member.length:
                continue
            if images % stride == 0:
                probed[member.position] = probed_megapixels(_head(stream, member))
                if len(probed) > PROBES:
                    probed = dict(list(probed.items())[::2])
                    stride *= 2
            images += 1
    return with_megapixels(members, probed)


def list_members(file: BinaryIO) -> Iterator[Member]:
    """The members of a tar.gz in its order.

    Raises:
        DamagedArchiveError: It is no whole tar in a whole gzip stream.
    """
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
    return (_without_offset(member) for member in tar.list_members(stream))


def read(
    source: Source, members: Sequence[Member], *, check_version: bool
) -> Iterator[tuple[Member, bytes | ImageError]]:
    """The payload of each member; see `pipelines.sources.read`.

    Args:
        source: The tar.gz.
        members: What is wanted, in the order of the archive.
        check_version: Whether the archive has to be of the version that was planned.
    """
    place = open_place(source.uri)
    version = source.version if check_version else None
    waiting = iter(members)
    wanted = next(waiting, None)
    cause = "it is not there any more"
    try:
        with place.open("", version=version) as file:
            stream = gzip.GzipFile(fileobj=file)
            for member in tar.list_members(cast(BinaryIO, stream)):
                while wanted is not None and wanted.position == member.position:
                    if (wanted.name, wanted.size) != (member.name, member.size):
                        raise source_changed(place.full())
                    yield wanted, _payload(stream, member)
                    wanted = next(waiting, None)
                if wanted is None:
                    return
    except _BROKEN_STREAM as error:
        cause = shown(str(error) or type(error).__name__).rstrip(".")
    while wanted is not None:
        yield wanted, unreadable(wanted, cause)
        wanted = next(waiting, None)


def rewrite(
    source: BinaryIO, out: Writer, members: Collection[Member], payload_of: PayloadOf
) -> set[int]:
    """Copy a tar.gz with new payloads for these members; see `tar.rewrite`."""
    source.seek(0)
    header = _read_header(source)
    source.seek(0)
    positions = {member.position for member in members}
    with local_temporary() as unpacked:
        with unpacked.open("wb") as file, gzip.GzipFile(fileobj=source) as stream:
            shutil.copyfileobj(stream, file, COPIED_AT_ONCE)
        with unpacked.open("rb") as plain:
            packer = _GzipWriter(out, header)
            refused = tar.rewrite(plain, packer, tar.locate(plain, positions), payload_of)
            packer.finish()
    return refused


def _without_offset(member: Member) -> Member:
    return replace(member, offset=-1)


def _head(stream: gzip.GzipFile, member: Member) -> bytes:
    try:
        stream.seek(member.offset)
        return stream.read(min(PROBE_BYTES, member.length))
    except (EOFError, zlib.error, OSError) as error:
        raise DamagedArchiveError(str(error)) from error


def _payload(stream: gzip.GzipFile, member: Member) -> bytes | ImageError:
    """A member's payload, read from where it begins.

    A trap of zeros is small while packed. So what is very large is read on only if it begins like
    an image.
    """
    if member.size > LARGEST_MEMBER:
        return obstacle(member) or b""
    stream.seek(member.offset)
    head = stream.read(min(member.size, PROBE_BYTES))
    if member.size > BOMB_MEMBER:
        try:
            probe(head)
        except ImageError as error:
            if error.reason == Reason.NOT_AN_IMAGE:
                return error
    return head + stream.read(member.size - len(head))


class _GzipWriter:
    """Writes one gzip member with a given header."""

    def __init__(self, out: Writer, header: bytes) -> None:
        # What the first packer noted of its effort (RFC 1952, XFL).
        level = {2: 9, 4: 1}.get(header[8], 6)
        self._out = out
        self._packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._checksum = 0
        self._size = 0
        out.write(header)

    def write(self, data: bytes, /) -> int:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        self._out.write(self._packer.compress(data))
        return len(data)

    def finish(self) -> None:
        """Write what is left, and the trailer: checksum, and size modulo 2**32."""
        trailer = struct.pack("<2I", self._checksum, self._size & 0xFFFFFFFF)
        self._out.write(self._packer.flush() + trailer)


def _read_header(source: BinaryIO) -> bytes:
    """The header of the first gzip member, without the checksum that it may have of itself."""
    fixed = bytearray(source.read(10))
    flags = fixed[3]
    fixed[3] = flags & ~_HEADER_CHECKSUM
    parts = [bytes(fixed)]
    if flags & _EXTRA_FIELD:
        length = source.read(2)
        parts.append(length + source.read(int.from_bytes(length, "little")))
    if flags & _NAME:
        parts.append(_read_to_zero(source))
    if flags & _COMMENT:
        parts.append(_read_to_zero(source))
    return b"".join(parts)


def _read_to_zero(source: BinaryIO) -> bytes:
    text = bytearray()
    while True:
        byte = source.read(1)
        text += byte
        if not byte or byte == b"\0":
            return bytes(text)
