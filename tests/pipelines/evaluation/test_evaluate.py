"""Figures against the truth: with models whose answers are known, every figure is known, too."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from demoire.simulate.pairs import PairSet, write_pairs
from pipelines.evaluation.evaluate import evaluate_pairs
from pipelines.evaluation.figures import StrengthClass
from tests.pipelines.evaluation.conftest import LIFT, MakeCleaner, Ranked, scene, write


def test_a_restorer_that_undoes_the_damage_reaches_the_truth(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    evaluation = evaluate_pairs(pairs, make_cleaner("always", gate="off"))

    assert [pair.name for pair in evaluation.pairs] == ["a", "a_2", "b"]
    for pair in evaluation.pairs:
        assert pair.status == "cleaned"
        measures = pair.measures
        assert measures.psnr_before == pytest.approx(20 * np.log10(255 / LIFT), abs=0.01)
        assert measures.psnr_after == 100, "equal pictures count as 100 dB"
        assert measures.ssim_after == pytest.approx(1)
        assert measures.ciede2000_after < 0.01 < measures.ciede2000_before
    assert evaluation.mean is not None
    assert evaluation.mean.psnr_after == 100


def test_images_are_listed_by_name_with_those_that_have_moire_first(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    write(pairs / "0_only_clean.png", scene(7))
    write(pairs / "0_only_moire.png", scene(8))

    images = evaluate_pairs(pairs, make_cleaner("always")).images

    assert [image.name for image in images] == [
        *("a_moire.png", "a_2_moire.png", "b_moire.png", "0_only_moire.png"),
        *("a_clean.png", "a_2_clean.png", "b_clean.png", "0_only_clean.png"),
    ]


def test_the_document_is_plain_json_with_a_flat_object_a_pair(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    document = evaluate_pairs(pairs, make_cleaner("always", gate="off")).to_json()

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["pairs"][0]["name"] == "a"
    assert document["pairs"][0]["psnr_after"] == 100
    assert document["pairs"][0]["status"] == "cleaned"


def test_the_gate_lets_nothing_through_that_the_detector_calls_clean(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    evaluation = evaluate_pairs(pairs, make_cleaner("never"))

    assert {pair.status for pair in evaluation.pairs} == {"copied"}
    assert {pair.measures.gain for pair in evaluation.pairs} == {0}


def test_with_the_gate_off_everything_is_restored_and_judged_all_the_same(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    evaluation = evaluate_pairs(pairs, make_cleaner("never", gate="off"))

    assert {pair.measures.psnr_after for pair in evaluation.pairs} == {100}
    assert evaluation.detector.recall == 0
    assert evaluation.detector.n == 6


def test_the_blur_is_the_one_that_the_truth_would_pick(
    tmp_path: Path, make_cleaner: MakeCleaner
) -> None:
    truth = cv2.GaussianBlur(scene(5), (0, 0), 3)
    noise = np.random.default_rng(6).normal(0, 20, truth.shape)
    grainy = (truth + noise).clip(0, 255).astype(np.uint8)
    write(tmp_path / "x_clean.png", truth)
    write(tmp_path / "x_moire.png", grainy)

    (pair,) = evaluate_pairs(tmp_path, make_cleaner("never")).pairs

    rival = cv2.GaussianBlur(grainy, (0, 0), pair.measures.blur_sigma)
    expected = peak_signal_noise_ratio(truth, rival)
    assert pair.measures.psnr_blur == pytest.approx(expected, abs=0.05)
    assert pair.measures.psnr_blur > pair.measures.psnr_before + 5


def test_a_detector_that_ranks_all_moire_above_all_clean_is_perfect(ranked: Ranked) -> None:
    ranked.label_as_moire(5, 6, 7)

    evaluation = evaluate_pairs(ranked.folder, ranked.cleaner_at(4.5))

    detector = evaluation.detector
    assert (detector.n, detector.accuracy, detector.auc) == (8, 1, 1)
    assert (detector.precision, detector.recall, detector.f1) == (1, 1, 1)
    assert evaluation.clean_touched == 0


def test_without_pairs_there_are_no_means(ranked: Ranked) -> None:
    ranked.label_as_moire(7)

    evaluation = evaluate_pairs(ranked.folder, ranked.cleaner)

    assert evaluation.pairs == ()
    assert evaluation.mean is None
    assert set(evaluation.to_json()["mean"].values()) == {None}


def test_a_detector_that_is_wrong_about_everything_has_no_area(ranked: Ranked) -> None:
    ranked.label_as_moire(0, 1, 2)

    assert evaluate_pairs(ranked.folder, ranked.cleaner).detector.auc == 0


def test_one_class_alone_has_no_area_at_all(ranked: Ranked) -> None:
    ranked.label_as_moire()

    evaluation = evaluate_pairs(ranked.folder, ranked.cleaner_at(6))

    assert evaluation.detector.auc is None
    assert evaluation.clean_touched == 0.25, "two of eight reach the threshold"


def test_judgements_are_set_beside_the_truth_by_kind(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    (pairs / "labels.csv").write_text("name,kind\na,screen\nb,halftone\n")

    evaluation = evaluate_pairs(pairs, make_cleaner("always"))

    nothing = {"none": 0, "halftone": 0, "texture": 0}
    assert evaluation.confusion == {
        "none": {**nothing, "screen": 3},
        "screen": {**nothing, "screen": 1},
        "halftone": {**nothing, "screen": 1},
        "moire": {**nothing, "screen": 1},  # a_2, of which labels.csv says nothing
    }
    assert {image.judged_kind for image in evaluation.images} == {"screen"}


def test_scores_are_set_beside_the_truth_as_probabilities(
    pairs: Path, make_cleaner: MakeCleaner
) -> None:
    calibration = evaluate_pairs(pairs, make_cleaner("always")).calibration

    (only_bin,) = calibration.bins
    assert (only_bin.n, only_bin.moire_share) == (6, 0.5)
    assert only_bin.mean_score > 0.99
    assert calibration.error == pytest.approx(only_bin.mean_score - 0.5)


@pytest.mark.parametrize(("detector", "found"), [("always", 1), ("never", 0)])
def test_what_is_found_is_counted_by_the_strength_of_the_pattern(
    pairs: Path, make_cleaner: MakeCleaner, detector: str, found: int
) -> None:
    rows = "a,screen,7.99\nb,halftone,25\na_2,screen,?\n"
    (pairs / "labels.csv").write_text(f"name,kind,strength\n{rows}")

    evaluation = evaluate_pairs(pairs, make_cleaner(detector))

    assert evaluation.strengths == (StrengthClass(4, 1, found), StrengthClass(16, 1, found))


def test_progress_counts_every_image_once(pairs: Path, make_cleaner: MakeCleaner) -> None:
    told: list[tuple[float, float]] = []

    evaluate_pairs(
        pairs, make_cleaner("never"), lambda what, done, total: told.append((done, total))
    )

    assert told == [(done, 6) for done in range(1, 7)]


def test_what_demoire_simulate_writes_is_grouped_by_kind(
    tmp_path: Path, make_cleaner: MakeCleaner
) -> None:
    for kind in ("screen", "halftone", "none"):
        write_pairs(None, tmp_path, PairSet(kind, 2, seed=1, size=256))  # type: ignore[arg-type]

    evaluation = evaluate_pairs(tmp_path, make_cleaner("never"))

    numbers = {kind: group.n for kind, group in evaluation.kinds.items()}
    assert numbers == {"screen": 2, "halftone": 2}
    halftone = evaluation.kinds["halftone"].mean
    assert halftone.psnr_blur > halftone.psnr_before
    assert evaluation.detector.n == 10
