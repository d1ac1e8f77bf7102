"""How restored tiles are put together again, without a seam and without a change elsewhere."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from demoire.cleaning.blend import blend, coverage, fade, tile_shares
from demoire.cleaning.grid import Grid
from demoire.cleaning.windows import Tile, plan_windows, tiles_of
from demoire.imaging.boxes import Box
from tests.demoire.cleaning.cases import Case, cases, painted


def tiles_in_cells(grid: Grid) -> tuple[Tile, ...]:
    """A tile for each cell of a picture, each in a window of its own."""
    cells = range(len(grid))
    return tiles_of(plan_windows(grid, cells, side=256, halo=64, multiple=32, most=256**2))


@given(case=cases())
@settings(max_examples=50, deadline=None)
def test_shares_sum_to_one_wherever_something_changes(case: Case) -> None:
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
    restored = [pixels[tile.reach.slices] + dtype(full // 4) for tile in case.tiles]
    out = blend(pixels, case.grid, case.flagged, case.tiles, restored)
    difference = out.astype(np.int64) - pixels
    outside = painted(case.grid, [case.grid.box(cell) for cell in case.flagged]) == 0
    assert out.dtype == dtype
    assert (difference[outside] == 0).all()
    # One constant change has no seam anywhere: all of it well inside, and steps as small as the
    # fade's next to others.
    step = 0.25 * full / 25 + 2
    assert np.abs(np.diff(difference[:, :, 0], axis=0, prepend=difference[:1, :, 0])).max() <= step
    assert np.abs(np.diff(difference[:, :, 0], axis=1, prepend=difference[:, :1, 0])).max() <= step
    if not outside.any():
        assert (difference == full // 4).all()


@given(case=cases(), dtype=st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=50, deadline=None)
def test_tiles_of_one_window_are_put_together_as_if_each_had_one_of_its_own(
    case: Case, dtype: type
) -> None:
    shape = (case.grid.height, case.grid.width, 3)
    rng = np.random.default_rng(1)
    pixels, restored = rng.integers(0, np.iinfo(dtype).max, (2, *shape), endpoint=True, dtype=dtype)
    of_tiles = [restored[tile.reach.slices] for tile in case.tiles]
    apart = [replace(tile, window=tile.number) for tile in case.tiles]
    out = blend(pixels, case.grid, case.flagged, case.tiles, of_tiles)
    assert np.array_equal(out, blend(pixels, case.grid, case.flagged, apart, of_tiles))


def test_neighbouring_windows_that_disagree_meet_in_a_slope() -> None:
    grid = Grid(256, 512)
    tiles = tiles_in_cells(grid)
    restored = [
        np.full((tile.reach.height, tile.reach.width, 3), 50 + i * 102, np.uint8)
        for i, tile in enumerate(tiles)
    ]
    out = blend(np.full((256, 512, 3), 50, np.uint8), grid, range(2), tiles, restored)
    assert (out[:, :200] == 50).all() and (out[:, 312:] == 152).all()
    assert np.diff(out.astype(int), axis=1).max() <= 4


def test_the_change_fades_in_over_24_pixels_inside_a_flagged_cell() -> None:
    """The left one of two cells is flagged: nothing beyond column 256, all of it from 231 down."""
    grid = Grid(256, 512)
    faded = fade(grid, grid.mask([0]), Box(0, 0, 256, 512))
    slope = faded[128, 256 - 24 : 256]
    assert (faded[:, 256:] == 0).all()
    assert (faded[:, : 256 - 24] == 1).all()
    assert np.allclose(slope, np.arange(24, 0, -1) / 25, atol=1e-3)


def test_at_the_edge_of_the_picture_nothing_fades() -> None:
    grid = Grid(256, 512)
    assert (fade(grid, grid.mask([0, 1]), Box(0, 0, 256, 512)) == 1).all()


def test_neighbouring_tiles_share_16_pixels_on_each_side_of_their_edge() -> None:
    left, right = tiles_in_cells(Grid(256, 512))
    row = tile_shares(left, Box(100, 240, 101, 272))[0]
    assert (left.reach.right, right.reach.left) == (272, 240)
    assert np.allclose(row, 1 - (np.arange(32) + 0.5) / 32)
