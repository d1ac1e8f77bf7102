"""How an image is cut up and put together again, over all sizes and all patterns of flagged
cells.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from demoire.cleaning.blend import FEATHER, blend, coverage, tile_shares
from demoire.cleaning.grid import SLIVER, Box, Grid, Tile, plan_tiles
from demoire.moire import CELL

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


@given(height=sizes, width=sizes)
def test_cells_cover_the_image_exactly_once_on_a_fixed_grid(height: int, width: int) -> None:
    grid = Grid(height, width)
    boxes = [grid.box(cell) for cell in range(len(grid))]
    assert (painted(grid, boxes) == 1).all()
    for box in boxes:
        assert box.top % CELL == 0 and box.left % CELL == 0
        assert box.height < CELL + SLIVER and box.width < CELL + SLIVER
        assert box.height >= min(SLIVER, height) and box.width >= min(SLIVER, width)


@given(height=sizes, width=sizes)
@settings(max_examples=30, deadline=None)
def test_the_detector_sees_every_cell_in_its_own_place(height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([y % 251, x % 251, (x + y) % 251], axis=2).astype(np.uint8)
    grid = Grid(height, width)
    for cell in range(len(grid)):
        view, box = grid.view(pixels, cell), grid.box(cell)
        assert view.shape == (CELL, CELL, 3)
        top, left = min(box.top, max(0, height - CELL)), min(box.left, max(0, width - CELL))
        whole = pixels[top : top + CELL, left : left + CELL]
        assert np.array_equal(view[: whole.shape[0], : whole.shape[1]], whole)


def test_nothing_is_mirrored_in_what_the_detector_sees_of_an_image_larger_than_a_cell() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (CELL + 100, CELL + 70, 3), dtype=np.uint8)
    assert np.array_equal(Grid(CELL + 100, CELL + 70).view(pixels, 3), pixels[100:, 70:])


def test_the_detector_sees_grey_and_sixteen_bits_as_eight_bit_colour() -> None:
    deep = np.full((40, 300, 1), 0x8123, np.uint16)
    assert np.array_equal(Grid(40, 300).view(deep, 0), np.full((CELL, CELL, 3), 0x81, np.uint8))


@given(case=cases())
@settings(deadline=None)
def test_cores_cover_flagged_cells_exactly_once_and_nothing_else(case: Case) -> None:
    cores = painted(case.grid, [tile.core for tile in case.tiles])
    assert np.array_equal(cores, painted(case.grid, [case.grid.box(cell) for cell in case.flagged]))


@given(case=cases())
@settings(deadline=None)
def test_windows_lie_on_the_restorers_grid_and_hold_what_is_used(case: Case) -> None:
    pixels = np.random.default_rng(0).integers(
        0, 256, (case.grid.height, case.grid.width, 1), dtype=np.uint8
    )
    for tile in case.tiles:
        assert tile.window.top % 32 == 0 and tile.window.left % 32 == 0
        window = tile.cut(pixels)
        assert window.shape[0] % 32 == 0 and window.shape[1] % 32 == 0
        assert np.array_equal(window[tile.used], pixels[tile.reach.slices])
        assert tile.core.common(tile.reach) == tile.core


@given(case=cases())
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_wherever_something_changes(case: Case) -> None:
    total = np.zeros((case.grid.height, case.grid.width), np.float64)
    for tile in case.tiles:
        total[tile.reach.slices] += tile_shares(tile, tile.reach)
    mask = case.grid.mask(case.flagged)
    expected = coverage(case.grid, mask, Box(0, 0, case.grid.height, case.grid.width))
    assert np.allclose(total, expected, atol=1e-5)
    for cell in case.flagged:
        here = case.grid.box(cell).slices
        assert np.allclose(total[here] / expected[here], 1, atol=1e-4)


@given(case=cases(), dtype=st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=50, deadline=None)
def test_cells_that_are_not_flagged_keep_their_pixels(case: Case, dtype: type) -> None:
    full = np.iinfo(dtype).max
    pixels = (
        np.random.default_rng(1)
        .integers(0, full // 2, (case.grid.height, case.grid.width, 1))
        .astype(dtype)
    )
    changes = [
        np.full((tile.reach.height, tile.reach.width, 1), 0.25, np.float32) for tile in case.tiles
    ]
    out = blend(pixels, case.grid, case.flagged, case.tiles, changes)
    difference = out.astype(np.int64) - pixels
    outside = painted(case.grid, [case.grid.box(cell) for cell in case.flagged]) == 0
    assert out.dtype == dtype
    assert (difference[outside] == 0).all()
    # One constant change has no seam anywhere: all of it well inside, and steps as small as the
    # fade's next to others.
    step = 0.25 * full / (FEATHER + 1) + 2
    assert np.abs(np.diff(difference[:, :, 0], axis=0, prepend=difference[:1, :, 0])).max() <= step
    assert np.abs(np.diff(difference[:, :, 0], axis=1, prepend=difference[:, :1, 0])).max() <= step
    if not outside.any():
        assert np.abs(difference - 0.25 * full).max() <= 0.5 + 1e-2


def test_neighbouring_tiles_that_disagree_meet_in_a_slope() -> None:
    grid = Grid(256, 512)
    tiles = plan_tiles(grid, range(2), side=256, halo=64, multiple=32)
    changes = [
        np.full((tile.reach.height, tile.reach.width, 3), i * 0.4, np.float16)
        for i, tile in enumerate(tiles)
    ]
    out = blend(np.full((256, 512, 3), 50, np.uint8), grid, range(2), tiles, changes)
    assert (out[:, :200] == 50).all() and (out[:, 312:] == 152).all()
    assert np.diff(out.astype(int), axis=1).max() <= 4


def test_values_do_not_run_over() -> None:
    grid = Grid(64, 64)
    tiles = plan_tiles(grid, [0], side=256, halo=64, multiple=32)
    for change, expected in ((0.9, 255), (-0.9, 0)):
        out = blend(
            np.full((64, 64, 3), 128, np.uint8),
            grid,
            [0],
            tiles,
            [np.full((64, 64, 3), change, np.float16)],
        )
        assert (out == expected).all()


def test_larger_tiles_spend_less_on_their_halo() -> None:
    grid = Grid(2048, 2048)
    seen = {
        side: sum(
            a * b
            for a, b in (
                tile.shape for tile in plan_tiles(grid, range(64), side=side, halo=96, multiple=32)
            )
        )
        for side in (512, 1024, 2048)
    }
    assert seen[2048] == 2048**2 < seen[1024] < seen[512]


def test_a_grid_that_cells_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="48 px"):
        plan_tiles(Grid(300, 300), [0], side=512, halo=32, multiple=48)
