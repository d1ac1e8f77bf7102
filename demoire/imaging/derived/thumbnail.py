"""Thumbnails made anew from the cleaned picture, in the size and the format of the old ones."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from demoire.imaging.codecs.raster import Pixels, as_8_bit
from demoire.imaging.derived import StaleDataError

_MOST_SIDE = 8192  # px; a larger thumbnail is none
_LOWEST_QUALITY = 20  # of 100; below it nothing can be recognised
_QUALITY_STEP = 10
# Two shapes count as the same where they differ by less than a pixel or this share of a side.
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class Thumbnailer:
    """Makes small versions of one picture."""

    pixels: Pixels  # (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16

    def image(self, width: int, height: int) -> Image.Image:
        """The picture in this size, 8 bits, grey or RGB.

        Cameras put a picture of 3:2 into a thumbnail of 4:3 between black bars. Where the shapes
        differ the picture is fitted in and the rest is black, so that nothing is distorted.

        Raises:
            StaleDataError: The size is that of no thumbnail.
        """
        if not 1 <= min(width, height) <= max(width, height) <= _MOST_SIDE:
            raise StaleDataError(f"a thumbnail of {width} x {height} px")
        full = Image.fromarray(_for_pillow(self.pixels))
        fitted_width, fitted_height = _fitted(full.size, (width, height))
        small = full.resize((fitted_width, fitted_height), Image.Resampling.LANCZOS)
        if small.size == (width, height):
            return small
        sheet = Image.new(small.mode, (width, height))
        sheet.paste(small, ((width - fitted_width) // 2, (height - fitted_height) // 2))
        return sheet

    def rgb(self, width: int, height: int) -> bytes:
        """The picture in this size as bytes of red, green and blue, row by row."""
        return self.image(width, height).convert("RGB").tobytes()

    def jpeg_like(self, old: bytes, most: int | None = None) -> bytes:
        """A JPEG file like an old thumbnail: its size, colours and quantisation tables.

        Args:
            old: The old thumbnail, a whole JPEG file.
            most: Bytes that there is room for. Where the old tables give more, the quality is
                lowered until it fits.

        Raises:
            StaleDataError: The old one cannot be read, or there is no room even for a poor one.
        """
        header = _read_jpeg(old)
        image = self.image(*header.size)
        if image.mode != header.mode:
            image = image.convert("L" if header.mode == "L" else "RGB")
        tables = {number: list(table) for number, table in header.quantization.items()}
        written = _write_jpeg(image, qtables=tables)
        quality = 90
        while most is not None and len(written) > most:
            if quality < _LOWEST_QUALITY:
                raise StaleDataError(f"a thumbnail for which there are {most} bytes of room")
            written = _write_jpeg(image, quality=quality)
            quality -= _QUALITY_STEP
        return written


def is_readable_jpeg(data: bytes) -> bool:
    """Whether the bytes are a JPEG file with a header that makes sense."""
    try:
        _read_jpeg(data)
    except StaleDataError:
        return False
    return True


def _fitted(full: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the full picture's shape that fits into the room."""
    scale = min(room[0] / full[0], room[1] / full[1])
    width = max(1, round(full[0] * scale))
    height = max(1, round(full[1] * scale))
    if abs(width - room[0]) <= max(1.0, _SAME_SHAPE * room[0]):
        width = room[0]
    if abs(height - room[1]) <= max(1.0, _SAME_SHAPE * room[1]):
        height = room[1]
    return width, height


def _for_pillow(pixels: Pixels) -> NDArray[np.uint8]:
    values = as_8_bit(pixels)
    if values.shape[2] == 1:
        values = values[:, :, 0]
    return np.ascontiguousarray(values)


def _read_jpeg(data: bytes) -> JpegImagePlugin.JpegImageFile:
    try:
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    except Exception as error:  # Pillow raises what its parsers happen to raise
        raise StaleDataError(f"a thumbnail that cannot be read ({error})") from error


def _write_jpeg(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", optimize=True, **options)
    return out.getvalue()
