"""An image whose score is in doubt is looked at in all four turns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.turns import mean_of_looks
from demoire.errors import ImageError
from demoire.models.detector import Calibration
from tests.demoire.cleaning.pictures import png

SIDE = 512  # px: four cells, all of which decide
LYING = np.repeat(np.where(np.arange(SIDE) % 8 < 4, 90, 110)[:, None], SIDE, axis=1)
STRIPES = np.repeat(LYING[:, :, None], 3, axis=2).astype(np.uint8)


class StripeDetector(nn.Module):
    """Takes lying stripes for a screen with one probability, standing ones with another."""

    def __init__(self, lying: float, standing: float) -> None:
        super().__init__()
        self.calibration = Calibration(threshold=0.8, cell_threshold=0.3, sure=0.95)
        self.moire = torch.tensor([standing, lying])
        self.looks = 0
        self.batches: list[int] = []  # looks in each, without what it is filled up with

    def probabilities(self, x: Tensor) -> Tensor:
        changes_downwards = x.diff(dim=2).abs().mean(dim=(1, 2, 3))
        changes_across = x.diff(dim=3).abs().mean(dim=(1, 2, 3))
        shows_stripes = (changes_downwards + changes_across) > 0
        self.batches.append(int(shows_stripes.sum()))
        self.looks += self.batches[-1]
        moire = self.moire[(changes_downwards > changes_across).long()]
        nothing = torch.zeros_like(moire)
        return torch.stack([1 - moire, moire, nothing, nothing], dim=1)


class LittleDarker(nn.Module):
    """Takes the stripes away, and a little of the light."""

    multiple, halo = 32, 0

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 95 / 255)


@pytest.fixture
def with_detector(make_cleaner: Callable[..., Cleaner]) -> Callable[[nn.Module], Cleaner]:
    return lambda detector: make_cleaner(restorer=LittleDarker(), detector=detector)


def test_what_looks_like_moire_one_way_only_is_copied(with_detector: Callable) -> None:
    cleaner = with_detector(StripeDetector(lying=0.85, standing=0.3))
    result = cleaner.clean(png(STRIPES))
    assert result.status == "copied"
    assert 0.3 < result.moire_before < 0.8
    assert cleaner.detect(png(STRIPES)).moire == result.moire_before


def test_what_looks_more_like_moire_when_it_is_turned_is_found(with_detector: Callable) -> None:
    cleaner = with_detector(StripeDetector(lying=0.75, standing=0.95))
    detection = cleaner.detect(png(STRIPES))
    assert 0.8 < detection.moire < 0.95
    assert detection.flagged == (0, 1, 2, 3)
    assert cleaner.clean(png(STRIPES)).moire_before == detection.moire


def test_what_looks_the_same_either_way_keeps_its_score(with_detector: Callable) -> None:
    cleaner = with_detector(StripeDetector(lying=0.9, standing=0.9))
    assert cleaner.clean(png(STRIPES)).moire_before == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize(
    ("score", "looks"),
    [(0.999, 4), (0.9, 4 + 3 * 4), (0.1, 4)],
    ids=["surely moiré", "in doubt", "surely none"],
)
def test_only_what_is_in_doubt_is_looked_at_again(
    with_detector: Callable, score: float, looks: int
) -> None:
    detector = StripeDetector(lying=score, standing=score)
    with_detector(detector).detect(png(STRIPES))
    assert detector.looks == looks


def test_pictures_that_are_judged_together_have_the_scores_that_each_has_alone(
    with_detector: Callable,
) -> None:
    """Whatever lies between: a large one, an icon, what cannot be decoded, one in doubt."""
    detector = StripeDetector(lying=0.9, standing=0.3)
    cleaner = with_detector(detector)
    standing = np.ascontiguousarray(STRIPES.transpose(1, 0, 2))
    pictures = [png(STRIPES), png(STRIPES[:20, :20]), b"none", png(np.tile(standing, (5, 5, 1)))]
    pictures += [png(standing[:64, :64]), png(STRIPES[:300, :100])] * 9
    together = list(cleaner.detect_many(enumerate(pictures)))
    assert [key for key, _ in together] == list(range(len(pictures)))
    for (_, said), data in zip(together, pictures, strict=True):
        if data == b"none":
            assert isinstance(said, ImageError)
        else:
            assert said == cleaner.detect(data)


def test_small_pictures_share_the_batches_of_the_detector(with_detector: Callable) -> None:
    detector = StripeDetector(lying=0.9, standing=0.3)
    pictures = [png(STRIPES[:64, :64])] * 16
    list(with_detector(detector).detect_many(enumerate(pictures)))
    first, *turned = detector.batches
    assert first == 16
    assert sum(turned) == 3 * 16


def test_with_the_gate_off_no_image_is_in_doubt(make_cleaner: Callable[..., Cleaner]) -> None:
    detector = StripeDetector(lying=0.9, standing=0.9)
    make_cleaner(restorer=LittleDarker(), detector=detector, gate="off").detect(png(STRIPES))
    assert detector.looks == 4


PROBABILITIES = st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda row: sum(row) > 0.1)


@given(st.lists(PROBABILITIES, min_size=1, max_size=4), st.permutations(range(4)))
def test_looks_count_alike_and_together_are_probabilities(
    rows: list[list[float]], order: list[int]
) -> None:
    looks = np.array(rows, np.float32)[:, None]
    looks /= looks.sum(axis=2, keepdims=True)
    mean = mean_of_looks(looks)
    assert mean.sum() == pytest.approx(1, abs=1e-5)
    shuffled = looks[[place for place in order if place < len(looks)]]
    assert mean_of_looks(shuffled) == pytest.approx(mean, abs=1e-6)
    assert mean_of_looks(looks[[0, 0, 0]]) == pytest.approx(looks[0], abs=1e-5)
