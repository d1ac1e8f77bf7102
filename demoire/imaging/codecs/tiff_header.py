"""The header of a TIFF file, read by Pillow for the facts and by tifffile for the structure.

tifffile reads the whole first directory whenever it opens a file. So it opens a file once, and the
header carries its view on to whoever decodes the pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tifffile
from PIL import TiffImagePlugin

from demoire.errors import ImageError
from demoire.file_bytes import FileBytes, stream_of
from demoire.imaging.codecs.pillow import PillowHeader, facts_of, open_view
from demoire.imaging.codecs.tiff_layout import (
    has_float_samples,
    has_foreign_coding,
    has_inks_and_alpha,
)
from demoire.imaging.codecs.tiff_levels import is_camera_raw
from demoire.imaging.codecs.tiff_reader import DamagedPagesError, TiffReader
from demoire.imaging.codecs.tiff_tags import BITS_PER_SAMPLE, HEIGHT, WIDTH
from demoire.imaging.facts import Format
from demoire.reasons import Reason

FORMAT: Format = "TIFF"

_MOST_PAGES = 1000
_BIG_ENDIAN_BIGTIFF = b"MM\0+"  # Pillow opens none


@dataclass(frozen=True)
class TiffHeader(PillowHeader):
    """Pillow's view of a file, and tifffile's.

    Attributes:
        structure: None where tifffile cannot read the bytes: damaged, or only a file's beginning.
    """

    structure: tifffile.TiffFile | None


def read_header(data: FileBytes) -> TiffHeader:
    """The header as Pillow reads it, with the size that the tags name."""
    if data.startswith(_BIG_ENDIAN_BIGTIFF):
        raise ImageError(
            Reason.MODE_NOT_CLEANED, "The image is a big-endian BigTIFF; it is copied as it is."
        )
    structure = _structure_of(data)
    if structure is not None and is_camera_raw(structure):
        raise ImageError(
            Reason.CAMERA_RAW, "The image is a camera's raw file; it is copied as it is."
        )
    try:
        with foreign_coding_told(structure):
            view = open_view(TiffImagePlugin.TiffImageFile, data)
    except SyntaxError as error:
        if has_float_samples(structure or open_structure(data)):
            raise ImageError(
                Reason.FLOAT_SAMPLES, "The image holds floats; it is copied as it is."
            ) from error
        if has_inks_and_alpha(structure or open_structure(data)):
            raise ImageError(
                Reason.MODE_NOT_CLEANED, "The image is CMYK with alpha; it is copied as it is."
            ) from error
        raise
    assert isinstance(view, TiffImagePlugin.TiffImageFile)
    tags = view.tag_v2
    # Pillow's own size is that of the picture turned upright.
    size = (int(tags[WIDTH]), int(tags[HEIGHT]))
    bits = int(tags.get(BITS_PER_SAMPLE, (1,))[0])
    pages = _count_pages(data)
    return TiffHeader(facts_of(view, FORMAT, size=size, bits=bits, pages=pages), view, structure)


def open_structure(data: FileBytes) -> tifffile.TiffFile:
    """tifffile's view of a file.

    Raises:
        Exception: Whatever tifffile raises for bad bytes.
    """
    return tifffile.TiffFile(stream_of(data))


@contextmanager
def structure_in(data: FileBytes) -> Iterator[tifffile.TiffFile]:
    """tifffile's view of a file, for the block.

    The parts of such a view refer to each other, so it would keep the file's bytes in memory until
    Python next looks for circles: 600 MB for a page of 200 MP. Here they go with the block.

    Raises:
        Exception: Whatever tifffile raises for bad bytes.
    """
    with stream_of(data) as stream, tifffile.TiffFile(stream) as file:
        yield file


@contextmanager
def foreign_coding_told(structure: tifffile.TiffFile | None) -> Iterator[None]:
    """Tell a sound file in a compression that is not known from a damaged one.

    Raises:
        ImageError: `mode_not_cleaned`, where the block raises and the compression is not one that
            is always decoded.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        if structure is None or not has_foreign_coding(structure):
            raise
        raise ImageError(
            Reason.MODE_NOT_CLEANED,
            "The image is in a compression that is not cleaned; it is copied as it is.",
        ) from error


def _count_pages(data: FileBytes) -> int:
    """Directories in the chain that are pages in their own right, a thousand at most.

    Smaller versions of another page are none. A chain that turns back on itself ends there. Where
    it cannot be followed to its end there are two pages at least: such a file must not be taken
    for one of a single page.
    """
    seen: set[int] = set()
    pages = 0
    try:
        with stream_of(data) as stream:
            reader = TiffReader(stream)
            at = reader.first_at
            while at and at not in seen and len(seen) < _MOST_PAGES:
                directory = reader.directory(at)
                if not seen or not reader.is_reduced(directory):
                    pages += 1
                seen.add(at)
                at = directory.next_at
    except DamagedPagesError:
        return max(2, pages + 1)
    return max(1, pages)


def _structure_of(data: FileBytes) -> tifffile.TiffFile | None:
    try:
        return open_structure(data)
    except Exception:  # damaged, or only its beginning: whoever decodes it will say what is wrong
        return None
