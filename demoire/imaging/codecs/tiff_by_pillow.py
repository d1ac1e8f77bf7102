"""Pages of TIFF files that are only looked at, decoded by Pillow: palettes, faxes and other modes.

libtiff, which Pillow decodes with, fills up the rows that a fax lacks. So each strip of a fax is
looked at here, as far as `fax` can tell; tiles are not.
"""

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from demoire.file_bytes import FileBytes
from demoire.imaging.codecs.fax import group_3_is_cut_short, group_4_is_cut_short
from demoire.imaging.codecs.pillow import PillowHeader
from demoire.imaging.codecs.pillow_pixels import only_to_look_at
from demoire.imaging.codecs.raster import CutShortError, Raster
from demoire.imaging.codecs.tiff_layout import GROUP_3, GROUP_4
from demoire.imaging.codecs.tiff_tags import ORIENTATION

_UPRIGHT = 1
# How Pillow turns a picture upright when it loads it is undone, by orientation.
_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_WHITE_IS_ZERO = 0  # PhotometricInterpretation
_LEAST_BIT_FIRST = 2  # FillOrder


def decode_by_pillow(data: FileBytes, header: PillowHeader, page: tifffile.TiffPage) -> Raster:
    """The pixels of the first page in 8 bits, as they are stored.

    Args:
        data: The whole file.
        header: Its header.
        page: Its first page.

    Raises:
        CutShortError: It is a fax in which rows are missing.
        Exception: Whatever Pillow raises for bad bytes.
    """
    view = header.view
    assert isinstance(view, TiffImagePlugin.TiffImageFile)
    orientation = view.tag_v2.get(ORIENTATION, _UPRIGHT)  # which loading drops
    view.load()
    is_turned = orientation in _TURNED_BACK
    stored = view.transpose(_TURNED_BACK[orientation]) if is_turned else view
    raster = only_to_look_at(stored)
    if page.compression in (GROUP_3, GROUP_4) and not page.is_tiled:
        is_white = raster.pixels[:, :, 0] > 0
        _check_strips(data, page, ~is_white if page.photometric == _WHITE_IS_ZERO else is_white)
    return raster


def _check_strips(data: FileBytes, page: tifffile.TiffPage, is_black: NDArray[np.bool_]) -> None:
    """Raise CutShortError where a strip has fewer rows than it should.

    Args:
        data: The whole file.
        page: A fax.
        is_black: (H, W), what it was decoded to: black as the coding has it.
    """
    tops = range(0, len(is_black), page.rowsperstrip)
    for first, offset, size in zip(tops, page.dataoffsets, page.databytecounts, strict=False):
        rows = is_black[first : first + page.rowsperstrip]
        packed = data[offset : offset + size]
        if page.compression == GROUP_4:
            # libtiff leaves the rows of the strip before where it has no others.
            last = first + len(rows) - 1
            before = is_black[last - page.rowsperstrip] if first else None
            is_cut_short = group_4_is_cut_short(packed, rows, before)
        else:
            is_least_first = page.fillorder == _LEAST_BIT_FIRST
            is_cut_short = group_3_is_cut_short(packed, len(rows), least_bit_first=is_least_first)
        if is_cut_short:
            raise CutShortError("rows of a fax are missing")
