"""PNG: the image data is coded anew, every other chunk stays as it is and where it is.

Text, gamma, chromaticities, colour profile, physical size, time and Exif are therefore kept to the
byte. A transparent colour (tRNS) is kept true: pixels of that colour are not changed, and no other
pixel is given it. Interlaced files come out not interlaced: the same picture, shown in one pass.
16-bit files go through imagecodecs, because Pillow has no 16-bit RGB.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.imaging.codecs.raster import Pixels, Raster, grey_or_rgb, only_to_look_at, to_image
from demoire.reasons import Reason

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6
_COLOURS = {_GREY: 1, _RGB: 3, _GREY_ALPHA: 1, _RGB_ALPHA: 3}
_SAMPLES = {_RGB: 3, _GREY_ALPHA: 2, _RGB_ALPHA: 4}  # a pixel, as coded; else 1
_MOST_DEFLATED = 1032  # bytes that one byte of deflate can stand for (zlib's documentation)
_LEVEL = 4  # twice as fast as the usual 6, and 1 to 4 % larger


class DamagedError(ValueError):
    """A chunk whose checksum does not hold, or that is not where it belongs."""


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, whole chunk) of each chunk that is there in full."""
    place = len(_SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 12 + length
        if end > len(data):
            return
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def is_cut_short(data: bytes) -> bool:
    """Whether the chunks do not lead to IEND, or hold too little for a picture of this size."""
    sizes = [(kind, len(chunk)) for kind, chunk in _chunks(data)]
    packed = sum(size for kind, size in sizes if kind == b"IDAT")
    return all(kind != b"IEND" for kind, _ in sizes) or packed * _MOST_DEFLATED < _unpacked(data)


def _unpacked(data: bytes) -> int:
    """Bytes of image data that the header announces, but for the filter types and the padding of
    rows.
    """
    width, height, depth, colour = struct.unpack_from(">2I2B", data, 16)
    return width * height * depth * _SAMPLES.get(colour, 1) // 8


def bits(data: bytes) -> int:
    """Bits per sample, from the header."""
    return data[24]


def is_risky(data: bytes) -> bool:
    """Whether libpng decodes it; up to 8 bits it is Pillow and zlib."""
    return bits(data) == 16


def read(data: bytes, image: Image.Image) -> Raster:
    depth, colour = data[24], data[25]
    for kind, chunk in _chunks(data):
        if kind == b"IDAT" and zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
            raise DamagedError("the checksum of the image data does not hold")
    if depth == 16:
        return _read_deep(data, colour)
    image.load()
    if depth != 8 or colour not in _COLOURS:
        return only_to_look_at(image, Reason.MODE_NOT_CLEANED)
    return grey_or_rgb(image)


def _read_deep(data: bytes, colour: int) -> Raster:
    samples: NDArray[np.uint16] = np.atleast_3d(imagecodecs.png_decode(data))
    if samples.dtype != np.uint16:
        raise DamagedError("the decoder gave other than 16 bits")
    pixels = np.ascontiguousarray(samples[:, :, : _COLOURS[colour]])
    has_alpha = colour in (_GREY_ALPHA, _RGB_ALPHA)
    return Raster(pixels, np.ascontiguousarray(samples[:, :, -1]) if has_alpha else None)


def write(data: bytes, raster: Raster, pixels: Pixels) -> bytes:
    pixels = _keep_transparent_colour(data, raster.pixels, pixels)
    coded = list(_chunks(_code(pixels, raster.alpha)))
    out = [_SIGNATURE, coded[0][1]]
    image_data = [chunk for kind, chunk in coded if kind == b"IDAT"]
    for kind, chunk in _chunks(data):
        if kind == b"IDAT":
            out += image_data
            image_data = []
        elif kind != b"IHDR":
            out.append(chunk)
        if kind == b"IEND":
            break
    return b"".join(out)


def _code(pixels: Pixels, alpha: Pixels | None) -> bytes:
    if pixels.dtype == np.uint16:
        samples = pixels if alpha is None else np.dstack([pixels, alpha])
        samples = samples[:, :, 0] if samples.shape[2] == 1 else samples
        return bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=_LEVEL))
    out = io.BytesIO()
    to_image(pixels, alpha).save(out, "PNG", compress_level=_LEVEL)
    return out.getvalue()


def _keep_transparent_colour(data: bytes, old: Pixels, new: Pixels) -> Pixels:
    chunk = next((chunk for kind, chunk in _chunks(data) if kind == b"tRNS"), None)
    if chunk is None:
        return new
    key = np.frombuffer(chunk[8:-4], dtype=">u2")
    if len(key) != old.shape[2]:
        return new
    transparent = (old == key).all(axis=2) | (new == key).all(axis=2)
    return np.where(transparent[:, :, None], old, new)
