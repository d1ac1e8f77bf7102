"""The chunks of a PNG file: its length (4 bytes), type (4), data, and a CRC of type and data (4).

The length counts the data alone. W3C, "Portable Network Graphics (PNG) Specification (Third
Edition)", 5.2 and 5.3.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from demoire.file_bytes import FileBytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_FRAME = 12  # bytes of a chunk besides its data


@dataclass(frozen=True)
class Chunk:
    """One chunk of a file."""

    type: bytes
    whole: memoryview  # of the file, with length, type and CRC

    @property
    def data(self) -> bytes:
        """What it holds."""
        return bytes(self.whole[8:-4])

    @property
    def is_sound(self) -> bool:
        """Whether its checksum holds."""
        expected = int.from_bytes(self.whole[-4:], "big")
        return zlib.crc32(self.whole[4:-4]) == expected


def chunks_of(data: FileBytes) -> Iterator[Chunk]:
    """Each chunk that is there in full."""
    whole = memoryview(data)  # whose parts are no copies
    offset = len(SIGNATURE)
    while offset + _FRAME <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        end = offset + _FRAME + length
        if end > len(data):
            return
        yield Chunk(data[offset + 4 : offset + 8], whole[offset:end])
        offset = end


def whole_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
