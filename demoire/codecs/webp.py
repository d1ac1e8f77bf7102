"""WebP: coded anew, lossless as lossless and lossy as lossy, with the original's Exif, XMP and colour profile.

A lossy WebP does not say with which quality it was made, so it is written in a quality at which a second coding is not
seen; the file may grow. Animations are not cleaned.
"""

import io
import struct
from collections.abc import Iterator

from PIL import Image

from demoire.codecs.raster import Pixels, Raster, grey_or_rgb, only_to_look_at, to_image

QUALITY = 95


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of each chunk; the last may be cut short."""
    place = 12
    while place + 8 <= len(data):
        kind, length = data[place : place + 4], struct.unpack_from("<I", data, place + 4)[0]
        yield kind, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def is_cut_short(data: bytes) -> bool:
    """Whether the file is shorter than its header says."""
    return len(data) < 12 or len(data) < 8 + struct.unpack_from("<I", data, 4)[0]


def size(data: bytes) -> tuple[int, int]:
    """(width, height) from the first chunk, for which Pillow wants the whole file. Raises ValueError."""
    for kind, payload in _chunks(data):
        if kind == b"VP8X" and len(payload) >= 10:
            return 1 + int.from_bytes(payload[4:7], "little"), 1 + int.from_bytes(payload[7:10], "little")
        if kind == b"VP8L" and len(payload) >= 5:
            packed = int.from_bytes(payload[1:5], "little")
            return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        if kind == b"VP8 " and len(payload) >= 10:
            return int.from_bytes(payload[6:8], "little") & 0x3FFF, int.from_bytes(payload[8:10], "little") & 0x3FFF
        break
    raise ValueError("no size in the first chunk")


def read(data: bytes, image: Image.Image) -> Raster:
    image.load()
    if image.mode not in ("RGB", "RGBA"):
        return only_to_look_at(image, "mode_not_cleaned")
    return grey_or_rgb(image)


def write(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    payloads: dict[bytes, bytes] = {}
    for kind, payload in _chunks(data):
        payloads.setdefault(kind, payload)
    options: dict[str, bool | bytes] = {"lossless": b"VP8L" in payloads, "exact": True}
    for name, kind in (("icc_profile", b"ICCP"), ("exif", b"EXIF"), ("xmp", b"XMP ")):
        if kind in payloads:
            options[name] = payloads[kind]
    out = io.BytesIO()
    to_image(pixels, raster.alpha).save(out, "WEBP", quality=QUALITY, method=4, **options)
    return out.getvalue()
