"""BMP: changed pixels are written over the old ones in place, so the file differs in nothing else,
not even in size.

Uncompressed 24-bit, 32-bit (blue, green, red and a byte that stays) and 8-bit grey files are
cleaned.
"""

import struct

import numpy as np
from PIL import Image

from demoire.imaging.codecs.raster import Pixels, Raster, grey_or_rgb, only_to_look_at
from demoire.reasons import Reason

_FILE_HEADER, _CORE_HEADER = 14, 12
_UNCOMPRESSED, _BITFIELDS = 0, 3
_BLUE_GREEN_RED = (0x00FF0000, 0x0000FF00, 0x000000FF)


def is_cut_short(data: bytes) -> bool:
    """Whether the pixel array reaches beyond the end of the file."""
    try:
        start, width, height, bits, compression = _header(data)
    except struct.error:
        return True
    packed = compression not in (_UNCOMPRESSED, _BITFIELDS)
    return len(data) < start + (0 if packed else _stride(width, bits) * abs(height))


def _header(data: bytes) -> tuple[int, int, int, int, int]:
    """(first byte of the pixels, width, height, bits, compression); the height is negative if the
    top row is first.
    """
    (start,) = struct.unpack_from("<I", data, 10)
    (size,) = struct.unpack_from("<I", data, _FILE_HEADER)
    if size == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
        return start, width, height, bits, _UNCOMPRESSED
    width, height, _, bits, compression = struct.unpack_from("<2i2HI", data, 18)
    return start, width, height, bits, compression


def _stride(width: int, bits: int) -> int:
    return (width * bits + 31) // 32 * 4


def is_risky(data: bytes) -> bool:
    """Never: nothing is coded."""
    return False


def read(data: bytes, image: Image.Image) -> Raster:
    image.load()
    return (
        grey_or_rgb(image)
        if _is_plain(data, image)
        else only_to_look_at(image, Reason.MODE_NOT_CLEANED)
    )


def _is_plain(data: bytes, image: Image.Image) -> bool:
    _, _, _, bits, compression = _header(data)
    if compression == _BITFIELDS:
        return (
            bits == 32
            and image.mode == "RGB"
            and struct.unpack_from("<3I", data, 54) == _BLUE_GREEN_RED
        )
    expected = {8: "L", 24: "RGB", 32: "RGB"}
    return compression == _UNCOMPRESSED and expected.get(bits) == image.mode


def write(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    start, width, height, bits, _ = _header(data)
    rows, stride = abs(height), _stride(width, bits)
    out = bytearray(data)
    samples = bits // 8
    array = np.frombuffer(out, dtype=np.uint8, count=rows * stride, offset=start).reshape(
        rows, stride
    )
    view = array[:, : width * samples].reshape(rows, width, samples)
    ordered = pixels if height < 0 else pixels[::-1]
    view[:, :, : ordered.shape[2]] = ordered[:, :, ::-1]
    return bytes(out)
