"""Pictures of all sizes with all patterns of flagged cells, for hypothesis to draw from."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.windows import Tile, Window, plan_windows, tiles_of
from demoire.imaging.boxes import Box

sizes = st.one_of(
    st.integers(1, 900), st.sampled_from([255, 256, 257, 319, 320, 512, 575, 576, 768])
)


@dataclass(frozen=True)
class Case:
    grid: Grid
    flagged: tuple[int, ...]
    windows: tuple[Window, ...]

    @property
    def tiles(self) -> tuple[Tile, ...]:
        return tiles_of(self.windows)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    grid = Grid(draw(sizes), draw(sizes))
    flagged = tuple(sorted(draw(st.sets(st.integers(0, len(grid) - 1), min_size=1))))
    side = draw(st.sampled_from([256, 512, 1024]))
    halo = draw(st.integers(0, 100))
    most = draw(st.sampled_from([256**2, 512**2, 768**2, 2048**2]))
    windows = plan_windows(grid, flagged, side=side, halo=halo, multiple=32, most=most)
    return Case(grid, flagged, windows)


def painted(grid: Grid, boxes: list[Box]) -> NDArray[np.int64]:
    """How many of the boxes cover each pixel."""
    count = np.zeros((grid.height, grid.width), np.int64)
    for box in boxes:
        count[box.slices] += 1
    return count
