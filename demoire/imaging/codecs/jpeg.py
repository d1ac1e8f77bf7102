"""JPEG: the scan is coded anew with the original's own quantisation tables.

All APPn and COM segments stay as they are. Sampling factors, progressive or not, restart interval
and RGB instead of YCbCr are kept too. Sampling that libjpeg's front end does not write (4:4:0,
4:1:1) becomes 4:4:4, which loses nothing. Huffman tables are optimised, which costs a fifth more
time and keeps the file from growing. Pixels that were not changed move by 0.02 to 0.25 of 255 on
average, most of it in subsampled colour.

libjpeg makes up what is missing or spoilt, in grey, and only warns about it. Pillow ignores the
warnings; simplejpeg treats them as errors, decodes to the very same pixels, and is a quarter
faster. A file without an end-of-image marker counts as cut short even if the decoder happens to be
content.

References:
    ITU-T T.81 (ISO/IEC 10918-1), annex B: markers in B.1.1.3 and table B.1, frame header in B.2.2,
    scan header in B.2.3, restart interval in B.2.4.4. JFIF is ITU-T T.871, the Adobe segment ITU-T
    T.872, 6.5.3.
"""

import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import simplejpeg
from PIL import JpegImagePlugin

from demoire.imaging.codecs.pillow import (
    PillowHeader,
    bits_of_mode,
    count_pages,
    facts_of,
    open_view,
)
from demoire.imaging.codecs.raster import (
    CutShortError,
    Pixels,
    Raster,
    only_to_look_at,
    to_image,
)
from demoire.imaging.facts import Format
from demoire.reasons import Reason

FORMAT: Format = "JPEG"
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

# Second bytes of markers; the first is always FF.
_TEM = 0x01  # for use inside encoders, without a length
_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_RESTART_INTERVAL = 0xDD
_APP0 = 0xE0
_APP14 = 0xEE
_APP_OR_COM = frozenset((*range(0xE0, 0xF0), 0xFE))
# Starts of frame: C0 to CF, but for Huffman tables (C4), a reserved one (C8) and conditioning of
# the arithmetic coder (CC).
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"
# Any marker between segments or in coded data, where FF 00 is a stuffed FF and FF D0 to FF D7 are
# restarts.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_MOST_SCANS = 50  # encoders write about ten, libjpeg itself gives up at 500
# libjpeg's words for a picture that is not there in full, and for one with filling behind it, as
# cameras write it.
_ENDED = "premature end"
_PADDED = "extraneous bytes before marker 0xd9"
# Pillow's names of the sampling that libjpeg writes, by the factors of the first component.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


@dataclass(frozen=True)
class _Frame:
    """A start of frame: what kind of coding, and how its components are sampled."""

    marker: int
    payload: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, behind one byte of precision."""
        height, width = struct.unpack(">2H", self.payload[1:5])
        return height, width

    @property
    def components(self) -> int:
        return self.payload[5]

    @property
    def component_ids(self) -> bytes:
        return self.payload[6:15:3]

    @property
    def factors(self) -> list[tuple[int, int]]:
        """Horizontal and vertical sampling factor of each component, 4 bits each.

        A component takes three bytes: its id, its factors, and its quantisation table.
        """
        return [divmod(self.payload[7 + 3 * i], 16) for i in range(self.components)]


@dataclass(frozen=True)
class _Parts:
    """A JPEG file taken apart at its markers."""

    segments: tuple[tuple[int, bytes], ...]  # (marker, whole segment) up to the first start of scan
    scans: bytes  # from the first start of scan to the last coded byte
    trailer: bytes  # what follows the end-of-image marker, such as a camera maker's own data

    def find(self, marker: int, signature: bytes = b"") -> bytes | None:
        """The payload of the first segment with this marker that begins like this."""
        for segment_marker, segment in self.segments:
            payload = segment[4:]  # behind marker and length
            if segment_marker == marker and payload.startswith(signature):
                return payload
        return None

    @property
    def frame(self) -> _Frame:
        """The start of frame. Raises StopIteration if there is none before the first scan."""
        return next(
            _Frame(marker, segment[4:])
            for marker, segment in self.segments
            if marker in _STARTS_OF_FRAME
        )


def recognises(data: bytes) -> bool:
    """Whether the file begins with the start-of-image marker and another marker."""
    return data.startswith(b"\xff\xd8\xff")


def read_header(data: bytes) -> PillowHeader:
    """The header as Pillow reads it; of a multi-picture file (MPO) too."""
    view = open_view(JpegImagePlugin.jpeg_factory, data)
    facts = facts_of(view, FORMAT, size=view.size, bits=bits_of_mode(view), pages=count_pages(view))
    return PillowHeader(facts, view)


def is_cut_short(data: bytes) -> bool:
    """Whether the end-of-image marker is missing, or too little comes before it for this size.

    libjpeg makes up what is missing, in grey, and says nothing.
    """
    try:
        parts = _take_apart(data)
        return len(parts.scans) < max(1, _fewest_bytes(parts.frame))
    except (CutShortError, StopIteration):
        return True


def is_risky(data: bytes) -> bool:
    """Whether there are so many scans that decoding may never end.

    Each scan of a progressive file costs as much as a whole picture.
    """
    return data.count(b"\xff\xda") > _MOST_SCANS


def decode(data: bytes, header: PillowHeader) -> Raster:
    """Grey or RGB pixels; CMYK, lossless and arithmetically coded files only to look at."""
    parts = _take_apart(data)
    view = header.view
    is_plain = parts.frame.marker in (_BASELINE, _EXTENDED, _PROGRESSIVE)
    if view.mode not in ("L", "RGB") or not is_plain:
        view.load()
        return only_to_look_at(view, Reason.MODE_NOT_CLEANED)
    colours = "GRAY" if view.mode == "L" else "RGB"
    try:
        return Raster(_decode(data, colours, strict=True))
    except ValueError as error:
        if _PADDED in str(error):
            return Raster(_decode(data, colours, strict=False))
        if _ENDED in str(error).lower():
            raise CutShortError(str(error)) from error
        raise


def encode(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    """The file with other coded data: its own APPn and COM segments first, then the new rest."""
    old = _take_apart(data)
    new = _take_apart(_code(old, _quantisation_tables(data), pixels))
    kept = b"".join(segment for marker, segment in old.segments if marker in _APP_OR_COM)
    coded = b"".join(segment for marker, segment in new.segments if marker not in _APP_OR_COM)
    return b"".join((_SOI, kept, coded, new.scans, _EOI, old.trailer))


def _take_apart(data: bytes) -> _Parts:
    """Find segments, scans and trailer, from marker to marker.

    Segments are skipped by their length: the thumbnail in an Exif segment has markers of its own,
    an end of image among them. Coded data has no length, so the next marker ends it.

    Raises:
        CutShortError: There is no end-of-image marker.
        ValueError: A segment cannot be as short as it says.
    """
    segments: list[tuple[int, bytes]] = []
    offset = len(_SOI)
    first_scan: int | None = None
    while True:
        match = _MARKER.search(data, offset)
        if match is None:
            raise CutShortError("no end-of-image marker")
        start, end_of_marker = match.span()
        marker = data[end_of_marker - 1]
        if marker == _END_OF_IMAGE:
            scans = b"" if first_scan is None else data[first_scan:start]
            return _Parts(tuple(segments), scans, data[end_of_marker:])
        if marker in (_TEM, _START_OF_IMAGE):  # these have no length
            offset = end_of_marker
            continue
        if end_of_marker + 2 > len(data):
            raise CutShortError("a segment ends the file")
        (length,) = struct.unpack_from(">H", data, end_of_marker)
        if length < 2:
            raise ValueError("a segment that is shorter than its own length")
        offset = end_of_marker + length
        if marker == _START_OF_SCAN and first_scan is None:
            first_scan = start
        if first_scan is None:
            segments.append((marker, data[start:offset]))


def _fewest_bytes(frame: _Frame) -> int:
    """Bytes below which no picture of this frame can be coded.

    A Huffman code has at least one bit. Lossless files have one code a sample. In the others each
    block of 8 x 8 has one for its mean, and one that says where the block ends follows; in
    progressive files that one may stand for many blocks.

    Returns:
        The lower bound; 0 where none is known, as for arithmetic coding.
    """
    height, width = frame.size
    if frame.marker == _LOSSLESS:
        return height * width * frame.components // 8
    bits_a_block = {_BASELINE: 2, _EXTENDED: 2, _PROGRESSIVE: 1}.get(frame.marker, 0)
    factors = frame.factors
    most_across = max(across for across, _ in factors) or 1
    most_down = max(down for _, down in factors) or 1
    blocks = 0
    for across, down in factors:
        blocks_across = math.ceil(width * across / most_across / 8)
        blocks_down = math.ceil(height * down / most_down / 8)
        blocks += blocks_across * blocks_down
    return bits_a_block * blocks // 8


def _decode(data: bytes, colours: str, *, strict: bool) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(
        data, colours, fastdct=False, fastupsample=False, strict=strict
    )
    return pixels


def quantisation_tables(header: JpegImagePlugin.JpegImageFile) -> list[list[int]]:
    """The quantisation table (64 entries) of each component."""
    return [list(header.quantization[component[3]]) for component in header.layer]


def _quantisation_tables(data: bytes) -> list[list[int]]:
    """The tables to code with; equal ones at the end once, as the encoder repeats the last."""
    tables = quantisation_tables(JpegImagePlugin.JpegImageFile(io.BytesIO(data)))
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables


def _code(old: _Parts, tables: list[list[int]], pixels: Pixels) -> bytes:
    """A JPEG file of these pixels, coded the way the old one was."""
    frame = old.frame
    factors = frame.factors
    is_usual_sampling = all(factor == (1, 1) for factor in factors[1:])
    interval = old.find(_RESTART_INTERVAL)
    options: dict[str, Any] = {
        "qtables": tables,
        "subsampling": _SUBSAMPLING.get(factors[0], 0) if is_usual_sampling else 0,
        "progressive": frame.marker == _PROGRESSIVE,
        "keep_rgb": _is_rgb(old),
        "restart_marker_blocks": struct.unpack(">H", interval[:2])[0] if interval else 0,
    }
    image = to_image(pixels)
    out = io.BytesIO()
    try:
        image.save(out, "JPEG", optimize=True, **options)
    except OSError:
        # Optimising needs the whole scan in one buffer, and Pillow guesses its size: noise in top
        # quality is larger. Progressive coding always optimises.
        out = io.BytesIO()
        image.save(out, "JPEG", **options | {"progressive": False})
    return out.getvalue()


def _is_rgb(parts: _Parts) -> bool:
    """Whether three components are red, green and blue: libjpeg's own rule.

    JFIF means YCbCr; an Adobe segment names the transform, 0 for none; without either, components
    called R, G and B are what their names say.
    """
    frame = parts.frame
    if frame.components != 3 or parts.find(_APP0, b"JFIF\0") is not None:
        return False
    adobe = parts.find(_APP14, b"Adobe")
    if adobe is not None and len(adobe) >= 12:
        return adobe[11] == 0
    return frame.component_ids == b"RGB"
