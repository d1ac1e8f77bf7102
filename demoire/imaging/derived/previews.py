"""Previews that a camera keeps in Exif data beside the thumbnail, most of them in its MakerNote.

Canon, Nikon, Olympus, Pentax, Sony and others each have tags and offsets of their own for them, but
what lies there is always a whole JPEG file. So they are found by their first bytes, and made anew
where they are: never longer than the old one, and with zeros behind it, as cameras pad them
themselves. No tag has to change, whoever made the camera.

A file without room for the new preview is not cleaned. That is rare: the new one has the old
quantisation tables, and without moiré there is less to code.

References:
    CIPA DC-008 (Exif 2.32), 4.6.5, MakerNote; ITU-T T.81, B.1.1.3, markers.
"""

import re
import struct
from collections.abc import Iterator

from demoire.imaging.derived.thumbnail import Thumbnailer, is_readable_jpeg

_BEGINNING = b"\xff\xd8\xff"
_START_OF_SCAN = 0xDA
# FF 00 is a stuffed FF in coded data, FF D0 to FF D7 are restarts, FF FF is filling.
_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_END = b"\xff\xd9"


def with_new_previews(exif: bytes, thumbnailer: Thumbnailer, thumbnail: range) -> bytes:
    """Exif data whose previews were made anew, in their old length.

    Args:
        exif: The data from its TIFF header on.
        thumbnailer: Makes the previews.
        thumbnail: Where the thumbnail lies, which is none of them.

    Raises:
        StaleDataError: There is no room for a new preview.
    """
    out = bytearray(exif)
    for start, end in _jpeg_files(exif, thumbnail):
        old = exif[start:end]
        if not is_readable_jpeg(old):  # the bytes only look like one
            continue
        new = thumbnailer.jpeg_like(old, most=len(old))
        out[start:end] = new + bytes(len(old) - len(new))
    return bytes(out)


def _jpeg_files(data: bytes, left_out: range) -> Iterator[tuple[int, int]]:
    """Begin and end of each JPEG file in the data; of one inside another, the outer one."""
    position = 0
    while True:
        start = data.find(_BEGINNING, position)
        if start < 0:
            return
        if start in left_out:
            position = left_out.stop
            continue
        end = _end_of_jpeg(data, start)
        if end is None:
            position = start + 1
            continue
        yield start, end
        position = end


def _end_of_jpeg(data: bytes, start: int) -> int | None:
    """Where the file that begins here ends; None where it is no JPEG file after all."""
    at = start + 2
    while True:
        if at + 4 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
        if marker != _START_OF_SCAN:
            continue
        following = _MARKER_IN_SCAN.search(data, at)
        if following is None:
            return None
        at = following.start()
        if following.group() == _END:
            return following.end()
