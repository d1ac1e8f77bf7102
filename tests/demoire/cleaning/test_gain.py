"""The second gate: what was taken away has to look like a pattern."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from demoire.cleaning.gain import pattern_share
from demoire.cleaning.grid import Grid

SIDE = 512


def grey_picture() -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), 128, np.uint8)


def share_of(taken: NDArray[np.float64]) -> float | None:
    """What the gate says where `taken`, (H, W) in 1/255, is taken off a grey picture."""
    before = np.full((*taken.shape, 3), 128, np.uint8)
    after = np.clip(np.rint(before - taken[:, :, None]), 0, 255).astype(np.uint8)
    grid = Grid(*taken.shape)
    return pattern_share(before, after, grid, range(len(grid)))


def stripes(
    period: float, angle: float, bend: float = 0.0, side: int = SIDE
) -> NDArray[np.float64]:
    """A pattern of this period (px) and angle (radians), 10 in 255 strong, that may bend."""
    down, across = np.mgrid[:side, :side]
    along = across * np.cos(angle) + down * np.sin(angle)
    return 10 * np.sin(2 * np.pi * (along + bend * np.sin(down / 90)) / period)


def white_noise() -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(0, 8, (SIDE, SIDE))


@given(period=st.floats(3, 20), angle=st.floats(0, np.pi))
def test_stripes_of_any_period_and_angle_are_a_pattern(period: float, angle: float) -> None:
    share = share_of(stripes(period, angle, side=128))
    assert share is not None and share > 0.8


def test_bent_stripes_are_a_pattern_too() -> None:
    share = share_of(stripes(7, 0.3, bend=12))
    assert share is not None and share > 0.5


def test_noise_is_none() -> None:
    share = share_of(white_noise())
    assert share is not None and 0.015 < share < 0.035


def test_a_pattern_under_as_much_noise_is_still_one() -> None:
    share = share_of(stripes(6, 1.0) + white_noise())
    assert share is not None and share > 0.3


def test_where_nothing_was_taken_there_is_nothing_to_say() -> None:
    assert share_of(np.zeros((SIDE, SIDE))) is None


def test_colour_that_leaves_lightness_alone_counts() -> None:
    before = grey_picture()
    after = before.copy()
    pattern = np.rint(stripes(9, 0.7)).astype(np.int64)
    after[:, :, 0] = 128 - pattern
    after[:, :, 2] = 128 + pattern
    grid = Grid(SIDE, SIDE)
    share = pattern_share(before, after, grid, range(len(grid)))
    assert share is not None and share > 0.8


def test_only_restored_cells_are_looked_at() -> None:
    taken = white_noise()
    taken[:256, :256] = stripes(8, 0.5)[:256, :256]
    before = grey_picture()
    after = np.clip(np.rint(before - taken[:, :, None]), 0, 255).astype(np.uint8)
    in_first_cell = pattern_share(before, after, Grid(SIDE, SIDE), [0])
    assert in_first_cell is not None and in_first_cell > 0.8


@pytest.mark.parametrize(("kind", "strength"), [(np.uint8, 10), (np.uint16, 2570)])
def test_the_depth_does_not_matter(kind: type, strength: int) -> None:
    before = np.full((SIDE, SIDE, 1), strength * 12, kind)
    pattern = np.rint(stripes(6, 0.2) * strength / 10).astype(np.int64)
    after = (before - pattern[:, :, None]).astype(kind)
    share = pattern_share(before, after, Grid(SIDE, SIDE), range(4))
    assert share == pytest.approx(share_of(stripes(6, 0.2)), abs=0.05)


def test_a_picture_without_room_for_a_window_is_not_held_back() -> None:
    before = np.full((50, 400, 3), 128, np.uint8)
    after = before - np.uint8(3)
    assert pattern_share(before, after, Grid(50, 400), [0]) is None


def test_a_window_counts_by_how_much_was_taken_there() -> None:
    """Where ten times as much was taken, it counts ten times, and not a hundred times."""
    taken = 0.5 * white_noise()
    taken[:, 256:] = 0.4 * stripes(8, 0.0)[:, 256:]
    noise = share_of(0.5 * white_noise())
    pattern = share_of(0.4 * stripes(8, 0.0))
    together = share_of(taken)
    assert noise is not None and pattern is not None and together is not None
    amplitudes = (0.5 * 8, 0.4 * 10 / 2**0.5)
    expected = np.average((noise, pattern), weights=amplitudes)
    assert together == pytest.approx(expected, rel=0.12)


def test_shading_is_no_pattern() -> None:
    """A slow swell has all its energy in few frequencies, but those are not looked at."""
    down = np.mgrid[:SIDE, :SIDE][0]
    swell = 20 * np.sin(2 * np.pi * down / 400)
    share = share_of(swell + 0.5 * white_noise())
    assert share is not None and share < 0.15


def test_windows_reach_to_the_edges_of_a_small_picture() -> None:
    before = np.full((64, 64, 3), 128, np.uint8)
    after = (128 - np.rint(stripes(8, 0.0)[:64, :64, None])).astype(np.uint8).repeat(3, axis=2)
    share = pattern_share(before, after, Grid(64, 64), [0])
    assert share is not None and share > 0.8


def test_windows_are_spread_over_a_large_picture() -> None:
    """A pattern in the last quarter of it, and nothing elsewhere, is still seen."""
    before = np.full((SIDE, 4 * SIDE, 1), 128, np.uint8)
    after = before.copy()
    after[256:, 3 * SIDE :, 0] = 128 - np.rint(stripes(8, 0.5))[256:].astype(np.int64)
    grid = Grid(SIDE, 4 * SIDE)
    share = pattern_share(before, after, grid, range(len(grid)))
    assert share is not None and share > 0.8
