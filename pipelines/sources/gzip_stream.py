"""Gzip streams: bounded when read, written like the original."""

import gzip
import io
import shutil
import struct
import zlib
from collections.abc import Collection
from typing import BinaryIO, cast

from pipelines.records import Member
from pipelines.sources.splice import _COPIED_AT_ONCE, PayloadOf
from pipelines.sources.tar import rewrite_tar, tar_places
from pipelines.storage.local import local_temporary


def rewrite_tar_gz(
    source: BinaryIO, out: BinaryIO, members: Collection[Member], payload_of: PayloadOf
) -> set[int]:
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
        self._out.write(
            self._packer.flush() + struct.pack("<2I", self._checksum, self._size & 0xFFFFFFFF)
        )


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


# What unpacks to so many times its size, and to so many bytes, is a trap: an image is quarantined
# as compression_bomb, a tar.gz is taken for damaged.
BOMB_RATIO, BOMB_MEMBER, BOMB_STREAM = 200, 64 << 20, 4 << 30


class BoundedGzip(gzip.GzipFile):
    """A gzip stream that stops being read once it has unpacked to far more than its size. Raises
    OSError then.
    """

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
