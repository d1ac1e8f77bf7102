"""What the boxes of a JP2 or JPX file say of its picture; how they lie is told in `iso_boxes`.

References:
    ISO/IEC 15444-1, annex I: image header, palette, channel definition, colour specification and
    resolution (I.5.3). ISO/IEC 15444-2, annex M for JPX.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

from demoire.imaging.codecs.iso_boxes import FileBox, new_box, read_boxes

SIGNATURE = b"\0\0\0\x0cjP  "
FILE_TYPE = b"ftyp"
CODESTREAM = b"jp2c"
HEADER = b"jp2h"
PALETTE = b"pclr"
CHANNELS = b"cdef"
COLOUR = b"colr"
XMP_UUID = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
EXIF_UUID = b"JpgTiffExif->JP2"

_METRES_AN_INCH = 0.0254
# How a colour specification names its space.
_NUMBERED, _PROFILED, _ANY_PROFILE = b"\1", b"\2", b"\3"


@dataclass(frozen=True)
class ColourSpace:
    """A colour specification: a number of a known space, or an ICC profile."""

    number: int | None
    profile: bytes | None


def colour_box(space: ColourSpace) -> FileBox:
    """A new colour specification; a profile is one of those that plain JP2 may have."""
    if space.profile is not None:
        return new_box(COLOUR, _PROFILED + bytes(2) + space.profile)
    return new_box(COLOUR, _NUMBERED + bytes(2) + struct.pack(">I", space.number or 0))


@dataclass(frozen=True)
class Jp2Header:
    """What the JP2 header box says besides the size.

    Attributes:
        colour: The first colour specification that is a number or an ICC profile.
        channels: (type, association) of each channel by its number; None where nothing is said.
        has_palette: Whether samples are numbers of colours.
        dpi: Horizontal resolution, pixels per inch.
    """

    colour: ColourSpace | None = None
    channels: dict[int, tuple[int, int]] | None = None
    has_palette: bool = False
    dpi: float | None = None


def read_jp2_header(payload: bytes) -> Jp2Header:
    """What is in a JP2 header box.

    Raises:
        ValueError: A box in it is damaged.
        struct.error: A box in it is too short.
    """
    colour = None
    channels = None
    dpi = None
    has_palette = False
    for box in read_boxes(payload):
        if box.type == COLOUR:
            colour = colour or _colour_space(box.payload)
        elif box.type == CHANNELS:
            channels = _channels(box.payload)
        elif box.type == PALETTE:
            has_palette = True
        elif box.type == b"res ":
            dpi = _dpi(box.payload)
    return Jp2Header(colour, channels, has_palette, dpi)


def _colour_space(payload: bytes) -> ColourSpace | None:
    """None where it is named in another way, or the box is too short to name one."""
    method = payload[:1]
    named = payload[3:]  # behind precedence and approximation
    if method == _NUMBERED and len(named) >= 4:
        return ColourSpace(int.from_bytes(named[:4], "big"), None)
    if method in (_PROFILED, _ANY_PROFILE) and named:
        return ColourSpace(None, named)
    return None


def _channels(payload: bytes) -> dict[int, tuple[int, int]]:
    (count,) = struct.unpack_from(">H", payload)
    channels = {}
    for index in range(count):
        channel, meaning, association = struct.unpack_from(">3H", payload, 2 + 6 * index)
        channels[channel] = (meaning, association)
    return channels


def _dpi(payload: bytes) -> float | None:
    """The resolution of capture, or else the one for display; both are in pixels a metre."""
    values = {}
    for box in read_boxes(payload):
        fraction = struct.unpack_from(">4H2b", box.payload)
        _, _, across, divisor, _, exponent = fraction
        if divisor and across:
            values[box.type] = across / divisor * 10.0**exponent * _METRES_AN_INCH
    return values.get(b"resc", values.get(b"resd"))
