"""How right a detector is: figures at a threshold, ROC, and how far its scores are probabilities.

Scores are probabilities of moiré, 0..1, of images whose truth is known. These measures are the same
for whole images (`demoire evaluate`) and for single cells (training).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Truth = Sequence[bool] | NDArray[np.bool_]
Scores = Sequence[float] | NDArray[np.float64]

_STEPS = 10  # of the score, in a reliability diagram


@dataclass(frozen=True)
class RocPoint:
    """What a detector does at one threshold.

    Attributes:
        threshold: 0..1; scores from here on count as moiré.
        false_positive_rate: Share of clean images that reach the threshold, 0..1.
        true_positive_rate: Share of images with moiré that reach it, 0..1.
    """

    threshold: float
    false_positive_rate: float
    true_positive_rate: float


@dataclass(frozen=True)
class DetectorFigures:
    """How right a detector is on images whose truth is known.

    A ratio whose denominator is zero is None.

    Attributes:
        n: Images.
        accuracy: Share that is judged right, 0..1.
        precision: Of the images judged to have moiré, the share that has, 0..1.
        recall: Of the images with moiré, the share judged to have it, 0..1.
        f1: Harmonic mean of precision and recall, 0..1.
        auc: Area under the ROC curve, 0.5 for guessing; None unless both classes are there.
        roc: The curve, with falling thresholds and without its corner (0, 0); empty unless both
            classes are there.
    """

    n: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    roc: tuple[RocPoint, ...]


def detector_figures(truth: Truth, scores: Scores, threshold: float) -> DetectorFigures:
    """Hold scores against the truth.

    Args:
        truth: Whether each image has moiré.
        scores: Probability of moiré of each, 0..1.
        threshold: Scores of at least this count as moiré.

    Raises:
        ValueError: There are no images, or the numbers of truths and scores differ.

    References:
        Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006.
    """
    if len(truth) != len(scores) or not len(truth):
        raise ValueError(f"{len(truth)} truths and {len(scores)} scores give no figures")
    is_moire = np.asarray(truth, bool)
    score = np.asarray(scores, float)
    is_flagged = score >= threshold
    true_positives = int((is_flagged & is_moire).sum())
    false_positives = int((is_flagged & ~is_moire).sum())
    false_negatives = int((~is_flagged & is_moire).sum())
    has_both_classes = bool(is_moire.any() and not is_moire.all())
    return DetectorFigures(
        n=len(score),
        accuracy=float((is_flagged == is_moire).mean()),
        precision=_ratio(true_positives, true_positives + false_positives),
        recall=_ratio(true_positives, true_positives + false_negatives),
        f1=_ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        auc=float(roc_auc_score(is_moire, score)) if has_both_classes else None,
        roc=_roc(is_moire, score) if has_both_classes else (),
    )


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose scores lie in the same step.

    Attributes:
        n: Images in the step.
        mean_score: Their mean score, 0..1.
        moire_share: The share of them that has moiré, 0..1.
    """

    n: int
    mean_score: float
    moire_share: float


def reliability(truth: Truth, scores: Scores) -> tuple[ReliabilityBin, ...]:
    """A reliability diagram: mean score beside the share with moiré, over equal steps of the score.

    Args:
        truth: Whether each image has moiré.
        scores: Probability of moiré of each, 0..1.

    Returns:
        The steps from low to high scores, without empty ones.

    References:
        Niculescu-Mizil, Caruana, "Predicting Good Probabilities With Supervised Learning", ICML
        2005.
    """
    is_moire = np.asarray(truth, bool)
    score = np.asarray(scores, float)
    step = np.minimum((score * _STEPS).astype(int), _STEPS - 1)  # a score of 1 is in the last step
    diagram = []
    for number in range(_STEPS):
        mask = step == number
        if not mask.any():
            continue
        reliability_bin = ReliabilityBin(
            n=int(mask.sum()),
            mean_score=float(score[mask].mean()),
            moire_share=float(is_moire[mask].mean()),
        )
        diagram.append(reliability_bin)
    return tuple(diagram)


def calibration_error(diagram: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error of a reliability diagram.

    The mean over images of |mean score - share with moiré| of their step.

    Returns:
        0..1; 0 for scores that are right as often as they say.

    References:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
    """
    count = 0
    error = 0.0
    for step in diagram:
        count += step.n
        error += step.n * abs(step.mean_score - step.moire_share)
    return error / max(1, count)


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share that was seen as `part` of `whole`.

    Unlike the normal interval, Wilson's holds for shares near 0, which most of ours are.

    Returns:
        Lower and upper bound, 0..1; (0, 1) where `whole` is 0.

    References:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of
        the American Statistical Association 22, 1927.
    """
    if whole == 0:
        return 0.0, 1.0
    z = 1.959964  # of the normal distribution, for 95 %
    share = part / whole
    middle = share + z * z / (2 * whole)
    reach = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _roc(is_moire: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[RocPoint, ...]:
    false_positive_rates, true_positive_rates, thresholds = roc_curve(is_moire, score)
    # The first point is (0, 0) at a threshold of infinity, which is no JSON.
    points = zip(
        thresholds[1:].tolist(),
        false_positive_rates[1:].tolist(),
        true_positive_rates[1:].tolist(),
        strict=True,
    )
    return tuple(RocPoint(*point) for point in points)
