"""The thumbnail in Exif data: IFD1 of the small TIFF file that Exif is; and previews beside it.

The rest of Exif stays as the bytes it was. A JPEG thumbnail that is shorter than the old one takes
its place; a longer one goes to the end, where the old one lay or behind all else, and IFD1 is told.

References:
    CIPA DC-008 (Exif 2.32), 4.5.8 "Thumbnail data" and 4.6.2 table 3 for the tags; TIFF 6.0,
    section 2 for the structure.
"""

import struct
from dataclasses import dataclass

from demoire.imaging.derived import StaleDataError
from demoire.imaging.derived.previews import with_new_previews
from demoire.imaging.derived.thumbnail import Thumbnailer

_WIDTH = 0x0100
_HEIGHT = 0x0101
_BITS = 0x0102
_COMPRESSION = 0x0103
_PHOTOMETRIC = 0x0106
_STRIP_OFFSETS = 0x0111
_SAMPLES = 0x0115
_JPEG_OFFSET = 0x0201
_JPEG_BYTES = 0x0202

_SHORT = 3
_LONG = 4
_ENTRY = 12  # bytes of a directory entry: tag, type, count, value or offset
_UNCOMPRESSED = 1
_RGB = 2
_MOST_ENTRIES = 1000


@dataclass(frozen=True)
class _Entry:
    """One entry of a directory that holds a single number."""

    tag: int
    field_type: int
    count: int
    value: int  # where it is one number; else the offset of the values
    at: int  # where the entry begins


@dataclass(frozen=True)
class _Tiff:
    """The small TIFF file, with its byte order."""

    data: bytes
    order: str  # "<" or ">"

    def short(self, offset: int) -> int:
        """A 16-bit number."""
        return int(struct.unpack_from(self.order + "H", self.data, offset)[0])

    def long(self, offset: int) -> int:
        """A 32-bit number."""
        return int(struct.unpack_from(self.order + "I", self.data, offset)[0])

    def directory(self, offset: int) -> tuple[dict[int, _Entry], int]:
        """The entries of a directory by tag, and the offset of the next directory."""
        count = self.short(offset)
        if count > _MOST_ENTRIES:
            raise StaleDataError(f"an Exif directory of {count} entries")
        entries = {}
        for number in range(count):
            at = offset + 2 + number * _ENTRY
            field_type = self.short(at + 2)
            value = self.short(at + 8) if field_type == _SHORT else self.long(at + 8)
            entry = _Entry(self.short(at), field_type, self.long(at + 4), value, at)
            entries[entry.tag] = entry
        return entries, self.long(offset + 2 + count * _ENTRY)

    def with_number(self, entry: _Entry, value: int) -> "_Tiff":
        """The file with another number in an entry."""
        packed = struct.pack(self.order + "I", value)
        if entry.field_type == _SHORT:
            packed = struct.pack(self.order + "HH", value, 0)
        at = entry.at + 8
        return _Tiff(self.data[:at] + packed + self.data[at + 4 :], self.order)


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
    renewed = _with_new_thumbnail(tiff, thumbnailer, most)
    return with_new_previews(renewed, thumbnailer, _where_thumbnail_is(renewed))


def _with_new_thumbnail(tiff: bytes, thumbnailer: Thumbnailer, most: int | None) -> bytes:
    entries = _second_directory(tiff)
    parsed = _Tiff(tiff, _order_of(tiff))
    if _JPEG_OFFSET in entries and _JPEG_BYTES in entries:
        return _with_new_jpeg(parsed, entries, thumbnailer, most)
    if _STRIP_OFFSETS in entries:
        return _with_new_strip(parsed, entries, thumbnailer)
    return tiff


def _where_thumbnail_is(tiff: bytes) -> range:
    """The bytes of a thumbnail that is a JPEG file; none where there is no such thumbnail."""
    entries = _second_directory(tiff)
    if _JPEG_OFFSET not in entries or _JPEG_BYTES not in entries:
        return range(0)
    start = entries[_JPEG_OFFSET].value
    return range(start, start + entries[_JPEG_BYTES].value)


def _second_directory(tiff: bytes) -> dict[int, _Entry]:
    """The entries about the thumbnail, by tag; none where there is none."""
    if tiff[:2] not in (b"II", b"MM"):
        return {}
    try:
        parsed = _Tiff(tiff, _order_of(tiff))
        _, second = parsed.directory(parsed.long(4))
        if second == 0:
            return {}
        return parsed.directory(second)[0]
    except struct.error:
        # No Exif that any reader would understand, so there is no thumbnail that one would show.
        return {}


def _order_of(tiff: bytes) -> str:
    """The byte order; that of most computers where it is not told."""
    return ">" if tiff[:2] == b"MM" else "<"


def _with_new_jpeg(
    tiff: _Tiff, entries: dict[int, _Entry], thumbnailer: Thumbnailer, most: int | None
) -> bytes:
    start = entries[_JPEG_OFFSET].value
    length = entries[_JPEG_BYTES].value
    end = start + length
    if length == 0:
        return tiff.data
    if end > len(tiff.data):
        raise StaleDataError("a thumbnail that ends behind its Exif data")
    is_last = end == len(tiff.data)
    room = None
    if most is not None:
        room = max(length, most - (start if is_last else len(tiff.data)))
    new = thumbnailer.jpeg_like(tiff.data[start:end], room)
    tiff = tiff.with_number(entries[_JPEG_BYTES], len(new))
    if is_last:
        return tiff.data[:start] + new
    if len(new) <= length:
        # Zeros in the bytes that are left over: nothing of the old picture stays readable.
        padding = bytes(length - len(new))
        return tiff.data[:start] + new + padding + tiff.data[end:]
    tiff = tiff.with_number(entries[_JPEG_OFFSET], len(tiff.data))
    return tiff.data[:start] + bytes(length) + tiff.data[end:] + new


def _with_new_strip(tiff: _Tiff, entries: dict[int, _Entry], thumbnailer: Thumbnailer) -> bytes:
    """An uncompressed RGB thumbnail in one strip, the other kind that Exif knows."""

    def number(tag: int, default: int) -> int:
        return entries[tag].value if tag in entries else default

    offsets = entries[_STRIP_OFFSETS]
    width = number(_WIDTH, 0)
    height = number(_HEIGHT, 0)
    is_plain = (
        number(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
        and number(_PHOTOMETRIC, _RGB) == _RGB
        and number(_SAMPLES, 3) == 3
        and offsets.count == 1
    )
    start = offsets.value
    end = start + 3 * width * height
    if not is_plain or end > len(tiff.data):
        raise StaleDataError("a thumbnail in strips of a kind that is not written")
    return tiff.data[:start] + thumbnailer.rgb(width, height) + tiff.data[end:]
