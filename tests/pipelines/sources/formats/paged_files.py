"""Small files of several pages."""

import io
from pathlib import Path

import numpy as np
import pikepdf
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of
from tests.pipelines.conftest import SIDE, draw


def pixels_of(is_striped: bool, seed: int) -> NDArray:
    return np.asarray(Image.open(io.BytesIO(draw(is_striped, seed, form="PNG"))))


def write_pages(path: Path, striped: str = "ypyb") -> bytes:
    """A TIFF of a page a letter: striped (y), plain (p) or bilevel (b)."""
    with tifffile.TiffWriter(path) as writer:
        for number, letter in enumerate(striped):
            pixels = pixels_of(letter == "y", number)
            if letter == "b":
                writer.write(pixels[:, :, 0] > 128, photometric="minisblack", metadata=None)
            else:
                writer.write(pixels, photometric="rgb", metadata=None, compression="zlib")
    return path.read_bytes()


def write_scan(path: Path, striped: str = "yp") -> bytes:
    """A PDF of a page a letter: striped (y) or plain (p)."""
    with pikepdf.new() as pdf:
        for number, letter in enumerate(striped):
            add_page(pdf, jpeg_picture_of(pdf, draw(letter == "y", number), side=SIDE))
        pdf.save(path)
    return path.read_bytes()


def changed_pages(before: bytes, after: bytes) -> list[int]:
    """The pages of a TIFF, from 1, whose pixels differ."""
    changed = []
    with (
        tifffile.TiffFile(io.BytesIO(before)) as old,
        tifffile.TiffFile(io.BytesIO(after)) as new,
    ):
        for number, (one, other) in enumerate(zip(old.pages, new.pages, strict=True), start=1):
            if not np.array_equal(one.asarray(), other.asarray()):
                changed.append(number)
    return changed
