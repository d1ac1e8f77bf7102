"""How the members of a zip are packed: unpacked by pieces, and packed anew as they were.

The methods, by their numbers in APPNOTE.TXT (4.4.5): stored (0), deflate (8), bzip2 (12), LZMA (14)
and Zstandard (93). Others are rare: deflate64 (9), which Windows takes beyond 2 GB and no library
here unpacks, and those of the PPMd, WavPack and JPEG kind that WinZip once had.

A bzip2 or Zstandard member is what such a file is, so its first bytes show the effort. LZMA has a
header of its own (5.8.8):

    offset  length  field
         0       2  version of the packer's library
         2       2  length of the properties, 5
         4       1  (pb * 5 + lp) * 9 + lc
         5       4  size of the dictionary
         9          the raw stream; flag bit 1 says whether a marker ends it

Properties and dictionary stay; what is written has the marker, and the flag.

Costs: pieces of 1 MB in memory. A large member is packed into a temporary file.
"""

import io
import lzma
import mmap
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from demoire.file_bytes import FileBytes, collected
from pipelines.records import Compression
from pipelines.sources.formats import bzip2_stream, zstd_stream
from pipelines.sources.formats.inflater import Inflater
from pipelines.sources.formats.streams import (
    LARGEST_WINDOW,
    BrokenStreamError,
    Packer,
    Unpacker,
)
from pipelines.sources.splice import COPIED_AT_ONCE, NewPayload, mapped_payload
from pipelines.storage.local import local_temporary

METHODS: dict[int, Compression] = {0: "stored", 8: "deflate", 12: "bzip2", 14: "lzma", 93: "zstd"}

HEAD_SIZE = 64  # bytes of a packed payload that show how it was packed

_BROKEN = (zlib.error, OSError, EOFError, lzma.LZMAError, zstd.ZstdError)
_PUT_IN_AT_ONCE = 1 << 16  # bytes

_EFFORT = 0x6  # flag bits 1 and 2, where the method is deflate (4.4.4)
# zlib's level by what the first packer noted of its effort: normal, maximum, fast, super fast.
_LEVELS = {0: 6, 0x2: 9, 0x4: 1, 0x6: 1}

_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
_LZMA_HEADER = struct.Struct("<2sHBI")


class PackedOtherwiseError(ValueError):
    """A packed payload that does not begin as its method says."""


def unpacked(packed: FileBytes, compression: Compression, most: int) -> FileBytes:
    """A member's payload, of at most one byte more than `most`.

    Raises:
        BrokenStreamError: It does not unpack.
        MachineError: There is no room for it.
    """
    if compression == "stored":
        return packed
    starts = range(0, len(packed), _PUT_IN_AT_ONCE)
    pieces = (packed[start : start + _PUT_IN_AT_ONCE] for start in starts)
    return collected(unpacked_pieces(pieces, compression, most), most + 1)


def unpacked_pieces(
    packed: Iterable[bytes], compression: Compression, most: int
) -> Iterator[bytes]:
    """The same piece by piece."""
    if compression == "stored":
        yield from packed
        return
    unpacker = _Unpacking(compression)
    left = most + 1
    for data in packed:
        for piece in unpacker.take(data, left):
            left -= len(piece)
            yield piece
            if not left:
                return


def packed_like(
    payload: NewPayload, compression: Compression, flags: int, head: bytes
) -> NewPayload:
    """A payload packed as another one was; a mapped file gives a mapped file.

    Args:
        payload: The new one.
        compression: The method.
        flags: Of the member's local header.
        head: The first bytes of what is packed there now.

    Raises:
        PackedOtherwiseError: They are not those of the method.
    """
    if compression == "stored":
        return payload
    try:
        packer = _PACKERS[compression](flags, head)
    except (ValueError, struct.error, lzma.LZMAError) as error:
        raise PackedOtherwiseError(str(error)) from error
    if not isinstance(payload, mmap.mmap):
        return packer.compress(payload) + packer.flush()
    with local_temporary() as path:
        with path.open("wb") as out:
            for start in range(0, len(payload), COPIED_AT_ONCE):
                out.write(packer.compress(payload[start : start + COPIED_AT_ONCE]))
            out.write(packer.flush())
        return mapped_payload(path)


class _Unpacking:
    """One member being unpacked."""

    def __init__(self, compression: Compression) -> None:
        self._unpacker: Unpacker | None = None
        self._head = b""  # what was taken in before the unpacker could be made
        self._make = _UNPACKERS[compression]
        self._head_size = _LZMA_HEADER.size if compression == "lzma" else 0

    def take(self, data: bytes, most: int) -> Iterator[bytes]:
        """What comes out when some more is put in: at most `most` bytes."""
        if self._unpacker is None:
            self._head += data
            if len(self._head) < self._head_size:
                return
            self._unpacker = self._make(self._head)
            data = self._head[self._head_size :]
        while not self._unpacker.eof and most:
            try:
                piece = self._unpacker.decompress(data, min(most, COPIED_AT_ONCE))
            except _BROKEN as error:
                raise BrokenStreamError(str(error)) from error
            data = b""
            most -= len(piece)
            if piece:
                yield piece
            elif self._unpacker.needs_input:
                return


def _lzma_filter(head: bytes) -> dict[str, int]:
    """The filter that an LZMA header tells of.

    Raises:
        BrokenStreamError: None that is honest.
    """
    try:
        _, length, packed, dictionary = _LZMA_HEADER.unpack_from(head)
    except struct.error as error:
        raise BrokenStreamError("no header of LZMA") from error
    if length != 5 or dictionary > LARGEST_WINDOW:
        raise BrokenStreamError("a header of LZMA that cannot be")
    rest, literal_context = divmod(packed, 9)
    position_bits, literal_position = divmod(rest, 5)
    return {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(dictionary, 4096),
        "lc": literal_context,
        "lp": literal_position,
        "pb": position_bits,
    }


def _lzma_unpacker(head: bytes) -> Unpacker:
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma_filter(head)])
    except (lzma.LZMAError, ValueError) as error:
        raise BrokenStreamError(str(error)) from error


class _LzmaPacker:
    """Writes one LZMA payload with a given header."""

    def __init__(self, head: bytes) -> None:
        try:
            chain = [_lzma_filter(head)]
        except BrokenStreamError as error:
            raise ValueError(str(error)) from error
        self._packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=chain)
        self._header = head[: _LZMA_HEADER.size]  # until it is written

    def compress(self, data: bytes, /) -> bytes:
        header = self._header
        self._header = b""
        return header + self._packer.compress(data)

    def flush(self) -> bytes:
        return self._header + self._packer.flush()


def _deflater(flags: int, head: bytes) -> Packer:
    return zlib.compressobj(_LEVELS[flags & _EFFORT], zlib.DEFLATED, -zlib.MAX_WBITS)


def _zstd_packer(flags: int, head: bytes) -> Packer:
    if not head.startswith(_ZSTD_FRAME):
        raise ValueError("no frame of Zstandard")
    return zstd_stream.packer_like(io.BytesIO(head))


_UNPACKERS: dict[Compression, Callable[[bytes], Unpacker]] = {
    "deflate": lambda head: Inflater(-zlib.MAX_WBITS),
    "bzip2": lambda head: bzip2_stream.unpacker(),
    "lzma": _lzma_unpacker,
    "zstd": lambda head: zstd_stream.unpacker(),
}
_PACKERS: dict[Compression, Callable[[int, bytes], Packer]] = {
    "deflate": _deflater,
    "bzip2": lambda flags, head: bzip2_stream.packer_like(io.BytesIO(head)),
    "lzma": lambda flags, head: _LzmaPacker(head),
    "zstd": _zstd_packer,
}
