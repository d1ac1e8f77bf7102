"""How an image is cut into cells, over all sizes."""

import numpy as np
from hypothesis import given, settings

from demoire.cleaning.grid import Grid
from tests.demoire.cleaning.cases import painted, sizes

CELL = 256  # px, written here once more: a test that took it from the program would follow it
SLIVER = 64


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
