"""A JPEG file taken apart at its markers, and put together for a decoder.

References:
    ITU-T T.81 (ISO/IEC 10918-1), annex B: markers in B.1.1.3 and table B.1, frame header in B.2.2,
    scan header in B.2.3. JFIF is ITU-T T.871, the Adobe segment ITU-T T.872, 6.5.3.
"""

import math
import re
import struct
from dataclasses import dataclass

import numpy as np

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.raster import CutShortError
from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.multi_picture import APP2, PictureIndex, read_index
from demoire.imaging.derived.segments import MOST_PAYLOAD

# Second bytes of markers; the first is always FF.
_TEM = 0x01  # for use inside encoders, without a length
_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
SOS = 0xDA
APP0 = 0xE0
_APP11 = 0xEB
_BOX_NUMBER_END = 8  # in a segment of JUMBF boxes: marker, length, "JP", number
APP14 = 0xEE
APP_OR_COM = frozenset((*range(0xE0, 0xF0), 0xFE))
# Starts of frame: C0 to CF, but for Huffman tables (C4), a reserved one (C8) and conditioning of
# the arithmetic coder (CC).
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS = 0xC0, 0xC1, 0xC2, 0xC3
SOI = b"\xff\xd8"
EOI = b"\xff\xd9"
# Any marker between segments or in coded data, where FF 00 is a stuffed FF and FF D0 to FF D7 are
# restarts.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_AT_A_TIME = 1 << 16  # bytes that are looked through, so that they stay in the cache


@dataclass(frozen=True)
class Frame:
    """A start of frame: what kind of coding, and how its components are sampled."""

    marker: int
    payload: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, behind one byte of precision."""
        height, width = struct.unpack(">2H", self.payload[1:5])
        return height, width

    @property
    def precision(self) -> int:
        """Bits of a sample."""
        return self.payload[0]

    @property
    def components(self) -> int:
        """How many there are: 1 grey, 3 colour, 4 CMYK."""
        return self.payload[5]

    @property
    def component_ids(self) -> bytes:
        """The id of each component, a byte each."""
        return self.payload[6:15:3]

    @property
    def factors(self) -> list[tuple[int, int]]:
        """Horizontal and vertical sampling factor of each component, 4 bits each.

        A component takes three bytes: its id, its factors, and its quantisation table.
        """
        return [divmod(self.payload[7 + 3 * i], 16) for i in range(self.components)]

    @property
    def blocks_in_unit(self) -> list[tuple[int, int]]:
        """How many blocks of each component lie beside and below each other in a unit (MCU).

        As many as its factors say; of a lone component one, whatever they say.
        """
        return [(1, 1)] if self.components == 1 else self.factors


@dataclass(frozen=True)
class JpegParts:
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
    def is_signed(self) -> bool:
        """Whether it carries a C2PA manifest: JUMBF boxes in APP11 (C2PA 2.1, A.3.1)."""
        return bool(self._manifests)

    @property
    def unsigned_segments(self) -> list[tuple[int, bytes]]:
        """The segments without those of a C2PA manifest."""
        manifests = self._manifests
        kept = []
        for marker, segment in self.segments:
            if marker != _APP11 or segment[4:_BOX_NUMBER_END] not in manifests:
                kept.append((marker, segment))
        return kept

    @property
    def _manifests(self) -> set[bytes]:
        """How the segments of a manifest begin: "JP" and the number of their box.

        A box that is longer than a segment goes on in others of the same number, and only the first
        of them says what it is.
        """
        beginnings = set()
        for marker, segment in self.segments:
            if marker == _APP11 and segment[4:6] == b"JP" and b"c2pa" in segment[:64]:
                beginnings.add(segment[4:_BOX_NUMBER_END])
        return beginnings

    @property
    def index(self) -> PictureIndex | None:
        """The index of the pictures in a multi-picture file (MPF), if there is one."""
        for marker, segment in self.segments:
            if marker == APP2:
                index = read_index(segment[4:])
                if index is not None:
                    return index
        return None

    @property
    def frame(self) -> Frame:
        """The start of frame.

        Raises:
            CutShortError: There is none before the first scan.
        """
        for marker, segment in self.segments:
            if marker in _STARTS_OF_FRAME:
                return Frame(marker, segment[4:])
        raise CutShortError("no start of frame before the first scan")


def whole_segment(marker: int, payload: bytes) -> bytes:
    """A whole segment of this payload."""
    if len(payload) > MOST_PAYLOAD:
        raise StaleDataError("a segment that became too long")
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def lean_file(parts: JpegParts) -> bytes:
    """A file of the segments that decide the pixels alone, for the decoder.

    What cameras and editors write wrong around a sound picture (stray bytes between segments, ICC
    profiles in wrong order, an odd JFIF revision, scan parameters that sequential coding has no use
    for) makes libjpeg warn. Without all that a warning is about the coded data.
    """
    kept = []
    for marker, segment in parts.segments:
        if marker == APP0 and segment[4:9] == b"JFIF\0":
            kept.append(whole_segment(APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"))
        elif marker not in APP_OR_COM or (marker == APP14 and segment[4:9] == b"Adobe"):
            kept.append(segment)
    scans = parts.scans
    if parts.frame.marker in (BASELINE, EXTENDED):
        scans = _with_usual_scan_parameters(scans)
    return b"".join((SOI, *kept, scans, EOI))


def _with_usual_scan_parameters(scans: bytes) -> bytes:
    """The first scan with the one spectral selection that sequential coding knows: 0 to 63.

    The last three bytes of a scan header are start and end of the selection and the approximation
    (T.81, B.2.3). Some phones leave them 0.
    """
    (length,) = struct.unpack_from(">H", scans, 2)
    end = 2 + length
    return scans[: end - 3] + b"\x00\x3f\x00" + scans[end:]


def count_of(marker: int, data: FileBytes) -> int:
    """How often FF and this byte follow each other, whatever they are part of.

    bytes.count takes twice as long.
    """
    values = np.frombuffer(data, np.uint8)
    count = 0
    for start in range(0, len(data) - 1, _AT_A_TIME):
        end = min(start + _AT_A_TIME, len(data) - 1)
        behind = start + np.flatnonzero(values[start:end] == 0xFF) + 1
        count += int(np.count_nonzero(values[behind] == marker))
    return count


def take_apart(data: FileBytes) -> JpegParts:
    """Find segments, scans and trailer, from marker to marker.

    Segments are skipped by their length: the thumbnail in an Exif segment has markers of its own,
    an end of image among them. Coded data has no length, so the next marker ends it.

    Raises:
        CutShortError: There is no end-of-image marker.
        ValueError: A segment cannot be as short as it says.
    """
    segments: list[tuple[int, bytes]] = []
    offset = len(SOI)
    first_scan: int | None = None
    while True:
        match = _MARKER.search(data, offset)
        if match is None:
            raise CutShortError("no end-of-image marker")
        start, end_of_marker = match.span()
        marker = data[end_of_marker - 1]
        if marker == _END_OF_IMAGE:
            scans = b"" if first_scan is None else data[first_scan:start]
            return JpegParts(tuple(segments), scans, data[end_of_marker:])
        if marker in (_TEM, _START_OF_IMAGE):  # these have no length
            offset = end_of_marker
            continue
        if end_of_marker + 2 > len(data):
            raise CutShortError("a segment ends the file")
        (length,) = struct.unpack_from(">H", data, end_of_marker)
        if length < 2:
            raise ValueError("a segment that is shorter than its own length")
        offset = end_of_marker + length
        if marker == SOS and first_scan is None:
            first_scan = start
        if first_scan is None:
            segments.append((marker, data[start:offset]))


def fewest_bytes(frame: Frame) -> int:
    """Bytes below which no picture of this frame can be coded.

    A Huffman code has at least one bit. Lossless files have one code a sample. In the others each
    block of 8 x 8 has one for its mean, and one that says where the block ends follows; in
    progressive files that one may stand for many blocks.

    Returns:
        The lower bound; 0 where none is known, as for arithmetic coding.
    """
    height, width = frame.size
    if frame.marker == LOSSLESS:
        return height * width * frame.components // 8
    bits_a_block = {BASELINE: 2, EXTENDED: 2, PROGRESSIVE: 1}.get(frame.marker, 0)
    factors = frame.factors
    most_across = max(across for across, _ in factors) or 1
    most_down = max(down for _, down in factors) or 1
    blocks = 0
    for across, down in factors:
        blocks_across = math.ceil(width * across / most_across / 8)
        blocks_down = math.ceil(height * down / most_down / 8)
        blocks += blocks_across * blocks_down
    return bits_a_block * blocks // 8
