"""The smaller versions of its picture that a TIFF file holds: pyramid levels and thumbnails.

They stand in sub-directories of the first page, or as pages of their own behind it, and say so by
the first bit of NewSubfileType. Beside other pixels they would still show the old ones, so they are
made anew with the picture. Camera raw files look the same from outside: a small RGB picture, and
the sensor's data in a sub-directory. Those are told apart here too.

References:
    Adobe, "TIFF Revision 6.0" (1992), section 8, NewSubfileType; "TIFF Technical Note 1" (1995),
    SubIFDs; Adobe, "Digital Negative Specification" 1.7, DNGVersion; ISO 12234-2 (TIFF/EP), colour
    filter arrays; Adobe, "Photoshop TIFF Technical Notes" (2002), ImageSourceData.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import tifffile

from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.codecs.tiff_layout import Layout
from demoire.imaging.codecs.tiff_tags import (
    DNG_VERSION,
    IMAGE_SOURCE_DATA,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    REDUCED,
    SUB_DIRECTORIES,
)

_SENSOR_DATA = (32803, 34892)  # PhotometricInterpretation: colour filter array, linear raw
_MOST_LEVELS = 32


def is_camera_raw(file: tifffile.TiffFile) -> bool:
    """Whether the file is a camera's raw data with a picture to look at in front."""
    try:
        first = _first(file)
        if DNG_VERSION in first.tags:
            return True
        pages = [first, *_sub_directories(first)]
        return any(page.tags.valueof(PHOTOMETRIC) in _SENSOR_DATA for page in pages)
    except Exception:  # damaged, or only its beginning: whoever decodes it will say what is wrong
        return False


def has_layers(file: tifffile.TiffFile) -> bool:
    """Whether Photoshop's layers are beside the picture: they hold its pixels once more."""
    return IMAGE_SOURCE_DATA in _first(file).tags


def levels(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages of a file that show its first page in small."""
    first = _first(file)
    candidates = list(_sub_directories(first))
    for number in range(1, _MOST_LEVELS):
        try:
            page = file.pages[number]
        except IndexError:
            break
        if isinstance(page, tifffile.TiffPage):
            candidates.append(page)
    return [page for page in candidates if _is_reduced(page)]


def reduced_to(pixels: Pixels, layout: Layout) -> Pixels:
    """A picture in the size of a level: (H, W, C) -> (h, w, C), each pixel the mean of its area."""
    small = cv2.resize(pixels, (layout.width, layout.height), interpolation=cv2.INTER_AREA)
    reduced: Pixels = np.atleast_3d(small)
    return reduced


def _first(file: tifffile.TiffFile) -> tifffile.TiffPage:
    page = file.pages.first
    assert isinstance(page, tifffile.TiffPage)
    return page


def _is_reduced(page: tifffile.TiffPage) -> bool:
    return bool(int(page.tags.valueof(NEW_SUBFILE_TYPE, 0)) & REDUCED)


def _sub_directories(page: tifffile.TiffPage) -> Iterator[tifffile.TiffPage]:
    if SUB_DIRECTORIES not in page.tags or page.pages is None:
        return
    for number in range(_MOST_LEVELS):
        try:
            sub = page.pages[number]
        except IndexError:
            return
        if isinstance(sub, tifffile.TiffPage):
            yield sub
