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
from tests.demoire.cleaning.patterns import SIDE, dots, hatching
from tests.demoire.cleaning.pictures import png, scanned
from tests.demoire.conftest import RedDetector

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


class TakesFromEach(nn.Module):
    """Takes a (3, SIDE, SIDE) pattern away, whatever it sees."""

    multiple = 32
    halo = 0

    def __init__(self, taken: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("taken", torch.from_numpy(taken).float())

    def forward(self, x: Tensor) -> Tensor:
        return x - self.taken


class Blurs(nn.Module):
    multiple = 32
    halo = 32

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)


def on_red(ink: NDArray[np.float64]) -> bytes:
    """A red page with this ink in blue, which the toy detector cannot see."""
    page = np.full((SIDE, SIDE, 3), (235, 60, 200), np.float64)
    page[:, :, 2] -= 100 * ink
    return png(page.astype(np.uint8))


def taken_from_blue(ink: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    nothing = np.zeros_like(ink)
    return np.stack([nothing, nothing, -100 / 255 * share * (ink - ink.mean())])


def test_the_dots_of_a_print_go_although_the_score_stays(make_cleaner: MakeCleaner) -> None:
    ink = dots(6, 45)
    result = make_cleaner(TakesFromEach(taken_from_blue(ink, 1))).clean(on_red(ink))
    assert (result.status, result.reason) == ("cleaned", None)
    assert result.moire_after == pytest.approx(result.moire_before, abs=0.01)


def test_dots_of_which_half_would_be_left_stay(make_cleaner: MakeCleaner) -> None:
    ink = dots(6, 45)
    result = make_cleaner(TakesFromEach(taken_from_blue(ink, 0.5))).clean(on_red(ink))
    assert (result.status, result.reason) == ("copied", "no_gain")


def test_hatching_stays_where_the_score_does(make_cleaner: MakeCleaner) -> None:
    ink = hatching(6, 30)
    result = make_cleaner(TakesFromEach(taken_from_blue(ink, 1))).clean(on_red(ink))
    assert (result.status, result.reason) == ("copied", "no_gain")


def test_a_restorer_that_blurs_without_gain_is_refused(
    make_cleaner: MakeCleaner, red_picture: bytes
) -> None:
    result = make_cleaner(Blurs()).clean(red_picture)
    assert (result.status, result.reason) == ("copied", "no_gain")


def test_a_coarse_tint_in_colours_is_cleaned(make_cleaner: MakeCleaner) -> None:
    """Its dots change a tile by more than moiré could; three inks at three angles are print."""
    inks = np.stack([0.3 * dots(6, 15), dots(6, 75), dots(6, 45)])
    paper = np.rint(255 * (0.95 - 0.9 * inks)).astype(np.uint8).transpose(1, 2, 0)
    taken = -0.9 * (inks - inks.mean(axis=(1, 2), keepdims=True))
    result = make_cleaner(TakesFromEach(taken)).clean(png(scanned(paper)))
    assert (result.status, result.reason) == ("cleaned", None)


@pytest.mark.parametrize(
    "ink", [dots(9, 45, threshold=0.5), hatching(7, 20)], ids=["screentone", "hatching"]
)
def test_what_was_drawn_in_black_stays(make_cleaner: MakeCleaner, ink: NDArray[np.float64]) -> None:
    page = np.rint(255 * (1 - ink)).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    taken = -(ink - ink.mean())[None].repeat(3, axis=0)
    result = make_cleaner(TakesFromEach(taken)).clean(png(scanned(page)))
    assert (result.status, result.reason) == ("copied", "drawn_pattern")


@pytest.mark.parametrize(
    ("red", "sure", "status", "reason"),
    [
        (170, 0.975, "copied", "drawn_pattern"),
        (185, 0.975, "cleaned", None),
        (170, 0.9, "cleaned", None),
        (185, 0.999, "copied", "drawn_pattern"),
    ],
    ids=["in doubt", "sure", "easily sure", "hardly ever sure"],
)
def test_a_very_strong_change_is_made_only_where_the_detector_is_sure(
    make_cleaner: MakeCleaner, red: int, sure: float, status: str, reason: str | None
) -> None:
    """The score is 0.93 by this much red, and 0.99 by a little more. A fifth of what is taken away
    from the other colours lies in few frequencies. What is sure, each detector says of itself.
    """
    grain = np.random.default_rng(1).uniform(-0.3, 0.3, (SIDE, SIDE))
    stripes_across = 0.12 * np.sin(np.arange(SIDE) * 2 * np.pi / 6)[None, :]
    pattern = (grain + stripes_across)[None].repeat(3, axis=0)
    pattern[0] = 0
    page = np.full((SIDE, SIDE, 3), (red, 128, 128)) + 255 * pattern.transpose(1, 2, 0)
    pattern[0] = 0.2
    cleaner = make_cleaner(TakesFromEach(pattern), RedDetector(sure=sure))
    result = cleaner.clean(png(page.astype(np.uint8)))
    assert (result.status, result.reason) == (status, reason)
    assert 0.9 < result.moire_before < 0.999
