"""Files for the tests of images: made here, so that each says what is special about it."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from demoire.errors import ImageError
from demoire.file_bytes import MappedFile, finished
from demoire.imaging.images import Picture, decode
from demoire.temporary_files import new_temporary_file

SIZE = (90, 130)  # rows, columns: no multiple of a JPEG block, of a TIFF tile, or of four
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa9</a></x:xmpmeta>'
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def mapped(data: bytes) -> MappedFile:
    """The same file as a large one is read."""
    with new_temporary_file() as out:
        out.write(data)
        file = finished(out)
    assert isinstance(file, MappedFile)
    return file


def tiff(samples: NDArray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, samples, metadata=None, **options)
    return out.getvalue()


def page_of_type() -> NDArray:
    """400 rows of "letters" with a white margin; 1 is white."""
    page = np.ones((400, 300), bool)
    letters = np.random.default_rng(1).random((70, 55)) > 0.3
    page[60:340, 40:260] = letters.repeat(4, 0).repeat(4, 1)
    return page


def deep(samples: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The same picture in 16 bits, with something in the low ones."""
    low = np.random.default_rng(1).integers(0, 256, samples.shape, dtype=np.uint16)
    return samples.astype(np.uint16) * 256 + low


def changed(picture: Picture) -> NDArray:
    """The picture's pixels, brighter in a part of them."""
    pixels = picture.pixels.copy()
    part = pixels[20:60, 30:90]
    part += ((np.iinfo(part.dtype).max - part) // 4).astype(part.dtype)
    return pixels


def some_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A camera maker"
    return exif.tobytes()


def chunk(kind: bytes, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value)
    return caught.value.reason
