"""Crops of pictures before and after cleaning, in their own pixels.

Moiré must be seen 1:1: any scaling makes it or hides it. So a crop is as large as a page can show,
and is taken where the two pictures differ most.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.file_bytes import FileBytes
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.rgb import decode_rgb
from demoire.imaging.room import let_go_behind

SIDE = 288  # px, of a crop

_QUALITY = 88
_COMPARED = 1 << 18  # px at a time
_GRAIN = 8  # px; the grid on which the part that changed most is sought


def preview_pair(before: FileBytes, after: FileBytes) -> tuple[bytes, bytes]:
    """Cut the same crop out of an image before and after cleaning.

    Costs about 30 ms a megapixel, most of it for decoding.

    Args:
        before: An encoded image of any format that is cleaned.
        after: Another of the same size.

    Returns:
        Two JPEGs of at most 288 x 288 px, around the part that changed most.

    Raises:
        ImageError: One of them cannot be decoded.
        ValueError: The sizes differ.
    """
    pixels_before = decode_rgb(before)
    pixels_after = decode_rgb(after)
    if pixels_before.shape != pixels_after.shape:
        raise ValueError(
            f"the images are of different sizes: {pixels_before.shape} and {pixels_after.shape}"
        )
    rows, columns = most_changed(pixels_before, pixels_after)
    return jpeg(pixels_before[rows, columns]), jpeg(pixels_after[rows, columns])


def most_changed(
    one: NDArray[np.uint8], other: NDArray[np.uint8], side: int = SIDE
) -> tuple[slice, slice]:
    """Find the square in which two pictures differ most, by the sum of absolute differences.

    Args:
        one: (H, W, 3).
        other: (H, W, 3).
        side: Side of the square in px. It is cut down to the picture's own sides.

    Returns:
        Its rows and columns.
    """
    height, width = one.shape[:2]
    crop_height = min(side, height)
    crop_width = min(side, width)
    grid = _differences(one, other)
    window = (max(1, crop_width // _GRAIN), max(1, crop_height // _GRAIN))
    sums = cv2.boxFilter(grid, -1, window, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    # Windows that reach over the edge would count what is not there.
    sums = sums[: grid.shape[0] - window[1] + 1, : grid.shape[1] - window[0] + 1]
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    top = min(int(row) * _GRAIN, height - crop_height)
    left = min(int(column) * _GRAIN, width - crop_width)
    return slice(top, top + crop_height), slice(left, left + crop_width)


def _differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much two pictures differ, in squares of `_GRAIN` px: (H // _GRAIN, W // _GRAIN)."""
    height, width = one.shape[:2]
    picture = Box(0, 0, height, width)
    grid = np.zeros((max(1, height // _GRAIN), max(1, width // _GRAIN)), np.float32)
    stripes = in_stripes(Box(0, 0, *grid.shape), _COMPARED // _GRAIN**2, columns=grid.shape[1])
    for stripe in let_go_behind(stripes, one, other):
        here = stripe.scaled(up=_GRAIN).common(picture)
        assert here is not None
        difference = cv2.absdiff(one[here.slices], other[here.slices])
        sums = difference.sum(axis=2, dtype=np.float32)
        size = (stripe.width, stripe.height)
        grid[stripe.slices] = cv2.resize(sums, size, interpolation=cv2.INTER_AREA)
    return grid


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) sRGB as a JPEG whose colour is not subsampled: moiré is colour."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    bgr = np.ascontiguousarray(picture[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, options)
    assert done
    return data.tobytes()
