"""The thumbnail in Exif data: IFD1 of the small TIFF file that Exif is; and previews beside it.

The rest of Exif stays as the bytes it was. A JPEG thumbnail that is shorter than the old one takes
its place; a longer one goes to the end, where the old one lay or behind all else, and IFD1 is told.

References:
    CIPA DC-008 (Exif 2.32), 4.5.8 "Thumbnail data" and 4.6.2 table 3 for the tags; TIFF 6.0,
    section 2 for the structure.
"""

import io
import struct
from dataclasses import dataclass

from demoire.imaging.codecs.tiff_reader import (
    DamagedPagesError,
    FileDirectory,
    TiffReader,
    packed_numbers,
)
from demoire.imaging.codecs.tiff_tags import (
    COMPRESSION,
    HEIGHT,
    JPEG_BYTES,
    JPEG_OFFSET,
    PHOTOMETRIC,
    SAMPLES,
    STRIP_OFFSETS,
    WIDTH,
)
from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.previews import with_new_previews
from demoire.imaging.derived.thumbnail import Thumbnailer

_UNCOMPRESSED = 1
_RGB = 2


@dataclass(frozen=True)
class _Thumbnail:
    """What the second directory of Exif data tells of its thumbnail."""

    reader: TiffReader
    directory: FileDirectory

    def has(self, *tags: int) -> bool:
        """Whether all of these are told."""
        return all(tag in self.directory.entries for tag in tags)

    def number(self, tag: int, default: int = 0) -> int:
        """The number that is told by a tag, or this one where there is none."""
        return self.reader.number(self.directory, tag) if self.has(tag) else default

    def with_number(self, tiff: bytes, tag: int, value: int) -> bytes:
        """The Exif data with another number for a tag."""
        entry = self.directory.entries[tag]
        number = packed_numbers(self.reader.shapes.order, entry.type, [value])
        field_at = entry.at + self.reader.shapes.entry.size - self.reader.shapes.inline
        return tiff[:field_at] + number + tiff[field_at + len(number) :]


def with_new_thumbnail(tiff: bytes, thumbnailer: Thumbnailer, *, most: int | None = None) -> bytes:
    """Exif data whose thumbnail and previews, if it has any, were made anew.

    Args:
        tiff: Exif data from its TIFF header on.
        thumbnailer: Makes the thumbnail.
        most: Bytes that the data may have in the end, as a JPEG segment has a limit.

    Returns:
        The data; as it was where it holds neither.

    Raises:
        StaleDataError: There is one that cannot be made anew.
    """
    try:
        renewed = _with_new_thumbnail(tiff, thumbnailer, most)
        return with_new_previews(renewed, thumbnailer, _where_thumbnail_is(renewed))
    except (DamagedPagesError, struct.error) as error:
        raise StaleDataError("a thumbnail whose directory is damaged") from error


def _with_new_thumbnail(tiff: bytes, thumbnailer: Thumbnailer, most: int | None) -> bytes:
    thumbnail = _thumbnail_in(tiff)
    if thumbnail is None:
        return tiff
    if thumbnail.has(JPEG_OFFSET, JPEG_BYTES):
        return _with_new_jpeg(tiff, thumbnail, thumbnailer, most)
    if thumbnail.has(STRIP_OFFSETS):
        return _with_new_strip(tiff, thumbnail, thumbnailer)
    return tiff


def _where_thumbnail_is(tiff: bytes) -> range:
    """The bytes of a thumbnail that is a JPEG file; none where there is no such thumbnail."""
    thumbnail = _thumbnail_in(tiff)
    if thumbnail is None or not thumbnail.has(JPEG_OFFSET, JPEG_BYTES):
        return range(0)
    start = thumbnail.number(JPEG_OFFSET)
    return range(start, start + thumbnail.number(JPEG_BYTES))


def _thumbnail_in(tiff: bytes) -> _Thumbnail | None:
    """What is told of the thumbnail; None where there is none."""
    if tiff[:2] not in (b"II", b"MM"):
        return None
    try:
        reader = TiffReader(io.BytesIO(tiff))
        second = reader.directory(reader.first_at).next_at
        return _Thumbnail(reader, reader.directory(second)) if second else None
    except DamagedPagesError:
        # No Exif that any reader would understand, so there is no thumbnail that one would show.
        return None


def _with_new_jpeg(
    tiff: bytes, thumbnail: _Thumbnail, thumbnailer: Thumbnailer, most: int | None
) -> bytes:
    start = thumbnail.number(JPEG_OFFSET)
    length = thumbnail.number(JPEG_BYTES)
    end = start + length
    if length == 0:
        return tiff
    if end > len(tiff):
        raise StaleDataError("a thumbnail that ends behind its Exif data")
    is_last = end == len(tiff)
    room = None
    if most is not None:
        room = max(length, most - (start if is_last else len(tiff)))
    new = thumbnailer.jpeg_like(tiff[start:end], room)
    tiff = thumbnail.with_number(tiff, JPEG_BYTES, len(new))
    if is_last:
        return tiff[:start] + new
    if len(new) <= length:
        # Zeros in the bytes that are left over: nothing of the old picture stays readable.
        return tiff[:start] + new + bytes(length - len(new)) + tiff[end:]
    tiff = thumbnail.with_number(tiff, JPEG_OFFSET, len(tiff))
    return tiff[:start] + bytes(length) + tiff[end:] + new


def _with_new_strip(tiff: bytes, thumbnail: _Thumbnail, thumbnailer: Thumbnailer) -> bytes:
    """An uncompressed RGB thumbnail in one strip, the other kind that Exif knows."""
    width = thumbnail.number(WIDTH)
    height = thumbnail.number(HEIGHT)
    is_plain = (
        thumbnail.number(COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and thumbnail.number(PHOTOMETRIC, _RGB) == _RGB
        and thumbnail.number(SAMPLES, 3) == 3
        and thumbnail.directory.entries[STRIP_OFFSETS].count == 1
    )
    start = thumbnail.number(STRIP_OFFSETS)
    end = start + 3 * width * height
    if not is_plain or end > len(tiff):
        raise StaleDataError("a thumbnail in strips of a kind that is not written")
    return tiff[:start] + thumbnailer.rgb(width, height) + tiff[end:]
