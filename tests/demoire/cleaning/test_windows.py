"""What the restorer gets, over all sizes and all patterns of flagged cells."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from numpy.typing import NDArray

from demoire.cleaning.blend import blend
from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid
from demoire.cleaning.windows import Window, plan_windows, tiles_of
from demoire.models.detector import Detector
from demoire.models.networks import load_restorer
from demoire.models.unet import UNet
from demoire.simulate.scenes.drawings import SCENES
from tests.demoire.cleaning.cases import Case, cases, painted


def shipped_plan(grid: Grid, flagged: Iterable[int]) -> tuple[Window, ...]:
    """The windows as the default restorer gets them."""
    return plan_windows(grid, flagged, side=1024, halo=192, multiple=32, most=UNet().most)


def seen(windows: Iterable[Window]) -> int:
    """Pixels through the network."""
    return sum(window.shape[0] * window.shape[1] for window in windows)


@given(case=cases())
@settings(deadline=None)
def test_cores_cover_flagged_cells_exactly_once_and_nothing_else(case: Case) -> None:
    cores = painted(case.grid, [tile.core for tile in case.tiles])
    assert np.array_equal(cores, painted(case.grid, [case.grid.box(cell) for cell in case.flagged]))
    assert [tile.number for tile in case.tiles] == list(range(len(case.tiles)))


@given(case=cases())
@settings(deadline=None)
def test_windows_lie_on_the_restorers_grid_and_hold_what_is_used(case: Case) -> None:
    pixels = np.random.default_rng(0).integers(
        0, 256, (case.grid.height, case.grid.width, 1), dtype=np.uint8
    )
    for window in case.windows:
        assert window.box.top % 32 == 0 and window.box.left % 32 == 0
        cut = window.cut(pixels)
        assert cut.shape[0] % 32 == 0 and cut.shape[1] % 32 == 0
        for tile in window.tiles:
            used = tile.reach.within(window.box)
            assert np.array_equal(cut[used], pixels[tile.reach.slices])
            assert tile.core.common(tile.reach) == tile.core


def test_a_picture_of_up_to_7_mp_is_one_window_without_a_halo() -> None:
    grid = Grid(2400, 2976)
    (window,) = shipped_plan(grid, range(len(grid)))
    assert window.shape == (2400, 2976)
    assert len(window.tiles) == 9


def test_a_window_of_few_cells_ends_192_px_beyond_them_or_with_the_picture() -> None:
    (window,) = shipped_plan(Grid(1000, 1500), [0, 1])
    box = window.box
    assert (box.top, box.left, box.bottom, box.right) == (0, 0, 256 + 192, 512 + 192)


def test_tiles_far_apart_do_not_share_a_window_and_near_ones_do() -> None:
    """A row of eight cells: the first and last alone, then the first and third."""
    grid = Grid(256, 2048)
    assert len(shipped_plan(grid, [0, 7])) == 2
    assert len(shipped_plan(grid, [0, 2])) == 1


@pytest.mark.parametrize(
    ("height", "width", "most"),
    [(3024, 4032, 1.11), (4000, 6000, 1.25), (7016, 4960, 1.27), (9900, 9900, 1.3)],
    ids=["12 MP", "24 MP", "35 MP", "98 MP"],
)
def test_halos_cost_little_on_pictures_that_need_several_windows(
    height: int, width: int, most: float
) -> None:
    grid = Grid(height, width)
    windows = shipped_plan(grid, range(len(grid)))
    assert max(window.shape[0] * window.shape[1] for window in windows) <= UNet().most
    assert seen(windows) <= most * height * width


def test_a_page_that_takes_much_memory_by_itself_gets_smaller_windows() -> None:
    grid = Grid(11_000, 18_000)
    windows = shipped_plan(grid, range(len(grid)))
    assert max(window.shape[0] * window.shape[1] for window in windows) <= UNet().most / 2
    assert seen(windows) <= 1.6 * 11_000 * 18_000


def test_scattered_cells_cost_no_more_than_each_by_itself_or_all_of_the_picture() -> None:
    grid = Grid(6000, 6000)
    rng = np.random.default_rng(0)
    everything = seen(shipped_plan(grid, range(len(grid))))
    for share in (0.02, 0.1, 0.5):
        flagged = np.flatnonzero(rng.random(len(grid)) < share).tolist()
        alone = sum(seen(shipped_plan(grid, [cell])) for cell in flagged)
        assert seen(shipped_plan(grid, flagged)) <= min(alone, everything)


def drawn_with_stripes(height: int, width: int) -> NDArray[np.uint8]:
    """A drawn scene under coarse stripes of changing colour."""
    scene = SCENES["photograph"](np.random.default_rng(3), height, width).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    phases = (0.9 * x + 0.5 * y + 20 * np.sin(x / 90)) / 7
    stripes = [np.cos(phases + 2 * np.pi * channel / 3) for channel in range(3)]
    striped: NDArray[np.uint8] = np.clip(scene + 14 * np.stack(stripes, axis=2), 0, 255).astype(
        np.uint8
    )
    return striped


def test_a_picture_in_several_windows_comes_out_as_in_one_to_within_1_in_255() -> None:
    pixels = drawn_with_stripes(512, 1024)
    grid = Grid(512, 1024)
    cells = range(len(grid))
    engine = Engine(Detector(), load_restorer("restorer"), torch.device("cpu"))
    restored = {}
    for most in (512 * 704, 512 * 1024):
        windows = plan_windows(
            grid, cells, side=256, halo=engine.halo, multiple=engine.multiple, most=most
        )
        tiles = []
        for window in windows:
            (of_window,) = engine.restore([window], [window.cut(pixels)])
            tiles += [tile.pixels for tile in of_window]
        restored[len(windows)] = blend(pixels, grid, cells, tiles_of(windows), tiles)
    assert list(restored) == [2, 1]
    assert np.abs(restored[1].astype(int) - pixels).max() > 20
    assert np.abs(restored[2].astype(int) - restored[1]).max() <= 1


def test_a_grid_that_cells_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="48 px"):
        plan_windows(Grid(300, 300), [0], side=512, halo=32, multiple=48, most=1_000_000)
