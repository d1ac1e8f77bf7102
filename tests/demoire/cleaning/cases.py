"""Pictures of all sizes with all patterns of flagged cells, for hypothesis to draw from."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid, Tile, plan_tiles
from demoire.imaging.boxes import Box

sizes = st.one_of(
    st.integers(1, 900), st.sampled_from([255, 256, 257, 319, 320, 512, 575, 576, 768])
)


@dataclass(frozen=True)
class Case:
    grid: Grid
    flagged: tuple[int, ...]
    tiles: tuple[Tile, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    grid = Grid(draw(sizes), draw(sizes))
    flagged = tuple(sorted(draw(st.sets(st.integers(0, len(grid) - 1), min_size=1))))
    side = draw(st.sampled_from([256, 512, 1024]))
    return Case(
        grid,
        flagged,
        plan_tiles(grid, flagged, side=side, halo=draw(st.integers(0, 100)), multiple=32),
    )


def painted(grid: Grid, boxes: list[Box]) -> NDArray[np.int64]:
    """How many of the boxes cover each pixel."""
    count = np.zeros((grid.height, grid.width), np.int64)
    for box in boxes:
        count[box.slices] += 1
    return count
