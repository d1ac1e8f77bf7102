"""The image data of a large PNG in stripes, each of which is a PNG file of its own on the way.

The rows of a picture are filtered: a byte becomes its difference from what its neighbours at the
left and above suggest. All filtered rows together are one zlib stream. So a stripe needs nothing
but the row above it, and the libraries that filter and unfilter whole pictures do that for stripes:

* To unfilter one, a file is made of the row above, which is not filtered, and the filtered rows.
* To filter one, it is coded with the row above and without compression.

The filtered rows of a stripe are compressed by themselves, several stripes at a time. Each sees
the 32 KB before it, as a deflated stream may refer back to these, and ends with a whole byte, so
that its piece can follow the one before (as pigz does it).

Costs: a few MB of memory instead of 3 to 8 bytes a pixel; 4 ms a megapixel of decoding.

References:
    W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 9 (filtering), 10
    (compression); RFC 1950, 2.2 (zlib's header and checksum).
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from demoire.file_bytes import LARGE_BYTES, FileBytes
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.png_chunks import SIGNATURE, chunks_of, whole_chunk
from demoire.imaging.codecs.raster import CutShortError, Raster
from demoire.imaging.codecs.zlib_reader import ZlibReader
from demoire.imaging.in_order import made_in_order
from demoire.imaging.room import let_go_behind, room_for

_STRIPE = 1 << 19  # px
_WINDOW = 1 << 15  # bytes that a deflated stream may refer back to
_RAW_DEFLATE = -15  # for zlib: without header and checksum, with that window
_MEMORY_LEVEL = 9  # as Pillow has it
_ZLIB_HEADER = b"\x78\x5e"  # deflate with a window of 32 KB, fast, no dictionary
_NOT_FILTERED = b"\0"  # the filter type, one byte before each row

Decoder = Callable[[bytes], Raster]
"""Decodes a small PNG file."""

Coder = Callable[[int, int], bytes]
"""Codes the rows from the first number to before the second as a PNG file without compression."""


@dataclass(frozen=True)
class RowFormat:
    """How the rows of a picture that is not interlaced lie in its image data.

    Attributes:
        height: Rows.
        width: px.
        depth: Bits a sample, 8 or 16.
        colour_type: As IHDR has it: grey or RGB, with alpha or without.
    """

    height: int
    width: int
    depth: int
    colour_type: int

    @property
    def colours(self) -> int:
        """Samples of a pixel besides alpha."""
        return 3 if self.colour_type & 2 else 1

    @property
    def has_alpha(self) -> bool:
        """Whether alpha follows the colours of a pixel."""
        return bool(self.colour_type & 4)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the samples."""
        return np.dtype(np.uint16 if self.depth == 16 else np.uint8)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, without its filter type."""
        return self.width * (self.colours + self.has_alpha) * self.dtype.itemsize

    @property
    def is_large(self) -> bool:
        """Whether the picture is to be worked on in stripes."""
        return self.height * self.row_bytes >= LARGE_BYTES

    def header(self, height: int) -> bytes:
        """The IHDR chunk of a picture of so many such rows."""
        facts = (self.width, height, self.depth, self.colour_type, 0, 0, 0)
        return whole_chunk(b"IHDR", struct.pack(">2I5B", *facts))

    def stripes(self) -> Iterator[Box]:
        """The stripes, from the top."""
        return in_stripes(Box(0, 0, self.height, self.width), _STRIPE, columns=self.width)


def decoded_in_stripes(form: RowFormat, data: FileBytes, decode: Decoder) -> Raster:
    """The samples of a picture.

    Args:
        form: Of the picture.
        data: The whole file.
        decode: Decodes a small one.

    Raises:
        CutShortError: The image data end before the picture does.
        zlib.error: They are damaged.
    """
    pixels = room_for((form.height, form.width, form.colours), form.dtype)
    alpha = room_for((form.height, form.width), form.dtype) if form.has_alpha else None
    rows = ZlibReader(chunk.whole[8:-4] for chunk in chunks_of(data) if chunk.type == b"IDAT")
    planes = [pixels] if alpha is None else [pixels, alpha]
    above = bytes(form.row_bytes)
    for stripe in let_go_behind(form.stripes(), *planes, data):
        size = stripe.height * (1 + form.row_bytes)
        filtered = rows.read(size)
        if len(filtered) < size:
            raise CutShortError("the image data end before the picture does")
        part = decode(_file_of(form, stripe.height + 1, _NOT_FILTERED + above + filtered))
        pixels[stripe.slices] = part.pixels[1:]
        last = part.pixels[-1]
        if alpha is not None and part.alpha is not None:
            alpha[stripe.slices] = part.alpha[1:]
            last = np.column_stack([last, part.alpha[-1]])
        above = last.astype(form.dtype.newbyteorder(">")).tobytes()
    return Raster(pixels, alpha)


def _file_of(form: RowFormat, height: int, rows: bytes) -> bytes:
    """A PNG file of so many rows, each behind its filter type."""
    parts = (
        SIGNATURE,
        form.header(height),
        whole_chunk(b"IDAT", zlib.compress(rows, 0)),
        whole_chunk(b"IEND", b""),
    )
    return b"".join(parts)


def compressed(form: RowFormat, stripes: Iterable[Box], code: Coder, level: int) -> Iterator[bytes]:
    """The zlib stream of a picture's filtered rows, in parts.

    Args:
        form: Of the picture.
        stripes: Of it, from the top.
        code: Codes some of its rows.
        level: Of compression, 1..9.
    """

    def packed(stripe: Box) -> tuple[bytes, bytes]:
        """The deflated piece of a stripe, and its filtered rows."""
        # Of two rows above it the lower one is filtered as in the whole picture.
        first = max(0, stripe.top - 2)
        rows = _filtered_rows(code(first, stripe.bottom))
        start = (stripe.top - first) * (1 + form.row_bytes)
        row_above = rows[max(0, start - 1 - form.row_bytes) : start]
        packer = zlib.compressobj(
            level,
            zlib.DEFLATED,
            _RAW_DEFLATE,
            _MEMORY_LEVEL,
            zlib.Z_FILTERED,
            row_above[-_WINDOW:],
        )
        piece = packer.compress(rows[start:])
        is_last = stripe.bottom == form.height
        end = packer.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
        return piece + end, rows[start:]

    yield _ZLIB_HEADER
    checksum = zlib.adler32(b"")
    for piece, filtered in made_in_order(packed, stripes):
        checksum = zlib.adler32(filtered, checksum)
        yield piece
    yield checksum.to_bytes(4, "big")


def _filtered_rows(file: bytes) -> bytes:
    """The filtered rows of a PNG file, each behind its filter type."""
    parts = [chunk.whole[8:-4] for chunk in chunks_of(file) if chunk.type == b"IDAT"]
    return zlib.decompress(b"".join(parts))
