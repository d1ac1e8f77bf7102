"""How an image is cut into detector cells and restorer tiles.

Cells are the grain of judgement: a fixed grid of 256 px, so an image's cells depend on its size
alone. A remainder below 64 px at the right and bottom is no cell of its own but belongs to the last
one: a sliver mirrored until it fills 256 px is periodic, and looks like moiré.

Tiles are the grain of work: flagged cells that touch are covered by rectangles, because every tile
pays for its halo (96 px around 512 px cost 1.9 times the core, around 1024 px 1.4).
`demoire.cleaning.blend` puts them back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels
from demoire.moire import CELL

SLIVER = 64  # px; a remainder below this is no cell of its own
OVERLAP = 16  # px that neighbouring tiles share on each side of their common edge


def _edges(size: int) -> tuple[int, ...]:
    """Where cells begin along a side of `size` px, and where the last one ends."""
    # A cell begins at each multiple of CELL from which at least SLIVER px are left.
    last_start = size - SLIVER
    starts = range(0, last_start + 1, CELL) or range(1)
    return (*starts, size)


@dataclass(frozen=True)
class Grid:
    """The detector cells of an image of `height` x `width` px, numbered row by row."""

    height: int
    width: int

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Edges of the rows of cells, px; one more than there are rows."""
        return _edges(self.height)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Edges of the columns of cells, px."""
        return _edges(self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells."""
        return len(self.rows) - 1, len(self.columns) - 1

    def __len__(self) -> int:
        rows, columns = self.shape
        return rows * columns

    def box(self, cell: int) -> Box:
        """The pixels of a cell."""
        row, column = divmod(cell, self.shape[1])
        return self.box_of_cells(row, column, row + 1, column + 1)

    def box_of_cells(self, top: int, left: int, bottom: int, right: int) -> Box:
        """The pixels of a rectangle of cells: rows top..bottom, columns left..right, half open."""
        return Box(self.rows[top], self.columns[left], self.rows[bottom], self.columns[right])

    def mask(self, flagged: Iterable[int]) -> NDArray[np.bool_]:
        """(rows, columns), True for flagged cells."""
        mask = np.zeros(len(self), bool)
        mask[list(flagged)] = True
        return mask.reshape(self.shape)

    def view(self, pixels: Pixels, cell: int) -> NDArray[np.uint8]:
        """What the detector sees of a cell.

        A cell at the right or bottom may be smaller than 256 px; it is filled up by its neighbour's
        pixels. Only an image smaller than a cell is continued by reflection, because mirrored
        pixels look more like moiré than they are.

        Args:
            pixels: The picture's, (H, W, 1 or 3) uint8 or uint16.
            cell: The cell's number.

        Returns:
            (256, 256, 3) uint8.
        """
        box = self.box(cell)
        top = min(box.top, max(0, self.height - CELL))
        left = min(box.left, max(0, self.width - CELL))
        return as_rgb8(reflect_to(pixels[top : top + CELL, left : left + CELL], CELL, CELL))


def as_rgb8(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W, 1 or 3) uint8 or uint16 -> (H, W, 3) uint8."""
    if pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return pixels


def reflect_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """Continue (h, w, C) to (height, width, C) by reflection at the bottom and right.

    It is reflected several times where the picture is smaller than what is missing.
    """
    below = height - pixels.shape[0]
    beside = width - pixels.shape[1]
    if below == 0 and beside == 0:
        return pixels
    # OpenCV drops a single channel, and takes a third of numpy's time.
    continued = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REFLECT_101)
    return np.asarray(continued).reshape(height, width, pixels.shape[2])


@dataclass(frozen=True)
class Tile:
    """One piece of work for the restorer.

    Attributes:
        core: What this tile answers for: a rectangle of flagged cells.
        window: What the restorer sees: the core and its halo, within the image. It starts on the
            restorer's own grid.
        reach: What of the result is used: the core and its share of the overlap, within the image.
        shape: (height, width) of the window, continued by reflection to the restorer's multiple.
    """

    core: Box
    window: Box
    reach: Box
    shape: tuple[int, int]

    def cut(self, pixels: Pixels) -> Pixels:
        """The restorer's input, (*shape, C) in the pixels' own type."""
        return reflect_to(pixels[self.window.slices], *self.shape)

    @property
    def used(self) -> tuple[slice, slice]:
        """What cuts the reach out of the window."""
        return self.reach.within(self.window)


def plan_tiles(
    grid: Grid, flagged: Iterable[int], *, side: int, halo: int, multiple: int
) -> tuple[Tile, ...]:
    """Tiles whose cores cover each flagged cell exactly once and no other cell.

    Args:
        grid: The cells of the picture.
        flagged: The cells to be restored.
        side: px that a core has at most on each side; one cell at least.
        halo: px around a core that the restorer has to see.
        multiple: px that sides of the restorer's input are a multiple of; divides the cell.

    Raises:
        ValueError: The cell is no multiple of `multiple`.
    """
    if CELL % multiple:
        raise ValueError(f"a grid of {multiple} px does not fit cells of {CELL} px")
    halo = _rounded_up(max(halo, OVERLAP), multiple)
    cells_a_side = max(1, side // CELL)
    tiles = []
    for rectangle in _rectangles(grid.mask(flagged), cells_a_side):
        core = grid.box_of_cells(*rectangle)
        window = core.grown(halo, grid.height, grid.width)
        reach = core.grown(OVERLAP, grid.height, grid.width)
        shape = (_rounded_up(window.height, multiple), _rounded_up(window.width, multiple))
        tiles.append(Tile(core, window, reach, shape))
    return tuple(tiles)


def _rounded_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _rectangles(mask: NDArray[np.bool_], most: int) -> list[tuple[int, int, int, int]]:
    """Cover the True cells by rectangles of at most `most` cells a side, each cell once.

    Greedy, row by row: from the first cell that is left over as far right as it goes, then as far
    down as the whole width goes.

    Returns:
        (top, left, bottom, right) of each rectangle, in cells, half open.
    """
    rows, columns = mask.shape
    left_over = mask.copy()
    rectangles = []
    for top, left in np.argwhere(mask).tolist():
        if not left_over[top, left]:
            continue
        rightmost = min(left + most, columns)
        right = left + 1
        while right < rightmost and left_over[top, right]:
            right += 1
        lowest = min(top + most, rows)
        bottom = top + 1
        while bottom < lowest and left_over[bottom, left:right].all():
            bottom += 1
        left_over[top:bottom, left:right] = False
        rectangles.append((top, left, bottom, right))
    return rectangles
