"""Calibration: a temperature that makes probabilities true, thresholds that leave clean images
alone.
"""

import numpy as np
import pytest
import torch

from demoire.models.detector import Calibration
from demoire.training.calibration import CleanPictures, calibrate, validation_figures


def _overconfident(count: int, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn by the softmax of logits, and those logits made too large by a factor."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 1.5, (count, 4)))
    chances = logits.softmax(dim=1).numpy()
    kinds = torch.tensor([rng.choice(4, p=row) for row in chances])
    return (factor * logits).float(), kinds


def test_temperature_finds_the_overconfidence() -> None:
    logits, kinds = _overconfident(4000, factor=3.0)
    assert calibrate(logits, kinds, CleanPictures()).temperature == pytest.approx(3.0, rel=0.1)


def test_calibration_makes_probabilities_true() -> None:
    logits, kinds = _overconfident(4000, factor=3.0)
    raw = validation_figures(logits, kinds, CleanPictures(), Calibration())
    fitted = validation_figures(
        logits, kinds, CleanPictures(), calibrate(logits, kinds, CleanPictures())
    )
    assert fitted["calibration_error"] < 0.03 < raw["calibration_error"]
    assert fitted["auc"] == pytest.approx(raw["auc"], abs=0.02)


def test_threshold_leaves_clean_tiles_and_pictures_alone() -> None:
    logits, kinds = _overconfident(4000, factor=1.0)
    clean = CleanPictures(
        natural=(torch.tensor([[2.0, 0, 0, 0], [0.0, 1, 0, 0]]), torch.tensor([[3.0, 0, 0, 0]]))
    )
    calibration = calibrate(logits, kinds, clean)
    scores = 1 - (logits.double() / calibration.temperature).softmax(dim=1)[kinds == 0][:, 0]
    assert 0.003 < (scores >= calibration.threshold).double().mean() <= 0.005
    assert validation_figures(logits, kinds, clean, calibration)["clean_touched"] == 0
    assert calibration.threshold >= 0.5
    assert calibration.cell_threshold == 0.1


def test_field_pictures_raise_the_threshold() -> None:
    """One that is taken for moiré in 100 is too many; one in 300 is not."""
    logits, kinds = _overconfident(4000, factor=1.0)
    sure = torch.tensor([[0.0, 9.0, 0, 0]] * 4)
    harmless = torch.tensor([[9.0, 0, 0, 0]])
    alone = calibrate(logits, kinds, CleanPictures()).threshold
    few = calibrate(logits, kinds, CleanPictures(field=(sure, *[harmless] * 99))).threshold
    many = calibrate(logits, kinds, CleanPictures(field=(sure, *[harmless] * 299))).threshold
    assert few > 0.999
    assert many == alone


def test_one_clean_picture_in_some_hundred_is_enough_to_be_less_sure() -> None:
    """The threshold takes it for an exception; a score as high as its own no longer does alone."""
    logits, kinds = _overconfident(4000, factor=1.0)
    exception = torch.tensor([[0.0, 9.0, 0, 0]] * 4)
    harmless = torch.tensor([[9.0, 0, 0, 0]])
    without = calibrate(logits, kinds, CleanPictures(field=tuple([harmless] * 300)))
    with_it = calibrate(logits, kinds, CleanPictures(field=(exception, *[harmless] * 299)))
    assert with_it.threshold == without.threshold
    assert with_it.sure > 0.999 > without.sure > without.threshold


def test_figures_by_hand() -> None:
    """Two clean tiles, one of them suspected; two screens, one found and one taken for halftone."""
    logits = torch.tensor([[5.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 5.0, 0, 0], [0, 0, 5.0, 0]])
    figures = validation_figures(
        logits, torch.tensor([0, 0, 1, 1]), CleanPictures(), Calibration(threshold=0.5)
    )
    assert (figures["accuracy"], figures["recall"], figures["precision"]) == (0.75, 1.0, 0.66667)
    assert figures["confusion"]["screen"] == {"none": 0, "screen": 1, "halftone": 1, "texture": 0}
    assert figures["n"] == 4


def test_partial_auc_counts_false_alarms_where_thresholds_lie() -> None:
    """One clean tile in a hundred above all moiré: the whole ROC hardly shows it, its beginning
    does.
    """
    kinds = torch.tensor([0] * 100 + [1] * 100)
    logits = torch.zeros(200, 4)
    logits[:, 1] = torch.tensor([9.0] + [-5.0] * 99 + [5.0] * 100)
    figures = validation_figures(logits, kinds, CleanPictures(), Calibration())
    assert figures["auc"] == pytest.approx(0.99)
    assert figures["partial_auc"] == pytest.approx(
        (1 + (0.04 - 0.05**2 / 2) / (0.05 - 0.05**2 / 2)) / 2, abs=1e-4
    )
