"""Changed tiles put back into a picture without a seam."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import OVERLAP, Box, Grid, Tile
from demoire.imaging.codecs.raster import Pixels

FEATHER = 24  # px over which the change fades in, inside a flagged cell


_STRIPE = 32  # rows that are blended at a time, so that they stay in the cache


def weights(tile: Tile, box: Box) -> NDArray[np.float32]:
    """This tile's weight over a box within its reach, (h, w) 0..1, before the division by
    `coverage`.
    """
    down = _ramp(tile.core.top, tile.core.bottom, box.top, box.bottom)
    return np.outer(down, _ramp(tile.core.left, tile.core.right, box.left, box.right))


def _ramp(start: int, end: int, first: int, last: int) -> NDArray[np.float32]:
    """Of each pixel first..last the share of a box of 2 * OVERLAP px around it that lies in
    start..end.
    """
    centres = np.arange(first, last, dtype=np.float32) + 0.5
    return np.clip(
        (np.minimum(centres + OVERLAP, end) - np.maximum(centres - OVERLAP, start)) / (2 * OVERLAP),
        0,
        1,
    ).astype(np.float32)


def coverage(grid: Grid, mask: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """Sum of all tiles' weights over `box`, (h, w): the flagged area blurred by the same box."""
    down = np.stack(
        [_ramp(a, b, box.top, box.bottom) for a, b in zip(grid.rows, grid.rows[1:], strict=False)]
    )
    across = np.stack(
        [
            _ramp(a, b, box.left, box.right)
            for a, b in zip(grid.columns, grid.columns[1:], strict=False)
        ]
    )
    return down.T @ mask.astype(np.float32) @ across


def fade(grid: Grid, mask: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """How much of the change counts over `box`, (h, w): 0 in cells that are not flagged, 1 from
    FEATHER px inside.
    """
    around = box.grown(FEATHER + 1, grid.height, grid.width)
    rows = np.searchsorted(grid.rows, np.arange(around.top, around.bottom), side="right") - 1
    columns = np.searchsorted(grid.columns, np.arange(around.left, around.right), side="right") - 1
    inside = mask[np.ix_(rows, columns)]
    if inside.all():
        return np.ones((box.height, box.width), np.float32)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_C, 3)
    faded = np.minimum(distance / (FEATHER + 1), 1).astype(np.float32)
    return faded[box.within(around)]


def blend(
    pixels: Pixels,
    grid: Grid,
    flagged: Iterable[int],
    tiles: Sequence[Tile],
    changes: Sequence[NDArray],
) -> Pixels:
    """The pixels with the restored tiles' changes added.

    changes: for each tile what the restorer adds over the tile's `reach`, (h, w, C) float in units
    of full scale, such as -0.5 for half of white less. Returns new pixels of the same shape and
    type.
    """
    mask = grid.mask(flagged)
    full = float(np.iinfo(pixels.dtype).max)
    out = pixels.copy()
    for core in (tile.core for tile in tiles):
        meeting = [pair for pair in zip(tiles, changes, strict=True) if core.common(pair[0].reach)]
        share = full * fade(grid, mask, core) / coverage(grid, mask, core)
        for top in range(core.top, core.bottom, _STRIPE):
            stripe = Box(top, core.left, min(top + _STRIPE, core.bottom), core.right)
            total = np.zeros((stripe.height, stripe.width, pixels.shape[2]), np.float32)
            for tile, change in meeting:
                _add(total, stripe, tile, change)
            total *= share[stripe.within(core)][:, :, None]
            total += pixels[stripe.slices]
            np.clip(np.rint(total, out=total), 0, full, out=total)
            out[stripe.slices] = total
    return out


def _add(total: NDArray[np.float32], stripe: Box, tile: Tile, change: NDArray) -> None:
    """Add a tile's weighted change, (h, w, C) over its reach, to the sum over a stripe."""
    meet = stripe.common(tile.reach)
    if meet is None:
        return
    part = change[meet.within(tile.reach)].astype(np.float32)
    part *= weights(tile, meet)[:, :, None]
    total[meet.within(stripe)] += part
