"""What the restorer gets to see: flagged cells in tiles, and tiles in windows.

Tiles are the grain of what is checked and put back: rectangles of flagged cells
(`demoire.cleaning.blend` joins them). Windows are what goes through the network, and every window
pays for its halo: pixels around its tiles that the network has to see, and whose result is thrown
away. So a window holds as many tiles as the restorer's memory allows. A picture that fits into a
single one is one; where few of its cells are flagged, it is cut down to what they need. There is no
halo beyond the edges of the picture.

Pixels through the network for each pixel of a picture that is restored all over, with a halo of
192 px and windows of 7.2 MP as the default restorer has them: 1.01 to 1.03 up to 7 MP, 1.10 at
12 MP, 1.24 at 24 MP, 1.29 at 98 MP, 1.55 at 200 MP.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import OVERLAP, Grid, reflect_to
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels
from demoire.moire import CELL

# A page of more pixels takes much memory by itself, and has smaller windows.
_LARGE_PAGE = 100_000_000
_SHARE_ON_LARGE_PAGE = 0.5


@dataclass(frozen=True)
class Tile:
    """A rectangle of flagged cells.

    Attributes:
        number: Its place among the picture's tiles.
        window: Number of the window that it is in. What the restorer makes of tiles of one window
            is the same where they overlap.
        core: What the tile answers for.
        reach: What of the result is used: the core and its share of the overlap, within the image.
    """

    number: int
    window: int
    core: Box
    reach: Box


@dataclass(frozen=True)
class Window:
    """One piece of work for the restorer.

    Attributes:
        box: What the restorer sees: the tiles and a halo, within the image. It starts on the
            restorer's own grid.
        shape: (height, width) of the box, continued by reflection to the restorer's multiple.
        tiles: The tiles in it.
    """

    box: Box
    shape: tuple[int, int]
    tiles: tuple[Tile, ...]

    def cut(self, pixels: Pixels) -> Pixels:
        """The restorer's input, (*shape, C) in the pixels' own type."""
        return reflect_to(pixels[self.box.slices], *self.shape)


def plan_windows(
    grid: Grid,
    flagged: Iterable[int],
    *,
    side: int,
    halo: int,
    multiple: int,
    most: int,
) -> tuple[Window, ...]:
    """Windows whose tiles cover each flagged cell exactly once and no other cell.

    Args:
        grid: The cells of the picture.
        flagged: The cells to be restored.
        side: px that a tile's core has at most on each side; one cell at least.
        halo: px around a tile that the restorer has to see.
        multiple: px that sides of the restorer's input are a multiple of; divides the cell.
        most: Pixels that a window may have, on a page above 100 MP half of that; one that holds a
            single cell may have more.

    Returns:
        The windows from top to bottom. Their tiles are numbered in this order.

    Raises:
        ValueError: The cell is no multiple of `multiple`.
    """
    if CELL % multiple:
        raise ValueError(f"a grid of {multiple} px does not fit cells of {CELL} px")
    if grid.height * grid.width > _LARGE_PAGE:
        most = int(_SHARE_ON_LARGE_PAGE * most)
    frame = _Frame(grid, _rounded_up(max(halo, OVERLAP), multiple), multiple, most)
    mask = grid.mask(flagged)
    groups: list[_Group] = []
    for block in _blocks(frame):
        cores = _rectangles(grid, mask, block, max(1, side // CELL))
        groups += _groups_of_block(frame, cores)
    groups = _joined(frame, groups)
    groups.sort(key=lambda group: (group.bounds.top, group.bounds.left))
    windows: list[Window] = []
    count = 0
    for number, group in enumerate(groups):
        tiles = []
        for core in group.cores:
            reach = core.grown(OVERLAP, grid.height, grid.width)
            tiles.append(Tile(count, number, core, reach))
            count += 1
        windows.append(Window(frame.box(group.bounds), frame.shape(group.bounds), tuple(tiles)))
    return tuple(windows)


def tiles_of(windows: Iterable[Window]) -> tuple[Tile, ...]:
    """All tiles, by their numbers."""
    tiles: list[Tile] = []
    for window in windows:
        tiles += window.tiles
    return tuple(tiles)


@dataclass(frozen=True)
class _Frame:
    """What decides how large the window around a rectangle is."""

    grid: Grid
    halo: int  # px, on the restorer's grid
    multiple: int  # px
    most: int  # pixels of a window

    def box(self, core: Box) -> Box:
        return core.grown(self.halo, self.grid.height, self.grid.width)

    def shape(self, core: Box) -> tuple[int, int]:
        box = self.box(core)
        return _rounded_up(box.height, self.multiple), _rounded_up(box.width, self.multiple)

    def pixels(self, core: Box) -> int:
        height, width = self.shape(core)
        return height * width

    def lengths(self, edges: Sequence[int], parts: int) -> list[int]:
        """Sides of the windows where the cells between these edges go into `parts` windows."""
        lengths = []
        for first, last in pairwise(_evenly(len(edges) - 1, parts)):
            start = max(edges[first] - self.halo, 0)
            end = min(edges[last] + self.halo, edges[-1])
            lengths.append(_rounded_up(end - start, self.multiple))
        return lengths


@dataclass(frozen=True)
class _Group:
    """Tiles' cores that share a window, and the rectangle around them."""

    bounds: Box
    cores: tuple[Box, ...]


def _groups_of_block(frame: _Frame, cores: Sequence[Box]) -> list[_Group]:
    """Groups of the cores of one block: all in one, if several have no fewer pixels together."""
    groups = _joined(frame, [_Group(core, (core,)) for core in cores])
    if len(groups) < 2:
        return groups
    bounds = cores[0]
    for core in cores[1:]:
        bounds = bounds.around_both(core)
    apart = sum(frame.pixels(group.bounds) for group in groups)
    if apart < frame.pixels(bounds):
        return groups
    return [_Group(bounds, tuple(cores))]


def _joined(frame: _Frame, groups: list[_Group]) -> list[_Group]:
    """Join groups whose common window is allowed, and has no more pixels than both of theirs.

    Each goes to the group where that adds least; again and again, until nothing is joined.
    """
    while True:
        joined: list[_Group] = []
        for group in groups:
            _put(frame, joined, group)
        if len(joined) == len(groups):
            return joined
        groups = joined


def _put(frame: _Frame, groups: list[_Group], group: _Group) -> None:
    """Join a group to the one among others that it adds least to, or add it to them."""
    best = None
    least_added = frame.pixels(group.bounds)
    for number, other in enumerate(groups):
        pixels = frame.pixels(other.bounds.around_both(group.bounds))
        added = pixels - frame.pixels(other.bounds)
        if pixels <= frame.most and added <= least_added:
            best = number
            least_added = added
    if best is None:
        groups.append(group)
        return
    other = groups[best]
    bounds = other.bounds.around_both(group.bounds)
    groups[best] = _Group(bounds, other.cores + group.cores)


def _blocks(frame: _Frame) -> list[tuple[int, int, int, int]]:
    """Blocks of cells of about equal size, of which each has an allowed window.

    Among all even divisions, the one whose windows have the fewest pixels together.

    Returns:
        (top, left, bottom, right) of each block, in cells, half open.
    """
    grid = frame.grid
    rows, columns = grid.shape
    widths = [frame.lengths(grid.columns, across + 1) for across in range(columns)]
    best = (rows, columns)
    fewest = None
    for down in range(1, rows + 1):
        heights = frame.lengths(grid.rows, down)
        for across, of_columns in enumerate(widths, start=1):
            if max(heights) * max(of_columns) > frame.most:
                continue
            pixels = sum(heights) * sum(of_columns)
            if fewest is None or pixels < fewest:
                best = (down, across)
                fewest = pixels
            break  # more of them only add halos
    blocks = []
    for top, bottom in pairwise(_evenly(rows, best[0])):
        for left, right in pairwise(_evenly(columns, best[1])):
            blocks.append((top, left, bottom, right))
    return blocks


def _evenly(count: int, parts: int) -> list[int]:
    """Where `parts` parts of about equal size begin in `count` cells, and where the last ends."""
    return [count * part // parts for part in range(parts + 1)]


def _rounded_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _rectangles(
    grid: Grid, mask: NDArray[np.bool_], block: tuple[int, int, int, int], most: int
) -> list[Box]:
    """Cover a block's flagged cells by rectangles of at most `most` cells a side, each cell once.

    Greedy, row by row: from the first cell that is left over as far right as it goes, then as far
    down as the whole width goes.
    """
    first_row, first_column, end_row, end_column = block
    left_over = np.zeros_like(mask)
    here = slice(first_row, end_row), slice(first_column, end_column)
    left_over[here] = mask[here]
    rectangles = []
    for top, left in np.argwhere(left_over).tolist():
        if not left_over[top, left]:
            continue
        rightmost = min(left + most, end_column)
        right = left + 1
        while right < rightmost and left_over[top, right]:
            right += 1
        lowest = min(top + most, end_row)
        bottom = top + 1
        while bottom < lowest and left_over[bottom, left:right].all():
            bottom += 1
        left_over[top:bottom, left:right] = False
        rectangles.append(grid.box_of_cells(top, left, bottom, right))
    return rectangles
