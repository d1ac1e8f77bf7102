"""BMP: new pixels are written over the old ones in place.

The cleaned file differs in nothing else, not even in size. Uncompressed 24-bit, 32-bit (blue,
green, red and a byte that stays) and 8-bit grey files are cleaned.

References:
    Microsoft, "Bitmap Storage": BITMAPFILEHEADER (14 bytes), followed by BITMAPCOREHEADER (12
    bytes) or BITMAPINFOHEADER (40 bytes and its later extensions).
"""

import struct
from dataclasses import dataclass

import numpy as np
from PIL import BmpImagePlugin

from demoire.file_bytes import FileBytes, copy_to_change, finished
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.pillow import PillowHeader, bits_of_mode, facts_of, open_view
from demoire.imaging.codecs.pillow_pixels import grey_or_rgb, only_to_look_at
from demoire.imaging.codecs.raster import Pixels, Raster
from demoire.imaging.facts import Format
from demoire.imaging.room import let_go_behind

FORMAT: Format = "BMP"
SUFFIXES = frozenset({".bmp", ".dib"})

_SIGNATURE = b"BM"
# Offsets in the file. BITMAPFILEHEADER ends with bfOffBits; the header behind it begins with its
# own size.
_PIXELS_START_AT = 10
_HEADER_AT = 14
_DIMENSIONS_AT = 18
_MASKS_AT = 54  # behind the 40 bytes of BITMAPINFOHEADER
_CORE_HEADER_SIZE = 12
# biCompression: BI_RGB and BI_BITFIELDS
_UNCOMPRESSED = 0
_BITFIELDS = 3
_WRITTEN_AT_ONCE = 1 << 20  # px
_RED_GREEN_BLUE_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF)  # bytes lie as blue, green, red


@dataclass(frozen=True)
class _Layout:
    """How the pixel array lies in the file."""

    start: int  # offset of its first byte
    width: int  # px
    height: int  # px; negative where the top row comes first
    bits: int  # per pixel
    compression: int

    @property
    def rows(self) -> int:
        return abs(self.height)

    @property
    def stride(self) -> int:
        """Bytes a row, which are padded to a multiple of four."""
        return (self.width * self.bits + 31) // 32 * 4


def recognises(data: FileBytes) -> bool:
    """Whether the file begins with "BM"."""
    return data.startswith(_SIGNATURE)


def read_header(data: FileBytes) -> PillowHeader:
    """The header as Pillow reads it."""
    view = open_view(BmpImagePlugin.BmpImageFile, data)
    facts = facts_of(view, FORMAT, size=view.size, bits=bits_of_mode(view), pages=1)
    return PillowHeader(facts, view)


def is_cut_short(data: FileBytes) -> bool:
    """Whether the pixel array reaches beyond the end of the file."""
    try:
        layout = _read_layout(data)
    except struct.error:
        return True
    if layout.compression not in (_UNCOMPRESSED, _BITFIELDS):
        return len(data) < layout.start  # the size of packed rows is not known beforehand
    return len(data) < layout.start + layout.stride * layout.rows


def is_risky(data: FileBytes) -> bool:
    """Never: nothing is coded."""
    return False


def decode(data: FileBytes, header: PillowHeader) -> Raster:
    """Grey or RGB pixels; files of other modes only to look at."""
    view = header.view
    view.load()
    if _is_plain(_read_layout(data), view.mode, data):
        return grey_or_rgb(view)
    return only_to_look_at(view)


def encode(data: FileBytes, raster: Raster, pixels: Pixels) -> FileBytes:
    """The file with the colour bytes of its pixel array replaced."""
    layout = _read_layout(data)
    samples = layout.bits // 8
    is_top_down = layout.height < 0
    ordered = pixels if is_top_down else pixels[::-1]
    whole = Box(0, 0, layout.rows, layout.width)
    stripes = in_stripes(whole, _WRITTEN_AT_ONCE, columns=layout.width)
    with copy_to_change(data) as out:
        for stripe in let_go_behind(stripes, data, pixels):
            start = layout.start + stripe.top * layout.stride
            packed = bytearray(data[start : start + stripe.height * layout.stride])
            rows = np.frombuffer(packed, np.uint8).reshape(stripe.height, layout.stride)
            # Without the padding at the end of each row.
            stored = rows[:, : layout.width * samples].reshape(stripe.height, layout.width, samples)
            # Of a 32-bit pixel the fourth byte stays.
            stored[:, :, : ordered.shape[2]] = ordered[stripe.top : stripe.bottom, :, ::-1]
            out.seek(start)
            out.write(packed)
        return finished(out)


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file as it is: the format has no place for XMP."""
    return data


def _read_layout(data: FileBytes) -> _Layout:
    """Raises struct.error where the header is not there in full."""
    (start,) = struct.unpack_from("<I", data, _PIXELS_START_AT)
    (header_size,) = struct.unpack_from("<I", data, _HEADER_AT)
    if header_size == _CORE_HEADER_SIZE:
        width, height, _, bits = struct.unpack_from("<4H", data, _DIMENSIONS_AT)
        return _Layout(start, width, height, bits, _UNCOMPRESSED)
    width, height, _, bits, compression = struct.unpack_from("<2i2HI", data, _DIMENSIONS_AT)
    return _Layout(start, width, height, bits, compression)


def _is_plain(layout: _Layout, mode: str, data: FileBytes) -> bool:
    """Whether the samples lie in the file as bytes: blue, green, red, or grey."""
    if layout.compression == _BITFIELDS:
        if layout.bits != 32 or mode != "RGB":
            return False
        return struct.unpack_from("<3I", data, _MASKS_AT) == _RED_GREEN_BLUE_MASKS
    expected = {8: "L", 24: "RGB", 32: "RGB"}
    return layout.compression == _UNCOMPRESSED and expected.get(layout.bits) == mode
