"""Type on plain paper stays as it was, beside a picture that is cleaned.

The detector judges cells of 256 px, and a cell may hold half a printed picture and half a column of
text; some cells of nothing but small type look to it somewhat like moiré. The restorer then changes
letters a little for nothing. Moiré multiplies light, so it shows most where a page is brightest:
where the paper around letters carries no pattern, the letters carry none either. There the change
is dropped, pixel by pixel, if it is small on the letters too.

Paper is what is about as light as the lightest within 16 px. Of windows of 48 px that are mostly
paper, the mean change over the paper decides. On drawn pages it is 0.8 to 1.7 of 255 where a scan
is only smoothed, up to 4 where it is a noisy one, and from 1.5 (hardly visible) to 40 where there
are dots. So in cells that the detector is not sure of more has to be seen before it counts.
Highlights that are clipped to white show no pattern, whatever lies beside them: hence the bound on
the change beside them.

Where the paper does carry a pattern, strokes keep their tone (`demoire.cleaning.strokes`).

About 23 ms a megapixel, less where nothing was changed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.strokes import kept_beside_strokes
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels, as_8_bit

_BLOCK = 16  # px; the statistics are taken in these, and smoothed over three by three of them
_NEAR = 33  # px, side of the square whose lightest pixel is taken for paper
_SHADE = 24  # of 255, by which paper may be darker than that
_LIGHT = 128  # of 255; what is darker is no paper, but a printed surface
_LEAST_PAPER = 0.45  # share of a window that must be paper; bold, dense type leaves 0.6
_FADING = 1.3  # times the bound over the paper, from which all of a change is kept

_BAND = 512  # rows that are looked at together, a multiple of _BLOCK
_AROUND = 64  # rows above and below a band that its statistics reach to, likewise


@dataclass(frozen=True)
class _Bounds:
    """Mean changes, of 255, up to which they are taken for none."""

    on_paper: float
    on_ink: float  # of what is no paper


# Letters are changed by up to 7 of 255 where nothing but noise is taken from the paper.
_IN_CERTAIN_CELLS = _Bounds(on_paper=1.75, on_ink=8.0)
_IN_OTHER_CELLS = _Bounds(on_paper=4.0, on_ink=12.0)


def leave_lettering_alone(
    before: Pixels, after: Pixels, grid: Grid, certain: NDArray[np.bool_]
) -> None:
    """Take back the change of type on plain paper, and that of strokes on any paper.

    Args:
        before: (H, W, C) uint8 or uint16.
        after: The same pixels, restored; written to.
        grid: The cells of the picture.
        certain: (rows, columns), True for cells that surely have moiré.
    """
    height, width, channels = before.shape
    # Rows of `after` as they were before the band above was settled.
    above = np.zeros((0, width, channels), before.dtype)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        first = top - len(above)
        last = min(bottom + _AROUND, height)
        new = np.concatenate([above, after[top:last]])
        above = new[bottom - first - _AROUND : bottom - first].copy()
        is_certain = _of_blocks(certain, grid, Box(first, 0, last, width))
        kept = _share_to_keep(before[first:last], new, is_certain)
        if kept is not None:
            _keep(kept[top - first : bottom - first], before[top:bottom], after[top:bottom])


def _of_blocks(certain: NDArray[np.bool_], grid: Grid, box: Box) -> NDArray[np.bool_]:
    """What holds of cells, (rows, columns), for each block of a box, by its first pixel."""
    down = np.arange(box.top, box.bottom, _BLOCK)
    across = np.arange(box.left, box.right, _BLOCK)
    rows = np.searchsorted(grid.rows, down, "right") - 1
    columns = np.searchsorted(grid.columns, across, "right") - 1
    of_blocks: NDArray[np.bool_] = certain[np.ix_(rows, columns)]
    return of_blocks


def _share_to_keep(
    before: Pixels, after: Pixels, is_certain: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """How much of each pixel's change is kept, (h, w) 0..1; None for all of it."""
    old = as_8_bit(before)
    new = as_8_bit(after)
    change = _largest_channel(cv2.absdiff(old, new))
    if not change.any():
        return None
    light = _lightness(old)
    on_plain_paper = _kept_on_plain_paper(change, light, is_certain)
    beside_strokes = kept_beside_strokes(light, _lightness(new))
    if on_plain_paper is None:
        return beside_strokes
    if beside_strokes is None:
        return on_plain_paper
    return np.minimum(on_plain_paper, beside_strokes)


def _kept_on_plain_paper(
    change: NDArray[np.uint8], light: NDArray[np.uint8], is_certain: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """How much is kept of a change (h, w), 0..1, of pixels of this lightness; None for all."""
    lightest = cv2.dilate(cv2.blur(light, (3, 3)), np.ones((_NEAR, _NEAR), np.uint8))
    is_paper = (cv2.subtract(lightest, light) <= _SHADE) & (lightest >= _LIGHT)
    paper = is_paper.astype(np.float32)
    strength = change.astype(np.float32)
    share = _block_means(paper)
    on_paper = _block_means(strength * paper)
    on_ink = _block_means(strength) - on_paper
    on_paper /= np.maximum(share, 1e-3)
    on_ink /= np.maximum(1 - share, 1e-3)
    least = np.where(is_certain, _IN_CERTAIN_CELLS.on_paper, _IN_OTHER_CELLS.on_paper)
    most = np.where(is_certain, _IN_CERTAIN_CELLS.on_ink, _IN_OTHER_CELLS.on_ink)
    kept = np.clip((on_paper / least - 1) / (_FADING - 1), 0, 1).astype(np.float32)
    kept[(share < _LEAST_PAPER) | (on_ink > most)] = 1
    if kept.min() == 1:
        return None
    rows, columns = kept.shape
    smooth = cv2.resize(kept, (columns * _BLOCK, rows * _BLOCK), interpolation=cv2.INTER_LINEAR)
    height, width = light.shape
    share_to_keep: NDArray[np.float32] = smooth[:height, :width]
    return share_to_keep


def _keep(share: NDArray[np.float32], before: Pixels, after: Pixels) -> None:
    """Leave a share of the change in `after`; share (h, w) 0..1."""
    change = after.astype(np.float32)
    change -= before
    change *= share[..., None]
    change += before
    after[:] = np.rint(change)


def _block_means(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) -> (blocks, blocks): the mean of each block and its neighbours."""
    height, width = plane.shape
    below = -height % _BLOCK
    beside = -width % _BLOCK
    whole = cv2.copyMakeBorder(plane, 0, below, 0, beside, cv2.BORDER_REFLECT)
    size = (whole.shape[1] // _BLOCK, whole.shape[0] // _BLOCK)
    means = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    smooth: NDArray[np.float32] = cv2.blur(means, (3, 3))
    return smooth


def _lightness(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, C) -> (h, w)."""
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    return np.asarray(cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2GRAY))


def _largest_channel(change: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, C) -> (h, w); OpenCV drops a single channel."""
    planes = cv2.split(change)
    largest = planes[0]
    for plane in planes[1:]:
        largest = cv2.max(largest, plane)
    return np.asarray(largest)
