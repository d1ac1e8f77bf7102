"""How an image is cut into detector cells.

Cells are the grain of judgement: a fixed grid of 256 px, so an image's cells depend on its size
alone. A remainder below 64 px at the right and bottom is no cell of its own but belongs to the last
one: a sliver mirrored until it fills 256 px is periodic, and looks like moiré.

What the restorer gets is made of whole cells (`demoire.cleaning.windows`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels, as_rgb8
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
