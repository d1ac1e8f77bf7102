"""Restored tiles put back into a picture without a seam.

Each tile's share is its own area blurred by a box, so wherever the area around is covered the
shares sum to 1 by themselves, whatever the rectangles look like. Towards cells that are not flagged
the change fades to nothing inside the flagged cell; pixels of other cells are those of the input,
exactly. Tiles of one window are parts of one restored picture, and no more than copied where they
meet. Some 600 MP/s a core.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import OVERLAP, Grid
from demoire.cleaning.windows import Tile
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.room import copy_of, is_large, let_go_behind, room_for

FEATHER = 24  # px over which the change fades in, inside a flagged cell

_STRIPE = 1 << 15  # px that are blended at a time, so that they stay in the cache

# px from other windows and cells that are not flagged, from which nothing of them counts
_EDGE = max(OVERLAP, FEATHER + 1)


def tile_shares(tile: Tile, box: Box) -> NDArray[np.float32]:
    """How much of each pixel's change comes from this tile, before the division by `coverage`.

    Args:
        tile: The tile.
        box: The pixels asked for, within the tile's reach.

    Returns:
        (h, w) over the box, 0..1.
    """
    down = _ramp(tile.core.top, tile.core.bottom, box.top, box.bottom)
    across = _ramp(tile.core.left, tile.core.right, box.left, box.right)
    shares: NDArray[np.float32] = np.outer(down, across)
    return shares


def _ramp(start: int, end: int, first: int, last: int) -> NDArray[np.float32]:
    """Blur the interval start..end by a box of 2 * OVERLAP px, and cut out the pixels first..last.

    For each pixel: the share of the box around it that lies in the interval, 0..1.
    """
    centres = np.arange(first, last, dtype=np.float32) + 0.5
    lower = np.maximum(centres - OVERLAP, start)
    upper = np.minimum(centres + OVERLAP, end)
    shares: NDArray[np.float32] = np.clip((upper - lower) / (2 * OVERLAP), 0, 1)
    return shares.astype(np.float32)


def coverage(grid: Grid, mask: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """Sum of all tiles' shares over a box: the flagged area blurred by the same box as each tile.

    Args:
        grid: The cells of the picture.
        mask: (rows, columns), True for flagged cells.
        box: The pixels asked for.

    Returns:
        (h, w) over the box, 0..1.
    """
    down = [_ramp(top, bottom, box.top, box.bottom) for top, bottom in pairwise(grid.rows)]
    across = [_ramp(left, right, box.left, box.right) for left, right in pairwise(grid.columns)]
    covered: NDArray[np.float32] = np.stack(down).T @ mask.astype(np.float32) @ np.stack(across)
    return covered


def fade(grid: Grid, mask: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """How much of the change counts: 0 in cells that are not flagged, 1 from FEATHER px inside.

    Args:
        grid: The cells of the picture.
        mask: (rows, columns), True for flagged cells.
        box: The pixels asked for.

    Returns:
        (h, w) over the box, 0..1.
    """
    around = box.grown(FEATHER + 1, grid.height, grid.width)
    row_of_pixel = np.searchsorted(grid.rows, np.arange(around.top, around.bottom), "right") - 1
    column_of_pixel = (
        np.searchsorted(grid.columns, np.arange(around.left, around.right), "right") - 1
    )
    rows = slice(row_of_pixel[0], row_of_pixel[-1] + 1)
    columns = slice(column_of_pixel[0], column_of_pixel[-1] + 1)
    if mask[rows, columns].all():
        return np.ones((box.height, box.width), np.float32)
    inside = mask[np.ix_(row_of_pixel, column_of_pixel)]
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_C, 3)
    faded: NDArray[np.float32] = np.minimum(distance / (FEATHER + 1), 1)
    return faded.astype(np.float32)[box.within(around)]


def blend(
    pixels: Pixels,
    grid: Grid,
    flagged: Iterable[int],
    tiles: Sequence[Tile],
    restored: Sequence[Pixels],
) -> Pixels:
    """Put restored tiles into a picture.

    Args:
        pixels: (H, W, C) uint8 or uint16; not written to.
        grid: The cells of the picture.
        flagged: The cells that are restored.
        tiles: Tiles whose cores cover the flagged cells.
        restored: The pixels of each tile over its reach, of the picture's type.

    Returns:
        New pixels of the same shape and type.
    """
    blending = Blending(pixels, grid, flagged, tiles)
    for index, of_tile in enumerate(restored):
        blending.add(index, of_tile)
    return blending.finished()


class Blending:
    """A restored picture in the making, which tiles are put into as they come.

    A tile's core is blended once all tiles that reach into it are there, and a tile is let go once
    nothing needs it any more. A large picture is blended as the tiles come, so that only those of a
    row or two are in memory; any other one at the end, beside the model.
    """

    def __init__(
        self, pixels: Pixels, grid: Grid, flagged: Iterable[int], tiles: Sequence[Tile]
    ) -> None:
        """Begin with the picture as it is; arguments as those of `blend`."""
        self._pixels = pixels
        self._grid = grid
        self._mask = grid.mask(flagged)
        self._tiles = tiles
        self._out: Pixels | None = None
        self._restored: dict[int, Pixels] = {}  # by tile
        self._came = 0
        # With a cell more on each side: beyond the picture there is more of the same.
        self._windows = np.pad(_windows_of_cells(grid, tiles), 1, mode="edge")
        self._reaching = _neighbours(grid, tiles)  # by tile: those that reach into its core
        self._missing = [len(reaching) for reaching in self._reaching]  # by core
        self._wanted = self._missing.copy()  # by tile: cores that will need it
        self._ready: list[int] = []  # cores

    @property
    def complete(self) -> bool:
        """Whether all tiles have come."""
        return self._came == len(self._tiles)

    def add(self, index: int, restored: Pixels) -> None:
        """Take the restored pixels of the tile of this index, over its reach."""
        self._restored[index] = restored
        self._came += 1
        for core in self._reaching[index]:
            self._missing[core] -= 1
            if not self._missing[core]:
                self._ready.append(core)
        if is_large(self._pixels):
            self._settle()

    def _settle(self) -> None:
        """Blend what can be blended, and let go of tiles that are not needed any more."""
        if self._out is None:
            self._out = self._begun()
        cores = [self._tiles[core].core for core in self._ready]
        walk = let_go_behind(cores, self._pixels, self._out)
        for core, _ in zip(self._ready, walk, strict=True):
            self._blend_core(core, self._out)
            for tile in self._reaching[core]:
                self._wanted[tile] -= 1
                if not self._wanted[tile]:
                    del self._restored[tile]
        self._ready.clear()

    def _begun(self) -> Pixels:
        """The picture before any change; where cores cover all of it there is nothing to copy."""
        if self._mask.all():
            return room_for(self._pixels.shape, self._pixels.dtype)
        return copy_of(self._pixels)

    def finished(self) -> Pixels:
        """The restored pixels, once all tiles have come."""
        self._settle()
        assert self.complete and self._out is not None
        return self._out

    def _blend_core(self, index: int, out: Pixels) -> None:
        core = self._tiles[index].core
        inside = self._inside(self._tiles[index])
        if inside is None:
            self._blend_edge(index, core, out)
            return
        for box in core.around(inside):
            self._blend_edge(index, box, out)
        reach = self._tiles[index].reach
        out[inside.slices] = self._restored[index][inside.within(reach)]

    def _inside(self, tile: Tile) -> Box | None:
        """The part of a core in which no other window has a share, and nothing fades."""
        core = tile.core
        rows, columns = _cells_in(self._grid, core)
        around = self._windows[rows.start : rows.stop + 2, columns.start : columns.stop + 2]
        own = around == tile.window  # the core's cells and one more on each side
        above = own[0, 1:-1].all()
        below = own[-1, 1:-1].all()
        # The edge above and the one below hold what reaches in from the corners, if they are there.
        left = own[1:-1, 0].all() and (own[0, 0] or not above) and (own[-1, 0] or not below)
        right = own[1:-1, -1].all() and (own[0, -1] or not above) and (own[-1, -1] or not below)
        inside = Box(
            core.top if above else core.top + _EDGE,
            core.left if left else core.left + _EDGE,
            core.bottom if below else core.bottom - _EDGE,
            core.right if right else core.right - _EDGE,
        )
        return inside if inside.height > 0 and inside.width > 0 else None

    def _blend_edge(self, index: int, box: Box, out: Pixels) -> None:
        """Blend a part of a core in which other tiles may have a share, or the change fades."""
        covered = coverage(self._grid, self._mask, box)
        scale = fade(self._grid, self._mask, box) / covered
        channels = self._pixels.shape[2]
        for stripe in in_stripes(box, _STRIPE):
            total = np.zeros((stripe.height, stripe.width, channels), np.float32)
            before = self._pixels[stripe.slices]
            for tile in self._reaching[index]:
                _add(total, before, stripe, self._tiles[tile], self._restored[tile])
            total *= _for_channels(scale[stripe.within(box)], channels)
            out[stripe.slices] = _rounded(total, before)


def _cells_in(grid: Grid, core: Box) -> tuple[slice, slice]:
    """The cells of a core."""
    rows = slice(bisect_left(grid.rows, core.top), bisect_left(grid.rows, core.bottom))
    columns = slice(bisect_left(grid.columns, core.left), bisect_left(grid.columns, core.right))
    return rows, columns


def _windows_of_cells(grid: Grid, tiles: Sequence[Tile]) -> NDArray[np.intp]:
    """The number of each cell's window, (rows, columns); -1 where it is in none."""
    windows = np.full(grid.shape, -1)
    for tile in tiles:
        windows[_cells_in(grid, tile.core)] = tile.window
    return windows


def _neighbours(grid: Grid, tiles: Sequence[Tile]) -> list[list[int]]:
    """For each tile those that reach into its core, itself among them, in ascending order.

    A reach is less than a cell beyond its core, so only tiles of neighbouring cells come into
    question.
    """
    owners = np.full(grid.shape, -1)
    for index, tile in enumerate(tiles):
        owners[_cells_in(grid, tile.core)] = index
    neighbours = []
    for tile in tiles:
        rows, columns = _cells_in(grid, tile.core)
        around = owners[
            max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1
        ]
        neighbours.append([int(index) for index in np.unique(around) if index >= 0])
    return neighbours


def _add(
    total: NDArray[np.float32], before: Pixels, stripe: Box, tile: Tile, restored: Pixels
) -> None:
    """Add a tile's share of the change to `total`, (h, w, C) over the stripe, as `before`."""
    common = stripe.common(tile.reach)
    if common is None:
        return
    old = before[common.within(stripe)]
    new = restored[common.within(tile.reach)]
    change = part_of_change(old, new, tile_shares(tile, common))
    total[common.within(stripe)] += change


def part_of_change(old: Pixels, new: Pixels, share: NDArray[np.float32]) -> NDArray[np.float32]:
    """A share (h, w) of what the new pixels differ by, (h, w, C), both in the pixels' unit."""
    change = np.asarray(cv2.subtract(_flat(new), _flat(old), dtype=cv2.CV_32F)).reshape(old.shape)
    change *= _for_channels(share, old.shape[2])
    return change


def _for_channels(factors: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """(h, w) -> (h, w, channels): numpy takes several times as long to multiply by (h, w, 1)."""
    merged: NDArray[np.float32] = cv2.merge([factors] * channels)
    return merged.reshape(*factors.shape, channels)


def _rounded(change: NDArray[np.float32], pixels: Pixels) -> Pixels:
    """The pixels with a change added, rounded half to even and kept in range."""
    height, width, channels = change.shape
    depth = cv2.CV_8U if pixels.dtype == np.uint8 else cv2.CV_16U
    rounded: Pixels = cv2.add(change.reshape(height, -1), _flat(pixels), dtype=depth)
    return rounded.reshape(height, width, channels)


def _flat(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels).reshape(len(pixels), -1)
