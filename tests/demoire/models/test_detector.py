"""The detector: logits for cells, calibrated probabilities, one score for an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from demoire.models.cost import network_cost
from demoire.models.detector import Calibration, Detector, DetectorConfig, fused, image_score
from demoire.moire import CELL, KINDS

TINY = DetectorConfig(widths=(8, 8, 8, 8, 8), depths=(0, 0, 0, 0, 0), hidden=8)


def _cells(*moire: float, kind: str = "screen") -> np.ndarray:
    """Cell probabilities with this much moiré, all of one kind."""
    probabilities = np.zeros((len(moire), len(KINDS)))
    probabilities[:, 0] = 1 - np.array(moire)
    probabilities[:, KINDS.index(kind)] = moire
    return probabilities


def test_a_cell_gives_a_logit_for_each_kind_and_small_pictures_work_too() -> None:
    detector = Detector(TINY).eval()
    with torch.inference_mode():
        assert detector(torch.rand(2, 3, CELL, CELL)).shape == (2, len(KINDS))
        smallest = torch.rand(1, 3, Detector.minimum, Detector.minimum + Detector.multiple)
        assert detector(smallest).shape == (1, len(KINDS))


def test_without_a_spectrum_there_are_the_convolutions_over_pixels_alone() -> None:
    """It says what a whole detector says whose classifier gives no weight to the spectra."""
    torch.manual_seed(0)
    whole = Detector(TINY).eval()
    alone = Detector(replace(TINY, spectrum=())).eval()
    pixels = 2 * TINY.widths[-1]  # mean and maximum of each channel
    weights = whole.state_dict()
    weights["classify.0.weight"][:, pixels:] = 0
    shared = {name: value for name, value in weights.items() if not name.startswith("spectrum.")}
    shared["classify.0.weight"] = shared["classify.0.weight"][:, :pixels]
    alone.load_state_dict(shared)
    cells = torch.rand(2, 3, CELL, CELL)
    with torch.inference_mode():
        assert torch.allclose(alone(cells), whole(cells), atol=1e-6)
        assert torch.allclose(fused(alone)(cells), whole(cells), atol=1e-5)


def _normalisations(network: torch.nn.Module) -> int:
    layers = list(network.modules())
    return len([layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d)])


def test_fused_for_inference_it_says_the_same() -> None:
    torch.manual_seed(0)
    detector = Detector(TINY)
    cells = torch.rand(6, 3, 64, 64)
    detector(cells)  # in training mode: the normalisations see some statistics
    with torch.inference_mode():
        expected = detector.eval().probabilities(cells)
        quick = fused(detector)
        assert torch.allclose(quick.probabilities(cells), expected, atol=1e-5)
    assert _normalisations(quick) == 1, "the one over the spectra has no convolution before it"
    assert _normalisations(detector) == 5 + 3 + 1, "the original stays as it was"


def test_temperature_softens_without_changing_the_order() -> None:
    torch.manual_seed(0)
    sharp = Detector(TINY).eval()
    soft = Detector(TINY, Calibration(temperature=4.0)).eval()
    soft.load_state_dict(sharp.state_dict())
    cells = torch.rand(4, 3, 64, 64)
    with torch.inference_mode():
        one = sharp.probabilities(cells)
        other = soft.probabilities(cells)
    assert torch.allclose(one.sum(dim=1), torch.ones(4))
    assert torch.equal(one.argsort(dim=1), other.argsort(dim=1))
    assert (other.max(dim=1).values < one.max(dim=1).values).all()


def test_score_of_one_cell_is_its_own_probability() -> None:
    score, kind = image_score(_cells(0.8, kind="halftone"))
    assert score == pytest.approx(0.8)
    assert kind == "halftone"


def test_a_screen_on_a_tenth_of_the_picture_is_found() -> None:
    score, kind = image_score(_cells(*[0.99] * 4, *[0.01] * 36, kind="screen"))
    assert score > 0.95
    assert kind == "screen"


def test_one_doubtful_cell_in_a_large_clean_picture_is_outvoted() -> None:
    score, kind = image_score(_cells(0.9, *[0.001] * 99))
    assert score < 0.05
    assert kind == "none"


def test_kind_is_none_below_the_threshold_that_is_asked_for() -> None:
    assert image_score(_cells(0.8), threshold=0.9)[1] == "none"
    assert image_score(_cells(0.4), threshold=0.3)[1] == "screen"


def test_certain_cells_do_not_overflow() -> None:
    assert image_score(_cells(1.0, 1.0))[0] == pytest.approx(1, abs=1e-5)
    assert image_score(_cells(0.0, 0.0))[0] == pytest.approx(0, abs=1e-5)


def test_an_image_without_cells_has_no_score() -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        image_score(np.zeros((0, 4)))


def test_cost_is_what_the_module_says() -> None:
    cost = network_cost(Detector())
    assert (round(cost.macs_per_pixel, -2), round(cost.parameters, -5)) == (900, 500_000)
