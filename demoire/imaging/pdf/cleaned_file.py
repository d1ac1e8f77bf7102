"""Picture files as they pass between a PDF and the codecs: what is added to them, and taken away.

A stream in a PDF lacks what the PDF says of it elsewhere: how its samples are to be read. That is
added when the picture is carved out, and taken away when it is put back.

References:
    W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 5.3, 11.2 and 11.3.2.3.
    ICC.1:2010, B.4 (JFIF). ITU-T T.872, 6.5.3 (the Adobe segment).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from demoire.imaging.codecs.png_chunks import SIGNATURE, chunks_of, whole_chunk

JPEG = b"\xff\xd8\xff"
_TIFF = (b"MM\0\x2a", b"II\x2a\0")

# JPEG
_SOI_LENGTH = 2
_APP0, _APP2, _APP14 = 0xE0, 0xE2, 0xEE
_START_OF_SCAN = 0xDA
_PROFILE = b"ICC_PROFILE\0"
_ADOBE = b"Adobe"
# Marker and length; version 100, no flags; the last byte says that components are what they are.
NO_TRANSFORM = b"\xff\xee\0\x0e" + _ADOBE + b"\0\x64\0\0\0\0\0"
_MOST_PROFILE = 65_519  # bytes in one segment, beside its length, the name and two counters
_MOST_SEGMENTS = 255

# PNG
_GREY, _RGB = 0, 2
_COLOUR_TYPES = {1: _GREY, 3: _RGB}
_HEADER = struct.Struct(">2I5B")


def essence(data: bytes) -> bytes:
    """What decides the samples of a cleaned file, and is the same when it is carved out again."""
    if data.startswith(SIGNATURE):
        picture = read_png(data)
        return picture.header + picture.packed
    if data.startswith(JPEG):
        return without_adobe_segment(without_profile(data))
    if data.startswith(_TIFF):
        # Only now: tifffile and numpy are too much for commands that meet no inks.
        from demoire.imaging.pdf.inks import essence_of_tiff

        return essence_of_tiff(data)
    return data


# JPEG


def with_profile(data: bytes, profile: bytes) -> bytes:
    """A JPEG file with an ICC profile behind its first segment; as it is if it has one."""
    pieces = range(0, len(profile), _MOST_PROFILE)
    if _has_segment(data, _APP2, _PROFILE) or len(pieces) > _MOST_SEGMENTS:
        return data
    segments = []
    for number, start in enumerate(pieces, start=1):
        piece = profile[start : start + _MOST_PROFILE]
        segments.append(_segment(_APP2, _PROFILE + bytes((number, len(pieces))) + piece))
    return _with_segments(data, b"".join(segments))


def without_profile(data: bytes) -> bytes:
    """A JPEG file without its ICC profile."""
    return _without(data, _APP2, _PROFILE)


def has_profile(data: bytes) -> bool:
    """Whether a JPEG file has an ICC profile."""
    return _has_segment(data, _APP2, _PROFILE)


def adobe_segment(data: bytes) -> bytes | None:
    """The whole segment in which a JPEG file says how its components are to be read, if any."""
    for segment in _segments(data):
        if segment.begins(_APP14, _ADOBE):
            return data[segment.start : segment.end]
    return None


def adobe_transform(segment: bytes) -> int:
    """What an Adobe segment says of the components: 0 nothing, 1 YCbCr, 2 YCCK."""
    return segment[-1]


def with_adobe_segment(data: bytes, segment: bytes = NO_TRANSFORM) -> bytes:
    """A JPEG file that has none, with this Adobe segment."""
    return _with_segments(data, segment)


def without_adobe_segment(data: bytes) -> bytes:
    """A JPEG file that leaves open how its components are to be read."""
    return _without(data, _APP14, _ADOBE)


@dataclass(frozen=True)
class _Segment:
    """A segment before the first scan, in its file."""

    marker: int
    start: int
    end: int
    beginning: bytes  # of its payload

    def begins(self, marker: int, signature: bytes) -> bool:
        return self.marker == marker and self.beginning.startswith(signature)


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments before the first scan, as far as they follow each other."""
    start = _SOI_LENGTH
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != _START_OF_SCAN:
        (length,) = struct.unpack_from(">H", data, start + 2)
        end = start + 2 + length
        yield _Segment(data[start + 1], start, end, data[start + 4 : min(end, start + 16)])
        start = end


def _without(data: bytes, marker: int, signature: bytes) -> bytes:
    """A file without the segments that begin so."""
    kept = [data[:_SOI_LENGTH]]
    end = _SOI_LENGTH
    for segment in _segments(data):
        end = segment.end
        if not segment.begins(marker, signature):
            kept.append(data[segment.start : segment.end])
    return b"".join(kept) + data[end:]


def _has_segment(data: bytes, marker: int, signature: bytes) -> bool:
    return any(segment.begins(marker, signature) for segment in _segments(data))


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def _with_segments(data: bytes, segments: bytes) -> bytes:
    """The file with more segments, behind that of JFIF, which has to be the first."""
    first = next(_segments(data), None)
    at = _SOI_LENGTH
    if first is not None and first.marker == _APP0:
        at = first.end
    return data[:at] + segments + data[at:]


# PNG


@dataclass(frozen=True)
class PngPicture:
    """The parts of a PNG file that decide its samples."""

    header: bytes  # the data of IHDR
    packed: bytes  # that of all IDAT together

    @property
    def width(self) -> int:
        """px."""
        width: int = _HEADER.unpack(self.header)[0]
        return width

    @property
    def height(self) -> int:
        """px."""
        height: int = _HEADER.unpack(self.header)[1]
        return height

    @property
    def bits(self) -> int:
        """Bits a sample."""
        return self.header[8]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB, 0 for what has no place in a PDF."""
        for channels, colour_type in _COLOUR_TYPES.items():
            if self.header[9] == colour_type:
                return channels
        return 0

    @property
    def is_interlaced(self) -> bool:
        """Whether its rows come in seven passes."""
        return self.header[12] != 0


def png_file(
    width: int, height: int, *, bits: int, channels: int, packed: bytes, profile: bytes | None
) -> bytes:
    """A PNG file.

    Args:
        width: px.
        height: px.
        bits: Bits a sample, 8 or 16.
        channels: 1 or 3.
        packed: Deflated rows, each with its filter type before it.
        profile: An ICC profile.
    """
    header = _HEADER.pack(width, height, bits, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [SIGNATURE, whole_chunk(b"IHDR", header)]
    if profile is not None:
        chunks.append(whole_chunk(b"iCCP", b"PDF\0\0" + zlib.compress(profile)))
    chunks += [whole_chunk(b"IDAT", packed), whole_chunk(b"IEND", b"")]
    return b"".join(chunks)


def read_png(data: bytes) -> PngPicture:
    """The parts of a PNG file.

    Raises:
        ValueError: It has no header.
    """
    header = None
    packed = []
    for chunk in chunks_of(data):
        if chunk.type == b"IHDR":
            header = chunk.data
        if chunk.type == b"IDAT":
            packed.append(chunk.data)
    if header is None or len(header) != _HEADER.size:
        raise ValueError("no PNG file")
    return PngPicture(header, b"".join(packed))
