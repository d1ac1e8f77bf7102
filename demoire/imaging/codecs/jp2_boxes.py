"""The boxes of a JP2 or JPX file, of which only the codestream's is ever written anew.

References:
    ISO/IEC 15444-1, annex I: boxes (I.4), image header, palette, channel definition, colour
    specification and resolution (I.5.3), UUID (I.7.2). ISO/IEC 15444-2, annex M for JPX.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

SIGNATURE = b"\0\0\0\x0cjP  "
FILE_TYPE = b"ftyp"
CODESTREAM = b"jp2c"
HEADER = b"jp2h"
PALETTE = b"pclr"
CHANNELS = b"cdef"
COLOUR = b"colr"
XMP_UUID = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
EXIF_UUID = b"JpgTiffExif->JP2"

_UUID = b"uuid"
_UUID_BYTES = 16
_C2PA_UUID = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
_MANIFEST_BOX = b"jumb"
_SHORT_HEADER = 8  # length and type
_LONG_HEADER = 16  # the length is 1, and the real one follows in 8 bytes
_LONGEST_SHORT = (1 << 32) - 1
_METRES_AN_INCH = 0.0254


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        type: Four letters.
        header: Its length and type, as they stand in the file.
        payload: What it holds; less than its header says where the file is cut short.
        missing: Bytes that lie beyond the end of the file.
    """

    type: bytes
    header: bytes
    payload: bytes
    missing: int = 0

    @property
    def whole(self) -> bytes:
        """The box as it stands in the file."""
        return self.header + self.payload

    @property
    def is_manifest(self) -> bool:
        """Whether it holds a signed manifest (C2PA)."""
        return self.type == _MANIFEST_BOX or self.is_uuid(_C2PA_UUID)

    def is_uuid(self, uuid: bytes) -> bool:
        """Whether it is a UUID box with this identifier."""
        return self.type == _UUID and self.payload.startswith(uuid)

    def with_payload(self, payload: bytes) -> "Box":
        """The box with other content, its length in the form that it had."""
        (length,) = struct.unpack_from(">I", self.header)
        if length == 0:  # reaches to the end of the file, whatever its length
            return Box(self.type, self.header, payload)
        return _new_box(self.type, payload, is_long=length == 1)


def uuid_box(uuid: bytes, content: bytes) -> Box:
    """A new UUID box."""
    return _new_box(_UUID, uuid + content, is_long=False)


def uuid_content(box: Box) -> bytes:
    """What a UUID box holds behind its identifier."""
    return box.payload[_UUID_BYTES:]


def _new_box(type: bytes, payload: bytes, *, is_long: bool) -> Box:
    length = _SHORT_HEADER + len(payload)
    if is_long or length > _LONGEST_SHORT:
        return Box(type, struct.pack(">I4sQ", 1, type, _LONG_HEADER + len(payload)), payload)
    return Box(type, struct.pack(">I4s", length, type), payload)


def read_boxes(data: bytes) -> Iterator[Box]:
    """The boxes of a file or of a superbox; the last one may be cut short.

    Raises:
        ValueError: A box is shorter than its own header.
    """
    at = 0
    while at + _SHORT_HEADER <= len(data):
        length, box_type = struct.unpack_from(">I4s", data, at)
        header_size = _SHORT_HEADER
        if length == 0:
            length = len(data) - at
        elif length == 1:
            if at + _LONG_HEADER > len(data):
                return
            header_size = _LONG_HEADER
            (length,) = struct.unpack_from(">Q", data, at + _SHORT_HEADER)
        if length < header_size:
            raise ValueError("a box is shorter than its header")
        end = at + length
        header = data[at : at + header_size]
        yield Box(box_type, header, data[at + header_size : end], max(0, end - len(data)))
        at = end


@dataclass(frozen=True)
class ColourSpace:
    """A colour specification: a number of a known space, or an ICC profile."""

    number: int | None
    profile: bytes | None


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
    method = payload[0]
    if method == 1:
        (number,) = struct.unpack_from(">I", payload, 3)
        return ColourSpace(int(number), None)
    if method in (2, 3):  # restricted and any ICC profile
        return ColourSpace(None, payload[3:])
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
