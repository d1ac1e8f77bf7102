"""The XMP packet in a JPEG file: an APP1 segment of its own.

References:
    Adobe, "XMP Specification, Part 3", 1.1.3 "JPEG".
"""

from dataclasses import replace

from demoire.file_bytes import FileBytes, file_of_parts
from demoire.imaging.codecs.base import EditXmp
from demoire.imaging.codecs.jpeg_parts import APP0, SOI, JpegParts, take_apart, whole_segment
from demoire.imaging.derived.segments import APP1, MOST_PAYLOAD

_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def with_xmp(data: FileBytes, edit: EditXmp) -> FileBytes:
    """The file with another XMP packet; as it was where that does not fit into a segment."""
    parts = take_apart(data)
    old = parts.find(APP1, _XMP)
    packet = edit(None if old is None else old.removeprefix(_XMP))
    if packet is None or len(_XMP) + len(packet) > MOST_PAYLOAD:
        return data
    segment = whole_segment(APP1, _XMP + packet)
    at = _after_leading_segments(parts)
    length = 0
    if old is not None:
        old_segment = whole_segment(APP1, old)
        at = data.index(old_segment)
        length = len(old_segment)
    whole = memoryview(data)  # whose parts are no copies
    cleaned = file_of_parts((whole[:at], segment, whole[at + length :]), like=data)
    grown_by = len(cleaned) - len(data)
    return _with_index(data, cleaned, at, grown_by, parts)


def _after_leading_segments(parts: JpegParts) -> int:
    """Where a new packet goes: behind JFIF and Exif, which want to be first."""
    at = len(SOI)
    for marker, segment in parts.segments:
        if marker not in (APP0, APP1):
            break
        at += len(segment)
    return at


def _with_index(
    data: FileBytes, cleaned: FileBytes, at: int, grown_by: int, parts: JpegParts
) -> FileBytes:
    """Correct the index of a multi-picture file, whose first picture has grown."""
    index = parts.index
    if index is None or not grown_by:
        return cleaned
    old_at = data.index(index.payload)
    new_at = old_at + grown_by if old_at > at else old_at
    moved_by = grown_by - (new_at - old_at)  # of the pictures behind, as seen from the index
    picture, *others = index.images
    images = [replace(picture, size=picture.size + grown_by)]
    for image in others:
        images.append(replace(image, offset=image.offset + moved_by if image.offset else 0))
    payload = index.with_images(images)
    whole = memoryview(cleaned)
    return file_of_parts((whole[:new_at], payload, whole[new_at + len(payload) :]), like=data)
