"""How an image is cut up, over all sizes and all patterns of flagged cells."""

import numpy as np
import pytest
from hypothesis import given, settings

from demoire.cleaning.grid import SLIVER, Grid, plan_tiles
from demoire.moire import CELL
from tests.demoire.cleaning.cases import Case, cases, painted, sizes


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
