"""JPEG: the scan is coded anew with the original's own quantisation tables, all APPn and COM
segments stay as they are.

Sampling factors, progressive or not, restart interval and RGB instead of YCbCr are kept too.
Sampling that libjpeg's front end does not write (4:4:0, 4:1:1) becomes 4:4:4, which loses nothing.
Huffman tables are optimised, which costs a fifth more time and keeps the file from growing. Pixels
that were not changed move by 0.02 to 0.25 of 255 on the average, most of it in subsampled colour.

libjpeg makes up what is missing or spoilt, in grey, and only warns of it. Pillow passes over the
warnings; simplejpeg takes them for errors, decodes to the very same pixels, and is a quarter
faster. A file without an end-of-image marker counts as cut short even if the decoder happens to be
content.
"""

import io
import math
import re
import struct
from dataclasses import dataclass

import simplejpeg
from PIL import Image, JpegImagePlugin

from demoire.imaging.codecs.raster import CutShortError, Pixels, Raster, only_to_look_at, to_image
from demoire.reasons import Reason

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
# in coded data: neither a stuffed FF nor a restart
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_APP_OR_COM = frozenset((*range(0xE0, 0xF0), 0xFE))
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
_MOST_SCANS = 50  # encoders write about ten, libjpeg itself gives up at 500
# What libjpeg says of a picture that is not there in full, and of one with filling behind it, as
# cameras write it.
_ENDED, _PADDED = "premature end", "extraneous bytes before marker 0xd9"
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


@dataclass(frozen=True)
class _Parts:
    """A JPEG file taken apart at its markers."""

    segments: tuple[tuple[int, bytes], ...]  # (marker, whole segment) up to the first start of scan
    scans: bytes  # from the first start of scan to the last coded byte
    trailer: bytes  # what follows the end-of-image marker, such as a camera maker's own data

    def find(self, marker: int, signature: bytes = b"") -> bytes | None:
        """The payload of the first segment with this marker and beginning."""
        payloads = (segment[4:] for found, segment in self.segments if found == marker)
        return next((payload for payload in payloads if payload.startswith(signature)), None)

    @property
    def frame(self) -> tuple[int, bytes]:
        """Marker and payload of the start of frame."""
        return next(
            (marker, segment[4:]) for marker, segment in self.segments if marker in _STARTS_OF_FRAME
        )


def _take_apart(data: bytes) -> _Parts:
    segments: list[tuple[int, bytes]] = []
    place, first_scan = len(_SOI), -1
    while True:
        marker = _MARKER.search(data, place)
        if marker is None:
            raise CutShortError("no end-of-image marker")
        code = data[marker.end() - 1]
        if code == _EOI[1]:
            return _Parts(tuple(segments), data[first_scan : marker.start()], data[marker.end() :])
        if code in (0x01, 0xD8):
            place = marker.end()
            continue
        if marker.end() + 2 > len(data):
            raise CutShortError("a segment ends the file")
        (length,) = struct.unpack_from(">H", data, marker.end())
        if length < 2:
            raise ValueError("a segment that is shorter than its own length")
        end = marker.end() + length
        if code == 0xDA and first_scan < 0:
            first_scan = marker.end() - 2
        if first_scan < 0:
            segments.append((code, data[marker.end() - 2 : end]))
        place = end


def is_cut_short(data: bytes) -> bool:
    """Whether there is no end-of-image marker behind the scans, or too little before it for a
    picture of this size.

    libjpeg makes up what is missing, in grey, and says nothing.
    """
    try:
        parts = _take_apart(data)
        return len(parts.scans) < max(1, _fewest_bytes(*parts.frame))
    except (CutShortError, StopIteration):
        return True


def _fewest_bytes(marker: int, frame: bytes) -> int:
    """Bytes below which no picture of this frame can be coded; 0 where none are known, as of
    arithmetic coding.

    A Huffman code is of one bit at least; in lossless files there is one a sample. In the others
    each block has one for its mean; one that says where it ends follows, except in progressive
    files, where it may stand for many blocks.
    """
    bits = {_BASELINE: 2, _EXTENDED: 2, _PROGRESSIVE: 1}.get(marker, 0)
    height, width = struct.unpack(">2H", frame[1:5])
    if marker == _LOSSLESS:
        return height * width * frame[5] // 8
    factors = [divmod(frame[7 + 3 * i], 16) for i in range(frame[5])]
    most = [max(factor[axis] for factor in factors) or 1 for axis in (0, 1)]
    blocks = sum(
        math.ceil(width * across / most[0] / 8) * math.ceil(height * down / most[1] / 8)
        for across, down in factors
    )
    return bits * blocks // 8


def is_risky(data: bytes) -> bool:
    """Whether there are so many scans, each of which costs as much as a whole picture, that
    decoding may never end.
    """
    return data.count(b"\xff\xda") > _MOST_SCANS


def read(data: bytes, image: Image.Image) -> Raster:
    parts = _take_apart(data)
    if image.mode not in ("L", "RGB") or parts.frame[0] not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
        image.load()
        return only_to_look_at(image, Reason.MODE_NOT_CLEANED)
    colours = "GRAY" if image.mode == "L" else "RGB"
    try:
        return Raster(_decode(data, colours, strict=True))
    except ValueError as error:
        if _PADDED in str(error):
            return Raster(_decode(data, colours, strict=False))
        if _ENDED in str(error).lower():
            raise CutShortError(str(error)) from error
        raise


def _decode(data: bytes, colours: str, *, strict: bool) -> Pixels:
    return simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, strict=strict)


def write(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    old = _take_apart(data)
    new = _take_apart(_code(old, _tables(data), pixels))
    kept = b"".join(segment for marker, segment in old.segments if marker in _APP_OR_COM)
    coded = b"".join(segment for marker, segment in new.segments if marker not in _APP_OR_COM)
    return b"".join((_SOI, kept, coded, new.scans, _EOI, old.trailer))


def _tables(data: bytes) -> list[list[int]]:
    """The quantisation table of each component, equal ones at the end told once: the encoder
    repeats the last.
    """
    header = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    tables = [list(header.quantization[component[3]]) for component in header.layer]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    return tables


def _code(old: _Parts, tables: list[list[int]], pixels: Pixels) -> bytes:
    marker, frame = old.frame
    factors = [divmod(frame[7 + 3 * i], 16) for i in range(frame[5])]
    plain = all(factor == (1, 1) for factor in factors[1:])
    interval = old.find(0xDD)
    options = {
        "qtables": tables,
        "subsampling": _SUBSAMPLING.get(factors[0], 0) if plain else 0,
        "progressive": marker == _PROGRESSIVE,
        "keep_rgb": _is_rgb(old, frame),
        "restart_marker_blocks": struct.unpack(">H", interval[:2])[0] if interval else 0,
    }
    image = to_image(pixels)
    out = io.BytesIO()
    try:
        image.save(out, "JPEG", optimize=True, **options)
    except OSError:
        # Optimising needs the whole scan in one buffer, and Pillow guesses its size: noise in top
        # quality is larger.
        out = io.BytesIO()
        image.save(out, "JPEG", **options | {"progressive": False})
    return out.getvalue()


def _is_rgb(parts: _Parts, frame: bytes) -> bool:
    """Whether three components are red, green and blue: libjpeg's own rule."""
    if frame[5] != 3 or parts.find(0xE0, b"JFIF\0") is not None:
        return False
    adobe = parts.find(0xEE, b"Adobe")
    if adobe is not None and len(adobe) >= 12:
        return adobe[11] == 0
    return frame[6:15:3] == b"RGB"
