"""The thumbnails in a JPEG file's own segments: Exif, JFIF, JFXX and Photoshop's resources.

References:
    ITU-T T.871 (JFIF), 10.1 for the thumbnail of the JFIF segment and 10.2 for the JFXX segment.
    Adobe, "Photoshop File Formats Specification", "Image Resource Blocks" and "Thumbnail resource
    format" (resources 1033 and 1036).
"""

import struct
from collections.abc import Iterator

from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.exif import with_new_thumbnail
from demoire.imaging.derived.thumbnail import Thumbnailer

APP0 = 0xE0
APP1 = 0xE1
APP13 = 0xED
MOST_PAYLOAD = 0xFFFF - 2  # bytes of a segment behind its length

_EXIF = b"Exif\0\0"
_JFIF = b"JFIF\0"
_JFXX = b"JFXX\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_RESOURCE = b"8BIM"
_THUMBNAIL = 1036
_THUMBNAIL_OF_VERSION_4 = 1033  # the same with red and blue exchanged
_THUMBNAIL_HEADER = 28  # bytes before the JPEG file in a thumbnail resource
_IS_JPEG = 1


def renewed(marker: int, payload: bytes, thumbnailer: Thumbnailer) -> bytes:
    """A segment's payload in which every thumbnail was made anew.

    Args:
        marker: Second byte of the segment's marker.
        payload: The segment behind its length.
        thumbnailer: Makes the thumbnails.

    Raises:
        StaleDataError: It holds a thumbnail that cannot be made anew.
    """
    if marker == APP1 and payload.startswith(_EXIF):
        most = MOST_PAYLOAD - len(_EXIF)
        tiff = payload.removeprefix(_EXIF)
        return _EXIF + with_new_thumbnail(tiff, thumbnailer, most=most)
    if marker == APP0 and payload.startswith(_JFIF):
        return _renewed_jfif(payload, thumbnailer)
    if marker == APP0 and payload.startswith(_JFXX):
        return _renewed_jfxx(payload, thumbnailer)
    if marker == APP13 and payload.startswith(_PHOTOSHOP):
        return _renewed_photoshop(payload, thumbnailer)
    return payload


def _renewed_jfif(payload: bytes, thumbnailer: Thumbnailer) -> bytes:
    """JFIF: width and height of an RGB thumbnail are its bytes 12 and 13, both 0 as a rule."""
    if len(payload) < 14 or payload[12] == 0 or payload[13] == 0:
        return payload
    width = payload[12]
    height = payload[13]
    end = 14 + 3 * width * height
    if end > len(payload):
        raise StaleDataError("a JFIF thumbnail that ends behind its segment")
    return payload[:14] + thumbnailer.rgb(width, height) + payload[end:]


def _renewed_jfxx(payload: bytes, thumbnailer: Thumbnailer) -> bytes:
    """JFXX: byte 5 says whether a JPEG file, a palette or RGB follows."""
    kind = payload[5:6]
    content = payload[6:]
    if kind == b"\x10":
        return payload[:6] + thumbnailer.jpeg_like(content, MOST_PAYLOAD - 6)
    if kind == b"\x13" and len(content) >= 2:
        width = content[0]
        height = content[1]
        return payload[:8] + thumbnailer.rgb(width, height) + content[2 + 3 * width * height :]
    raise StaleDataError("a JFXX thumbnail of a kind that is not written")


def _renewed_photoshop(payload: bytes, thumbnailer: Thumbnailer) -> bytes:
    numbers = (_THUMBNAIL, _THUMBNAIL_OF_VERSION_4)
    if not any(_RESOURCE + struct.pack(">H", number) in payload for number in numbers):
        return payload
    parts = [_PHOTOSHOP]
    for number, head, content in _resources(payload[len(_PHOTOSHOP) :]):
        if number == _THUMBNAIL_OF_VERSION_4:
            raise StaleDataError("a thumbnail as Photoshop 4 wrote it")
        if number == _THUMBNAIL:
            content = _renewed_resource(content, thumbnailer)
        parts.append(head + struct.pack(">I", len(content)) + content)
        if len(content) % 2:
            parts.append(b"\0")
    written = b"".join(parts)
    if len(written) > MOST_PAYLOAD:
        raise StaleDataError("a thumbnail that does not fit into Photoshop's resources any more")
    return written


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, head (signature, number, name) and content of each resource.

    Raises:
        StaleDataError: The resources go on in another segment, or are not resources.
    """
    offset = 0
    while offset < len(data):
        if data[offset : offset + 4] != _RESOURCE:
            raise StaleDataError("Photoshop's resources in several segments")
        try:
            (number,) = struct.unpack_from(">H", data, offset + 4)
            name_length = 1 + data[offset + 6]
            # A Pascal string: its length comes first, and the whole is padded to even.
            after_name = offset + 6 + name_length + name_length % 2
            (length,) = struct.unpack_from(">I", data, after_name)
        except (struct.error, IndexError) as error:
            raise StaleDataError("Photoshop's resources that are cut short") from error
        start = after_name + 4
        if start + length > len(data):
            raise StaleDataError("Photoshop's resources in several segments")
        yield number, data[offset:after_name], data[start : start + length]
        offset = start + length + length % 2


def _renewed_resource(content: bytes, thumbnailer: Thumbnailer) -> bytes:
    """A thumbnail resource: 28 bytes of header, then a JPEG file."""
    if len(content) < _THUMBNAIL_HEADER:
        return content
    coding, width, height, row_bytes, _, _, bits, planes = struct.unpack_from(">6I2H", content)
    if coding != _IS_JPEG:
        raise StaleDataError("a raw thumbnail in Photoshop's resources")
    jpeg = thumbnailer.jpeg_like(content[_THUMBNAIL_HEADER:])
    header = struct.pack(
        ">6I2H", coding, width, height, row_bytes, row_bytes * height, len(jpeg), bits, planes
    )
    return header + jpeg
