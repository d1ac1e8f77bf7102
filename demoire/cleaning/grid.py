"""How an image is cut into detector cells and restorer tiles, and how restored tiles go back
without a seam.

Cells are the grain of judgement: a fixed grid of 256 px, so an image's cells depend on its size
alone. A remainder below 64 px at the right and bottom belongs to the last cell instead of being
one: a sliver mirrored until it fills 256 px is periodic, and looks like moiré. Tiles are the grain
of work: flagged cells that touch are covered by rectangles, because every tile pays for its halo
(96 px around 512 px cost 1.9 times the core, around 1024 px 1.4).

Each rectangle's weight is its own area blurred by a box, so wherever the area around is covered the
weights sum to 1 by themselves, whatever the rectangles look like. Towards cells that are not
flagged the change fades to nothing inside the flagged cell; pixels of other cells are those of the
input, exactly.

Blending runs at about 60 MP/s a core.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.codecs.raster import Pixels
from demoire.moire import CELL

SLIVER = 64  # px; a remainder below this is no cell of its own
OVERLAP = 16  # px that neighbouring tiles share on each side of their common edge


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """Where this box lies in an array of `outer`."""
        top, left = self.top - outer.top, self.left - outer.left
        return slice(top, top + self.height), slice(left, left + self.width)

    def common(self, other: "Box") -> "Box | None":
        """What both boxes cover; None if nothing."""
        box = Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )
        return box if box.height > 0 and box.width > 0 else None

    def grown(self, by: int, height: int, width: int) -> "Box":
        """This box with a margin of `by` px, within an image of this size."""
        return Box(
            max(self.top - by, 0),
            max(self.left - by, 0),
            min(self.bottom + by, height),
            min(self.right + by, width),
        )


def _edges(size: int) -> tuple[int, ...]:
    count = max(1, -(-(size - SLIVER + 1) // CELL))
    return (*range(0, count * CELL, CELL), size)


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
        return self.shape[0] * self.shape[1]

    def box(self, cell: int) -> Box:
        row, column = divmod(cell, self.shape[1])
        return Box(
            self.rows[row], self.columns[column], self.rows[row + 1], self.columns[column + 1]
        )

    def mask(self, flagged: Iterable[int]) -> NDArray[np.bool_]:
        """(rows, columns), True for flagged cells."""
        mask = np.zeros(len(self), bool)
        mask[list(flagged)] = True
        return mask.reshape(self.shape)

    def view(self, pixels: Pixels, cell: int) -> NDArray[np.uint8]:
        """What the detector sees of a cell: (256, 256, 3) uint8.

        A smaller cell at the right or bottom is seen together with so much of its neighbour; only
        an image smaller than a cell is continued by reflection, since what is mirrored looks more
        like moiré than it is.
        """
        box = self.box(cell)
        top, left = (
            min(box.top, max(0, self.height - CELL)),
            min(box.left, max(0, self.width - CELL)),
        )
        return as_rgb8(reflect_to(pixels[top : top + CELL, left : left + CELL], CELL, CELL))


def as_rgb8(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W, 1 or 3) uint8 or uint16 -> (H, W, 3) uint8."""
    eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return eight if eight.shape[2] == 3 else np.repeat(eight, 3, axis=2)


def reflect_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """Continue (h, w, C) to (height, width, C) by reflection at the bottom and right, several times
    if need be.
    """
    short = (height - pixels.shape[0], width - pixels.shape[1])
    return (
        np.pad(pixels, ((0, short[0]), (0, short[1]), (0, 0)), mode="reflect")
        if any(short)
        else pixels
    )


@dataclass(frozen=True)
class Tile:
    """One piece of work for the restorer."""

    core: Box  # what this tile answers for: a rectangle of flagged cells
    # what the restorer sees: the core and its halo, within the image; starts on the restorer's grid
    window: Box
    # what of the result is used: the core and its share of the overlap, within the image
    reach: Box
    # (height, width) of the window continued by reflection to the restorer's multiple
    shape: tuple[int, int]

    def cut(self, pixels: Pixels) -> Pixels:
        """The restorer's input, (*shape, C) in the pixels' own type."""
        return reflect_to(pixels[self.window.slices], *self.shape)

    @property
    def used(self) -> tuple[slice, slice]:
        """Where `reach` lies in the window."""
        return self.reach.within(self.window)


def plan_tiles(
    grid: Grid, flagged: Iterable[int], *, side: int, halo: int, multiple: int
) -> tuple[Tile, ...]:
    """Tiles whose cores cover each flagged cell exactly once and no other cell.

    side: px that a core has at most on each side, at least one cell. halo: px. multiple: px,
    divides the cell.
    """
    if CELL % multiple:
        raise ValueError(f"a grid of {multiple} px does not fit cells of {CELL} px")
    halo = -(-max(halo, OVERLAP) // multiple) * multiple
    most = max(1, side // CELL)
    tiles = []
    for top, left, bottom, right in _rectangles(grid.mask(flagged), most):
        core = Box(grid.rows[top], grid.columns[left], grid.rows[bottom], grid.columns[right])
        window = core.grown(halo, grid.height, grid.width)
        shape = (-(-window.height // multiple) * multiple, -(-window.width // multiple) * multiple)
        tiles.append(Tile(core, window, core.grown(OVERLAP, grid.height, grid.width), shape))
    return tuple(tiles)


def _rectangles(mask: NDArray[np.bool_], most: int) -> list[tuple[int, int, int, int]]:
    """Cover the True cells by rectangles of at most `most` cells a side: (top, left, bottom,
    right), half open.

    Greedy, row by row: as far right as it goes, then as far down as the whole width goes.
    """
    left_over = mask.copy()
    found = []
    for top, left in np.argwhere(mask):
        if not left_over[top, left]:
            continue
        right = left + 1
        while right < mask.shape[1] and right - left < most and left_over[top, right]:
            right += 1
        bottom = top + 1
        while (
            bottom < mask.shape[0] and bottom - top < most and left_over[bottom, left:right].all()
        ):
            bottom += 1
        left_over[top:bottom, left:right] = False
        found.append((int(top), int(left), int(bottom), int(right)))
    return found
