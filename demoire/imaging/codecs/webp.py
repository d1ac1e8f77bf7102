"""WebP: coded anew, lossless as lossless and lossy as lossy, with the original's Exif, XMP and
colour profile.

A lossy WebP does not say with which quality it was made, so it is written in a quality at which a
second coding is not seen; the file may grow. Animations are not cleaned.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from demoire.imaging.codecs.raster import Pixels, Raster, grey_or_rgb, only_to_look_at, to_image
from demoire.reasons import Reason

QUALITY = 95

_ANIMATED, _ALPHA, _PROFILED = 0x02, 0x10, 0x20  # flags of the extended header


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


@dataclass(frozen=True)
class Header:
    """What the first chunks say."""

    width: int
    height: int
    alpha: bool
    frames: int
    icc: bytes | None


def header(data: bytes) -> Header:
    """Read here, since Pillow hands the whole file to libwebp at once. Raises ValueError."""
    kind, payload = next(_chunks(data), (b"", b""))
    if kind == b"VP8X" and len(payload) >= 10:
        width, height = (
            1 + int.from_bytes(payload[place : place + 3], "little") for place in (4, 7)
        )
        animated, alpha, profiled = (
            bool(payload[0] & flag) for flag in (_ANIMATED, _ALPHA, _PROFILED)
        )
        frames = sum(kind == b"ANMF" for kind, _ in _chunks(data)) if animated else 1
        icc = (
            next((profile for kind, profile in _chunks(data) if kind == b"ICCP"), None)
            if profiled
            else None
        )
        return Header(width, height, alpha, max(1, frames), icc)
    if kind == b"VP8L" and len(payload) >= 5:
        packed = int.from_bytes(payload[1:5], "little")
        return Header(
            1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), bool(packed >> 28 & 1), 1, None
        )
    if kind == b"VP8 " and len(payload) >= 10:
        width, height = (
            int.from_bytes(payload[place : place + 2], "little") & 0x3FFF for place in (6, 8)
        )
        if width and height:
            return Header(width, height, False, 1, None)
    raise ValueError("no size in the first chunk")


def is_risky(data: bytes) -> bool:
    """Always: libwebp has been broken into by pictures before."""
    return True


def read(data: bytes, image: Image.Image) -> Raster:
    image.load()
    if image.mode not in ("RGB", "RGBA"):
        return only_to_look_at(image, Reason.MODE_NOT_CLEANED)
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
