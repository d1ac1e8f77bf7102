"""The lossless compressions of TIFF: strips and tiles packed and unpacked.

A page may be one strip. So what is large is packed and unpacked in a file (`demoire.imaging.room`).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.codecs.tiff_layout import DEFLATE, LZW, OLD_DEFLATE, PACKBITS, ZSTD
from demoire.imaging.codecs.zlib_reader import ZlibReader
from demoire.imaging.room import room_for

_AT_ONCE = 1 << 20  # bytes that zlib gives
_MOST_PACKED = 1.5  # bytes that LZW makes of one, if it finds nothing twice; others make less
_BESIDE_PACKED = 4096  # bytes of headers, at most

_coders: Any = imagecodecs  # take any buffer, of which their types name some


def unpack_into(raw: NDArray[np.uint8], packed: memoryview, compression: int) -> int:
    """Unpack a strip or tile; how many bytes came out.

    Args:
        raw: What is filled. What else there may be is left out.
        packed: The strip or tile.
        compression: The value of the tag.
    """
    return _UNPACK[compression](packed, raw)


def pack(stored: Pixels, compression: int) -> bytes | memoryview:
    """A strip or tile of these samples (rows, columns, S), as they are to be stored."""
    if compression == PACKBITS:  # each row by itself, as section 9 asks
        return b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in stored)
    raw = stored.reshape(-1).view(np.uint8)
    most = int(_MOST_PACKED * len(raw)) + _BESIDE_PACKED
    packed: NDArray[np.uint8] = _PACK[compression](raw, out=room_for((most,), np.uint8))
    return packed.data


def _inflate(packed: memoryview, raw: NDArray[np.uint8]) -> int:
    """Fill `raw` from a zlib stream, which may go on for longer, or end before.

    libdeflate takes two fifths of zlib's time, but only sound streams of at most this size.
    """
    with suppress(imagecodecs.DeflateError):
        return len(_coders.deflate_decode(packed, out=raw))
    reader = ZlibReader([packed])
    filled = 0
    while piece := reader.read(min(_AT_ONCE, len(raw) - filled)):
        raw[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return filled


_UNPACK: dict[int, Callable[[memoryview, NDArray[np.uint8]], int]] = {
    LZW: lambda packed, raw: len(_coders.lzw_decode(packed, out=raw)),
    DEFLATE: _inflate,
    OLD_DEFLATE: _inflate,
    PACKBITS: lambda packed, raw: len(_coders.packbits_decode(packed, out=raw)),
    ZSTD: lambda packed, raw: len(_coders.zstd_decode(packed, out=raw)),
}
_PACK: dict[int, Callable[..., NDArray[np.uint8]]] = {
    LZW: _coders.lzw_encode,
    DEFLATE: _coders.deflate_encode,  # libdeflate: twice as fast as zlib, and smaller
    OLD_DEFLATE: _coders.deflate_encode,
    ZSTD: _coders.zstd_encode,
}
