"""What lies beside a found print and has the same dots is the same print; nothing else is."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.lattice import cells_of_same_print, lattice_of
from tests.demoire.cleaning.patterns import SIDE, Plane, dots, hatching
from tests.demoire.cleaning.pictures import scanned

GRID = Grid(SIDE, SIDE)  # two rows of two cells, 256 and 128 px
CELL = 256
STRIP = CELL + 40  # where a picture ends that reaches into the next cell


def page(*prints: tuple[Plane, int, int]) -> NDArray[np.uint8]:
    """Type on paper, over which pictures are printed, each with its bottom and right edge."""
    paper = np.full((SIDE, SIDE), 225, np.uint8)
    for y in range(20, SIDE, 24):
        cv2.putText(paper, "letters " * 4, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 30, 2)
    for ink, bottom, right in prints:
        paper[:bottom, :right] = 200 - 90 * ink[:bottom, :right]
    return scanned(np.repeat(paper[..., None], 3, axis=2))


def added(picture: NDArray[np.uint8]) -> tuple[int, ...]:
    """Cells that are added where the detector is sure of the first one alone."""
    return cells_of_same_print(picture, GRID, found=(0,), certain=(0,))


@pytest.mark.parametrize(("period", "degrees"), [(4, 45), (5.3, 15), (9, 0)])
def test_a_strip_of_a_found_print_is_added_and_type_beside_it_is_not(
    period: float, degrees: float
) -> None:
    ink = dots(period, degrees)
    assert added(page((ink, CELL, STRIP))) == (1,)
    assert added(page((ink, STRIP, CELL))) == (2,)
    assert added(page((ink, CELL, CELL))) == ()


def test_a_print_is_followed_from_cell_to_cell() -> None:
    assert added(page((dots(5, 30), SIDE, SIDE))) == (1, 2, 3)


@pytest.mark.parametrize("other", [dots(5, 60), dots(7, 15)], ids=["turned", "coarser"])
def test_a_print_with_other_dots_is_another_one(other: Plane) -> None:
    assert added(page((other, CELL, STRIP), (dots(5, 15), CELL, CELL))) == ()


def test_what_has_no_lattice_is_not_continued() -> None:
    assert added(page((hatching(5, 30), SIDE, SIDE))) == ()
    assert added(page()) == ()


def test_of_cells_that_hold_type_the_lattice_is_not_asked() -> None:
    picture = page((dots(5, 30), CELL, STRIP))
    assert cells_of_same_print(picture, GRID, found=(0, 2, 3), certain=(0,)) == (1,)
    assert cells_of_same_print(picture, GRID, found=(0, 2, 3), certain=()) == ()


def test_the_lattice_of_dots_is_told_more_finely_than_a_window_resolves() -> None:
    lattice = lattice_of(page((dots(5.3, 20), SIDE, SIDE)), GRID, range(len(GRID)))
    assert lattice is not None
    assert np.hypot(lattice.down, lattice.across) == pytest.approx(1 / 5.3, abs=1e-3)
    turned = np.degrees(np.arctan2(lattice.down, lattice.across)) % 90
    assert turned == pytest.approx(20, abs=0.5)


def test_deep_and_grey_pages_have_it_too() -> None:
    deep = page((dots(4, 45), CELL, STRIP))[..., :1].astype(np.uint16) * 257
    assert added(deep) == (1,)  # type: ignore[arg-type]
