"""An image taken for moiré is left alone if restoring it would take no pattern away."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from demoire.cleaning.cleaner import Cleaner
from tests.demoire.cleaning.pictures import png

MakeCleaner = Callable[..., Cleaner]


class Takes(nn.Module):
    """Takes the same (H, W) away from the channels it is told, whatever it sees."""

    multiple = 32
    halo = 0

    def __init__(self, taken: NDArray[np.float64], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("taken", torch.from_numpy(taken).float())
        self._channels = list(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = x.clone()
        height, width = x.shape[-2:]
        out[:, self._channels] -= self.taken[:height, :width]
        return out


def noise() -> NDArray[np.float64]:
    return 0.1 + np.random.default_rng(1).normal(0, 0.03, (512, 512))


def stripes() -> NDArray[np.float64]:
    return 0.1 + 0.05 * np.sin(np.arange(512) * 2 * np.pi / 6)[None, :].repeat(512, axis=0)


@pytest.fixture
def red_picture(scene: Callable) -> bytes:
    """What the toy detector takes for moiré; its score falls when red is taken away."""
    return png(scene(400, 400, red=np.ones((400, 400), bool)))


def test_noise_that_was_taken_for_moire_stays(
    make_cleaner: MakeCleaner, red_picture: bytes
) -> None:
    result = make_cleaner(Takes(noise(), (0,))).clean(red_picture)
    assert (result.status, result.reason) == ("copied", "no_gain")
    assert result.data is red_picture
    assert result.moire_before > 0.9 and result.moire_kind == "screen"
    assert result.moire_after is None and result.cells_restored == 0


def test_a_pattern_goes(make_cleaner: MakeCleaner, red_picture: bytes) -> None:
    result = make_cleaner(Takes(stripes(), (0,))).clean(red_picture)
    assert (result.status, result.reason) == ("cleaned", None)
    assert result.moire_after < result.moire_before


def test_a_pattern_whose_going_leaves_as_much_moire_stays(
    make_cleaner: MakeCleaner, red_picture: bytes
) -> None:
    """The toy detector looks at red alone, so a pattern in blue changes no score."""
    result = make_cleaner(Takes(stripes(), (2,))).clean(red_picture)
    assert (result.status, result.reason) == ("copied", "no_gain")
    assert result.data is red_picture


def test_a_pattern_that_comes_back_when_the_file_is_coded_stays(make_cleaner: MakeCleaner) -> None:
    """Where the tables of a JPEG are coarse, old and new pixels may become the same file."""
    out = io.BytesIO()
    red = Image.new("RGB", (400, 400), (255, 40, 40))
    red.save(out, "JPEG", qtables=[[255] * 64] * 2, subsampling=0)
    result = make_cleaner(Takes(stripes(), (0,))).clean(out.getvalue())
    assert (result.status, result.reason) == ("copied", "no_gain")
    assert result.moire_before > 0.9


@pytest.mark.parametrize("taken", [noise(), stripes()], ids=["noise", "stripes"])
@pytest.mark.parametrize("channel", [0, 2])
def test_who_turns_the_gate_off_gets_what_the_restorer_makes(
    make_cleaner: MakeCleaner, red_picture: bytes, taken: NDArray[np.float64], channel: int
) -> None:
    result = make_cleaner(Takes(taken, (channel,)), gate="off").clean(red_picture)
    assert (result.status, result.reason) == ("cleaned", None)
