"""Gzip streams: RFC 1952 (gzip), RFC 1951 (deflate).

What is written begins like the header of the first gzip member (RFC 1952, 2.3):

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

import struct
import zlib
from typing import BinaryIO

from pipelines.sources.formats.inflater import Inflater
from pipelines.sources.formats.streams import Packer, Unpacker

BROKEN: tuple[type[Exception], ...] = (zlib.error,)

_GZIP = 16 + zlib.MAX_WBITS  # tells zlib to read the header, and to check the trailer

_HEADER_CHECKSUM = 0x02
_EXTRA_FIELD = 0x04
_NAME = 0x08
_COMMENT = 0x10


def unpacker() -> Unpacker:
    """An unpacker for one gzip member."""
    return Inflater(_GZIP)


def packer_like(source: BinaryIO) -> Packer:
    """A packer of one gzip member, with the header and effort of the source's first."""
    return _GzipPacker(_read_header(source))


class _GzipPacker:
    """Writes one gzip member with a given header."""

    def __init__(self, header: bytes) -> None:
        # What the first packer noted of its effort (RFC 1952, XFL).
        level = {2: 9, 4: 1}.get(header[8], 6)
        self._packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._header = header  # until it is written
        self._checksum = 0
        self._size = 0

    def compress(self, data: bytes, /) -> bytes:
        header = self._header
        self._header = b""
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        return header + self._packer.compress(data)

    def flush(self) -> bytes:
        """What is left, and the trailer: checksum, and size modulo 2**32."""
        trailer = struct.pack("<2I", self._checksum, self._size & 0xFFFFFFFF)
        return self._header + self._packer.flush() + trailer


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
