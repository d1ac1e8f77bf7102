"""Figures of a detector, against cases that were done by hand."""

import math

import pytest

from demoire.measure.detection import (
    RocPoint,
    calibration_error,
    detector_figures,
    reliability,
    share_interval,
)


def test_detector_figures_of_a_case_done_by_hand() -> None:
    truth = [True, True, True, False, False, False, False, True]
    scores = [0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.1, 0.6]
    figures = detector_figures(truth, scores, 0.5)
    assert (figures.n, figures.accuracy) == (8, 0.75)
    assert (figures.precision, figures.recall, figures.f1) == (0.75, 0.75, 0.75)
    assert figures.auc == pytest.approx(14 / 16)  # of 16 pairs, 0.6 and 0.3 stand behind 0.7
    assert figures.roc[0] == RocPoint(0.9, false_positive_rate=0.0, true_positive_rate=0.25)
    last = figures.roc[-1]
    assert (last.false_positive_rate, last.true_positive_rate) == (1.0, 1.0)
    assert all(math.isfinite(point.threshold) for point in figures.roc)


def test_figures_that_have_no_denominator_are_none() -> None:
    clean = detector_figures([False, False], [0.1, 0.2], 0.5)
    assert clean.accuracy == 1.0
    assert (clean.precision, clean.recall, clean.f1) == (None, None, None)
    assert (clean.auc, clean.roc) == (None, ())
    with pytest.raises(ValueError, match="no figures"):
        detector_figures([], [], 0.5)


def test_reliability_sets_the_mean_score_beside_the_share_with_moire() -> None:
    truth, scores = [False, False, True, True, True, False], [0.02, 0.04, 0.06, 0.93, 1.0, 0.95]
    low, high = reliability(truth, scores)
    assert (low.n, high.n) == (3, 3)
    assert (low.mean_score, low.moire_share) == pytest.approx((0.04, 1 / 3))
    assert (high.mean_score, high.moire_share) == pytest.approx((0.96, 2 / 3))
    assert calibration_error((low, high)) == pytest.approx((1 / 3 - 0.04) / 2 + (0.96 - 2 / 3) / 2)


def test_scores_that_are_right_as_often_as_they_say_have_no_calibration_error() -> None:
    scores = [0.25] * 4 + [0.75] * 4
    truth = [True, False, False, False, True, True, True, False]
    assert calibration_error(reliability(truth, scores)) == 0


def test_a_share_of_nothing_is_unknown() -> None:
    assert share_interval(0, 0) == (0.0, 1.0)


def test_intervals_agree_with_published_ones() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I."""
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
