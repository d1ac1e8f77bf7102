"""Pairs that are no exact twins: the photograph has another tone, and a pattern over it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from demoire.errors import UsageError
from pipelines.evaluation.aligned import evaluate_aligned
from tests.pipelines.evaluation.conftest import LIFT, MakeCleaner, scene, write


def _photograph(shown: np.ndarray, strength: float) -> np.ndarray:
    """What a camera makes of a screen: less contrast, a warm tone, stripes of 6 px."""
    stripes = strength * np.sqrt(2) * np.sin(np.arange(shown.shape[1]) * 2 * np.pi / 6)
    toned = 0.8 * shown.astype(np.float32) * np.array([1.0, 0.95, 0.85]) + 15
    return np.clip(toned + stripes[None, :, None], 0, 255).astype(np.uint8)


@pytest.fixture
def real_pairs(tmp_path: Path) -> Path:
    """Two pairs with patterns of 4 and 8 in 255."""
    folder = tmp_path / "real"
    folder.mkdir()
    for name, seed, strength in (("faint", 0, 4.0), ("strong", 1, 8.0)):
        soft = cv2.GaussianBlur(scene(seed), (0, 0), 2)
        write(folder / f"{name}_clean.png", soft)
        write(folder / f"{name}_moire.png", _photograph(soft, strength))
    return folder


def test_the_truth_is_fitted_to_the_photographs_tone(
    real_pairs: Path, make_cleaner: MakeCleaner
) -> None:
    evaluation = evaluate_aligned(real_pairs, make_cleaner("never"))
    faint, strong = evaluation.pairs
    assert (faint.name, strong.name) == ("faint", "strong")
    assert (faint.status, strong.status) == ("copied", "copied")
    assert faint.figures.strength == pytest.approx(4, rel=0.1)
    assert strong.figures.strength == pytest.approx(8, rel=0.1)
    # PSNR is what the pattern alone costs, whatever the tone.
    assert strong.figures.photograph.tolerant_psnr == pytest.approx(20 * np.log10(255 / 8), abs=0.7)
    assert strong.figures.result == strong.figures.photograph
    assert evaluation.mean.photograph.pattern_left == pytest.approx(6, rel=0.1)


def test_a_result_is_measured_beside_the_best_blur(
    real_pairs: Path, make_cleaner: MakeCleaner
) -> None:
    """The test's restorer makes everything lighter, and takes no pattern away."""
    mean = evaluate_aligned(real_pairs, make_cleaner("always", gate="off")).mean
    assert mean.result.tone_shift == pytest.approx(LIFT, abs=0.5)
    assert mean.result.pattern_left == pytest.approx(mean.photograph.pattern_left, rel=0.05)
    assert mean.blur.pattern_left < 0.5 * mean.photograph.pattern_left
    assert mean.pattern_below_blur < -5
    assert mean.psnr_over_blur < -1


def test_a_pair_of_two_scenes_is_named(real_pairs: Path, make_cleaner: MakeCleaner) -> None:
    write(real_pairs / "strong_clean.png", scene(7))
    with pytest.raises(UsageError, match=r"strong_moire\.png.* do not show the same scene"):
        evaluate_aligned(real_pairs, make_cleaner("never"))


def test_a_picture_too_small_to_measure_is_named(
    real_pairs: Path, make_cleaner: MakeCleaner
) -> None:
    for role in ("moire", "clean"):
        write(real_pairs / f"tiny_{role}.png", scene(2, side=40))
    with pytest.raises(UsageError, match=r"tiny_moire\.png is of 40 x 40 px"):
        evaluate_aligned(real_pairs, make_cleaner("never"))


def test_a_folder_without_pairs_is_one_sentence(tmp_path: Path, make_cleaner: MakeCleaner) -> None:
    write(tmp_path / "a_only_clean.png", scene(0))
    with pytest.raises(UsageError, match="holds no pairs, which --align tone measures"):
        evaluate_aligned(tmp_path, make_cleaner("never"))
