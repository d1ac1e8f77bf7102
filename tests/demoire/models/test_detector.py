"""The detector: logits for tiles, probabilities by temperature, one score for an image out of many
tiles.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from demoire.models.detector import TILE, Calibration, Detector, DetectorConfig, fused, image_score
from demoire.models.layers import network_cost
from demoire.moire import KINDS
from demoire.simulate import KINDS as SIMULATED_KINDS

TINY = DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8)


def _tiles(*moire: float, kind: str = "screen") -> np.ndarray:
    """Tile probabilities with this much moiré, all of one kind."""
    probabilities = np.zeros((len(moire), len(KINDS)))
    probabilities[:, 0] = 1 - np.array(moire)
    probabilities[:, KINDS.index(kind)] = moire
    return probabilities


def test_kinds_are_those_that_are_simulated() -> None:
    assert KINDS == SIMULATED_KINDS


def test_a_tile_gives_a_logit_for_each_kind_and_small_pictures_work_too() -> None:
    detector = Detector(TINY).eval()
    with torch.inference_mode():
        assert detector(torch.rand(2, 3, TILE, TILE)).shape == (2, len(KINDS))
        assert detector(torch.rand(1, 3, 64, 100)).shape == (1, len(KINDS))


def test_without_a_spectrum_there_are_the_convolutions_over_pixels_alone() -> None:
    detector = Detector(replace(TINY, spectrum=())).eval()
    with torch.inference_mode():
        assert detector(torch.rand(2, 3, TILE, TILE)).shape == (2, len(KINDS))
        assert fused(detector)(torch.rand(1, 3, 64, 64)).shape == (1, len(KINDS))


def test_fused_for_inference_it_says_the_same() -> None:
    torch.manual_seed(0)
    detector = Detector(TINY)
    tiles = torch.rand(6, 3, 64, 64)
    detector(tiles)  # in training mode: the normalisations see some statistics
    with torch.inference_mode():
        said = detector.eval().probabilities(tiles)
        quick = fused(detector)
        assert torch.allclose(quick.probabilities(tiles), said, atol=1e-5)
    left, before = (
        sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
        for network in (quick, detector)
    )
    assert left == 1, "the one over the spectra, with no convolution before it"
    assert before == 5 + 3 + 1, "the original stays as it was"


def test_temperature_softens_without_changing_the_order() -> None:
    torch.manual_seed(0)
    sharp = Detector(TINY).eval()
    soft = Detector(TINY, Calibration(temperature=4.0)).eval()
    soft.load_state_dict(sharp.state_dict())
    tiles = torch.rand(4, 3, 64, 64)
    with torch.inference_mode():
        one, other = sharp.probabilities(tiles), soft.probabilities(tiles)
    assert torch.allclose(one.sum(dim=1), torch.ones(4))
    assert torch.equal(one.argsort(dim=1), other.argsort(dim=1))
    assert (other.max(dim=1).values < one.max(dim=1).values).all()


def test_score_of_one_tile_is_its_own_probability() -> None:
    score, kind = image_score(_tiles(0.8, kind="halftone"))
    assert score == pytest.approx(0.8)
    assert kind == "halftone"


def test_a_screen_on_a_tenth_of_the_picture_is_found() -> None:
    score, kind = image_score(_tiles(*[0.99] * 4, *[0.01] * 36, kind="screen"))
    assert score > 0.95
    assert kind == "screen"


def test_one_doubtful_tile_in_a_large_clean_picture_is_outvoted() -> None:
    score, kind = image_score(_tiles(0.9, *[0.001] * 99))
    assert score < 0.05
    assert kind == "none"


def test_kind_is_none_below_the_threshold_that_is_asked_for() -> None:
    assert image_score(_tiles(0.8), threshold=0.9)[1] == "none"
    assert image_score(_tiles(0.4), threshold=0.3)[1] == "screen"


def test_certain_tiles_do_not_overflow() -> None:
    assert image_score(_tiles(1.0, 1.0))[0] == pytest.approx(1, abs=1e-5)
    assert image_score(_tiles(0.0, 0.0))[0] == pytest.approx(0, abs=1e-5)


def test_an_image_without_tiles_has_no_score() -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        image_score(np.zeros((0, 4)))


def test_cost_is_what_the_module_says() -> None:
    cost = network_cost(Detector())
    assert (round(cost.macs_per_pixel, -2), round(cost.parameters, -5)) == (900, 500_000)
