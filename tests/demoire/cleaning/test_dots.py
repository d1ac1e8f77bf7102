"""The dots of a print are told from hatching, from grain, and from a single ink."""

import numpy as np
import pytest
from numpy.typing import NDArray

from demoire.cleaning.dots import Dots, dots_taken
from demoire.cleaning.grid import Grid
from tests.demoire.cleaning.patterns import SIDE, dots, hatching

PAPER = 0.9
GRID = Grid(SIDE, SIDE)


def printed(*inks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Paper on which the inks take red, green and blue away in turn; one ink takes all of them."""
    coverage = inks if len(inks) == 3 else inks * 3
    picture = PAPER - 0.6 * np.stack(coverage, axis=2)
    return np.rint(255 * picture).astype(np.uint8)


def without_pattern(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mean = np.rint(picture.mean(axis=(0, 1), keepdims=True)).astype(np.uint8)
    return np.broadcast_to(mean, picture.shape).copy()


def all_taken(picture: NDArray[np.uint8]) -> Dots:
    taken = dots_taken(picture, without_pattern(picture), GRID, range(len(GRID)))
    assert taken is not None
    return taken


@pytest.mark.parametrize("degrees", [0, 15, 45, 75])
@pytest.mark.parametrize("period", [4, 9, 16])
def test_a_print_has_dots_on_a_lattice_of_which_nothing_is_left(
    period: float, degrees: float
) -> None:
    taken = all_taken(printed(dots(period, degrees)))
    assert taken.lattice > 0.7
    assert taken.share > 0.4
    assert taken.left < 0.01
    assert taken.period == pytest.approx(period, rel=0.15)


@pytest.mark.parametrize("degrees", [0, 30, 45, 80])
def test_hatching_has_no_twin_at_a_right_angle(degrees: float) -> None:
    taken = all_taken(printed(hatching(6, degrees)))
    assert taken.share > 0.5
    assert taken.lattice < 0.1


def test_black_dots_have_no_colour_and_those_of_three_inks_have() -> None:
    assert all_taken(printed(dots(7, 45))).colour < 0.01
    three_inks = printed(dots(7, 15), dots(7, 75), dots(7, 45))
    assert all_taken(three_inks).colour > 0.4


def test_a_restorer_that_takes_half_of_the_strength_leaves_a_quarter_of_the_energy() -> None:
    picture = printed(dots(6, 45))
    half = (picture.astype(np.float64) + without_pattern(picture)) / 2
    taken = dots_taken(picture, half.astype(np.uint8), GRID, range(len(GRID)))
    assert taken is not None
    assert taken.left == pytest.approx(0.25, abs=0.02)


def test_grain_has_its_energy_in_no_few_frequencies() -> None:
    grain = np.random.default_rng(2).normal(128, 12, (SIDE, SIDE, 3)).astype(np.uint8)
    assert all_taken(grain).share < 0.1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_of_any_depth_shows_the_same_dots(channels: int, dtype: type) -> None:
    picture = printed(dots(8, 15), dots(8, 75), dots(8, 45))[:, :, :channels]
    after = without_pattern(picture)
    step = dtype(np.iinfo(dtype).max // 255)
    deep = dots_taken(picture * step, after * step, GRID, range(len(GRID)))
    flat = dots_taken(picture, after, GRID, range(len(GRID)))
    assert deep is not None and flat is not None
    assert deep.lattice == pytest.approx(flat.lattice, abs=0.02)
    assert deep.colour == pytest.approx(flat.colour, abs=0.02)


def test_where_nothing_was_taken_or_no_window_fits_nothing_can_be_said() -> None:
    picture = printed(dots(6, 45))
    assert dots_taken(picture, picture, GRID, range(len(GRID))) is None
    low = picture[:50]
    assert dots_taken(low, without_pattern(low), Grid(50, SIDE), [0]) is None


def test_a_pattern_that_the_restorer_made_itself_is_more_than_was_there() -> None:
    flat = np.full((SIDE, SIDE, 1), 128, np.uint8)
    noisy = flat + np.random.default_rng(1).integers(0, 2, flat.shape, np.uint8)
    after = noisy + np.rint(40 * dots(6, 45))[:, :, None].astype(np.uint8)
    made = dots_taken(noisy, after, GRID, range(len(GRID)))
    assert made is not None and made.left > 1
    from_nothing = dots_taken(flat, after, GRID, range(len(GRID)))
    assert from_nothing is not None and from_nothing.left > 1


def test_what_leaves_lightness_alone_has_no_lattice() -> None:
    before = np.full((SIDE, SIDE, 3), 128, np.uint8)
    after = before.copy()
    pattern = np.rint(20 * dots(6, 45)).astype(np.uint8)
    after[:, :, 0] += pattern
    after[:, :, 2] -= pattern
    taken = dots_taken(before, after, GRID, range(len(GRID)))
    assert taken is not None
    assert taken.colour == pytest.approx(1)
    assert taken.lattice == 0
    assert taken.period == np.inf
