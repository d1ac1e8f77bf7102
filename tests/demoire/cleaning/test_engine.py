"""The engine: the same numbers whatever meets in a batch, and batches that fit the memory."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from demoire.cleaning.engine import Engine
from demoire.cleaning.grid import Grid
from demoire.cleaning.windows import Window, plan_windows
from demoire.models.detector import Detector, fused
from demoire.models.restorer import Restorer
from demoire.moire import CELL


class ScarceRestorer(torch.nn.Module):
    """A device whose memory holds one window at a time."""

    multiple, halo = 32, 64

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("no room")
        return x - 0.1


def window_of_one_cell() -> Window:
    (window,) = plan_windows(Grid(CELL, CELL), [0], side=CELL, halo=64, multiple=32, most=CELL**2)
    return window


def test_a_cell_gets_the_same_score_to_the_bit_whatever_it_is_judged_with() -> None:
    """Which cells meet in a batch is a matter of timing, and no run may differ from another by
    that.
    """
    torch.manual_seed(0)
    engine = Engine(fused(Detector()), nn.Identity(), torch.device("cpu"))
    cells = list(np.random.default_rng(0).integers(0, 256, (21, 256, 256, 3), dtype=np.uint8))
    together = engine.judge(cells)
    alone = np.concatenate([engine.judge([cell]) for cell in cells])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("together", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_a_window_is_restored_to_the_same_bits_whatever_it_is_restored_with(
    random_restorer: Restorer, together: bool
) -> None:
    engine = Engine(Detector(), random_restorer, torch.device("cpu"))
    engine.restores_together = together
    window = window_of_one_cell()
    cuts = list(np.random.default_rng(0).integers(0, 256, (7, CELL, CELL, 3), dtype=np.uint8))
    restored = engine.restore([window] * 7, cuts)
    for some in ([0], [3, 4], [6, 5, 2, 1]):
        again = engine.restore([window] * len(some), [cuts[i] for i in some])
        assert all(
            np.array_equal(restored[i][0].pixels, tile.pixels)
            for i, (tile,) in zip(some, again, strict=True)
        )


def test_bfloat16_rounds_an_8_bit_picture_a_little_and_a_16_bit_one_not_at_all(
    random_restorer: Restorer,
) -> None:
    window = window_of_one_cell()
    cut = np.random.default_rng(0).integers(0, 256, (CELL, CELL, 3), dtype=np.uint8)
    found: dict[tuple[bool, str], NDArray] = {}
    for bfloat16 in (False, True):
        engine = Engine(Detector(), random_restorer, torch.device("cpu"))
        engine.restores_in_bfloat16 = bfloat16
        for pixels in (cut, cut.astype(np.uint16) * 257):
            ((tile,),) = engine.restore([window], [pixels])
            found[bfloat16, pixels.dtype.name] = tile.pixels.astype(int)
    assert np.array_equal(found[True, "uint16"], found[False, "uint16"])
    difference = found[True, "uint8"] - found[False, "uint8"]
    assert 0 < np.abs(difference).mean() < 1  # of 255


class AddingRestorer(nn.Module):
    """Adds the same to each sample, and something else to the first pixel of a window."""

    multiple, halo = 32, 64

    def __init__(self, change: float, of_first: float) -> None:
        super().__init__()
        self.change = change
        self.of_first = of_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.change
        y[:, :, 0, 0] = x[:, :, 0, 0] + self.of_first
        return y


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_restored_samples_are_kept_in_range_and_their_brightness_is_not(
    channels: int, dtype: type
) -> None:
    full = np.iinfo(dtype).max
    cut = np.full((CELL, CELL, channels), full // 2, dtype)
    for change, expected in ((0.9, full), (-0.9, 0)):
        engine = Engine(Detector(), AddingRestorer(change, change), torch.device("cpu"))
        ((tile,),) = engine.restore([window_of_one_cell()], [cut])
        assert tile.pixels.shape == cut.shape and tile.pixels.dtype == dtype
        assert (tile.pixels == expected).all()
        assert tile.brightness == pytest.approx(0.5 + change, abs=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_pixel_that_is_no_number_shows_in_its_tile(value: float) -> None:
    engine = Engine(Detector(), AddingRestorer(0.0, value), torch.device("cpu"))
    cut = np.full((CELL, CELL, 3), 128, np.uint8)
    ((tile,),) = engine.restore([window_of_one_cell()], [cut])
    assert not np.isfinite(tile.brightness)


@pytest.mark.parametrize(("capability", "has_it"), [((7, 5), False), ((8, 0), True)])
def test_cards_that_would_emulate_bfloat16_compute_in_float32(
    capability: tuple[int, int], has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    engine = Engine(Detector(), ScarceRestorer(), torch.device("cuda", 0))
    assert engine.judges_in_bfloat16 == engine.restores_in_bfloat16 == has_it


def test_a_batch_that_does_not_fit_is_halved_and_the_bound_remembered() -> None:
    scarce = ScarceRestorer()
    engine = Engine(Detector(), scarce, torch.device("cpu"))
    engine.restores_together = True  # as on a GPU
    windows = [window_of_one_cell()] * 6
    cuts = [np.full((CELL, CELL, 3), 100 + i, np.uint8) for i in range(6)]
    restored = engine.restore(windows, cuts)
    assert len(restored) == 6
    for cut, (tile,) in zip(cuts, restored, strict=True):
        assert tile.brightness == pytest.approx(cut.mean() / 255 - 0.1, abs=1e-5)
        assert np.abs(tile.pixels - (cut - 25.5)).max() < 0.51
    assert scarce.batches[0] == 16 and max(scarce.batches[-5:]) == 1
    scarce.batches.clear()
    engine.restore(windows, cuts)
    assert max(scarce.batches) == 1
