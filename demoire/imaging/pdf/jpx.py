"""JPEG 2000 pictures of a PDF, as files of their own and back. Runs in the child.

A colour space that the PDF gives counts instead of the file's own. So the carved file says what the
PDF says, and the cleaned one gets its own header back. Where the two contradict each other in the
number of channels nobody knows the colours, and the picture is left alone.

Decode is left out of account, as the format says. Readers differ in that: PDFium keeps to it,
Poppler shows a negative. The same samples are cleaned for both.

References:
    ISO 32000-1:2008, 7.4.9 (JPXDecode), and Decode in table 89.
    ISO/IEC 15444-1, A.5.1 (SIZ), I.5.3.3 (colour specification).
"""

import struct
from dataclasses import dataclass
from typing import Any

from demoire.errors import ImageError
from demoire.imaging.codecs import jp2_boxes
from demoire.imaging.codecs.iso_boxes import FileBox, read_boxes
from demoire.imaging.codecs.jp2_boxes import ColourSpace, colour_box
from demoire.imaging.pdf.picture import not_of_this_picture
from demoire.imaging.pdf.stream_parts import colours_in, profile_of, spoilt
from demoire.reasons import Reason

# Start of codestream, and the marker of SIZ behind it.
_CODESTREAM = b"\xff\x4f\xff\x51"
# Behind the marker: length and capabilities, the far corner of the picture on the reference grid,
# the near corner, four numbers of the tiles, and how many components there are.
_SIZ = struct.Struct(">4x4I16xH")
_SPACES = {1: 17, 3: 16}  # by the number of channels: grey and sRGB


@dataclass(frozen=True)
class _Picture:
    """What SIZ, the first segment of a codestream, says of a picture."""

    height: int
    width: int
    components: int

    def has_size_of(self, stream: Any) -> bool:
        return (self.height, self.width) == (stream.Height, stream.Width)


def jpeg_2000_file(stream: Any, data: bytes) -> bytes:
    """A file of a stream whose last filter is that of JPEG 2000.

    Args:
        stream: The picture's object.
        data: Its stream, with the filters before undone.

    Raises:
        ImageError: `decode_failed`: it is of another size; or `mode_not_cleaned`: it has other
            colours than the PDF says.
    """
    picture = _picture_in(data)
    if picture is None or not picture.has_size_of(stream):
        raise spoilt("its stream is no JPEG 2000 picture of its size")
    header = _header_in(data)
    has_palette = header is not None and jp2_boxes.read_jp2_header(header.payload).has_palette
    if stream.get("/ColorSpace") is None or has_palette:
        return data  # the codec goes by what the file says
    colours = colours_in(stream)
    if picture.components not in (colours.channels, colours.channels + 1):  # alpha may follow
        raise ImageError(
            Reason.MODE_NOT_CLEANED, "The picture has other colours than the PDF says."
        )
    if header is None:
        return data
    profile = profile_of(colours)
    number = _SPACES[colours.channels] if profile is None else None
    return _with_header(data, _with_colours(header, ColourSpace(number, profile)))


def jpeg_2000_stream(stream: Any, cleaned: bytes, original: bytes) -> bytes:
    """The stream of a cleaned file, which says of its colours what the original does.

    Raises:
        ImageError: `encode_failed`: it is another picture.
    """
    picture = _picture_in(cleaned)
    if picture is None or not picture.has_size_of(stream):
        raise not_of_this_picture()
    header = _header_in(original)
    return cleaned if header is None else _with_header(cleaned, header)


def _picture_in(data: bytes) -> _Picture | None:
    start = data.find(_CODESTREAM)
    if start < 0 or start + len(_CODESTREAM) + _SIZ.size > len(data):
        return None
    right, bottom, left, top, components = _SIZ.unpack_from(data, start + len(_CODESTREAM))
    return _Picture(bottom - top, right - left, components)


def _header_in(data: bytes) -> FileBox | None:
    """The JP2 header box; None of a bare codestream, or where it cannot be read."""
    if not data.startswith(jp2_boxes.SIGNATURE):
        return None
    try:
        for box in read_boxes(data):
            if box.type == jp2_boxes.HEADER:
                return box
    except ValueError:  # the codec will tell what is wrong with it
        pass
    return None


def _with_header(data: bytes, header: FileBox) -> bytes:
    """A file with another JP2 header box in the place of its own."""
    written = []
    for box in read_boxes(data):
        written.append(header.whole if box.type == jp2_boxes.HEADER else box.whole)
    return b"".join(written)


def _with_colours(header: FileBox, space: ColourSpace) -> FileBox:
    """A JP2 header box that names this colour space and no other.

    It stands behind the image header, which has to be the first one.
    """
    first, *others = read_boxes(header.payload)
    written = [first.whole, colour_box(space).whole]
    for box in others:
        if box.type != jp2_boxes.COLOUR:
            written.append(box.whole)
    return header.with_payload(b"".join(written))
