"""The engine: the same numbers whatever meets in a batch, and batches that fit the memory."""

import numpy as np
import pytest
import torch
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
    (window,) = plan_windows(Grid(CELL, CELL), [0], side=CELL, halo=64, multiple=32)
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
    changes = engine.restore([window] * 7, cuts)
    for some in ([0], [3, 4], [6, 5, 2, 1]):
        again = engine.restore([window] * len(some), [cuts[i] for i in some])
        assert all(
            np.array_equal(changes[i][0], change) for i, (change,) in zip(some, again, strict=True)
        )


def test_bfloat16_rounds_an_8_bit_picture_a_little_and_a_16_bit_one_not_at_all(
    random_restorer: Restorer,
) -> None:
    window = window_of_one_cell()
    cut = np.random.default_rng(0).integers(0, 256, (CELL, CELL, 3), dtype=np.uint8)
    found = {}
    for bfloat16 in (False, True):
        engine = Engine(Detector(), random_restorer, torch.device("cpu"))
        engine.restores_in_bfloat16 = bfloat16
        for pixels in (cut, cut.astype(np.uint16) * 257):
            ((found[bfloat16, pixels.dtype.name],),) = engine.restore([window], [pixels])
    assert np.array_equal(found[True, "uint16"], found[False, "uint16"])
    difference = found[True, "uint8"].astype(np.float32) - found[False, "uint8"]
    assert 0 < np.abs(difference).max() < 0.02 * np.abs(found[False, "uint8"]).max()


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
    changes = engine.restore(windows, cuts)
    assert len(changes) == 6
    assert all(abs(float(change.mean()) + 0.1) < 1e-3 for (change,) in changes)
    assert scarce.batches[0] == 16 and max(scarce.batches[-5:]) == 1
    scarce.batches.clear()
    engine.restore(windows, cuts)
    assert max(scarce.batches) == 1
