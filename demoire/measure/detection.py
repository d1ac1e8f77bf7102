"""How right a detector is: ROC, threshold figures, and calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve


@dataclass(frozen=True)
class DetectorFigures:
    """How right a detector is on images whose truth is known; a ratio without a denominator is
    None.
    """

    n: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None  # area under the ROC curve; None unless both classes are there
    # (threshold, false positive rate, true positive rate), threshold falling; the corner (0, 0) is
    # left out.
    roc: tuple[tuple[float, float, float], ...]


def detector_figures(
    truth: Sequence[bool], scores: Sequence[float], threshold: float
) -> DetectorFigures:
    """Figures of scores (probability of moiré, 0..1) against the truth; `score >= threshold` says
    moiré.

    Raises ValueError when there are none or their numbers differ.
    """
    if len(truth) != len(scores) or not len(truth):
        raise ValueError(f"{len(truth)} truths and {len(scores)} scores give no figures")
    is_moire, score = np.asarray(truth, bool), np.asarray(scores, float)
    said = score >= threshold
    right, wrong, missed = (
        int((said & is_moire).sum()),
        int((said & ~is_moire).sum()),
        int((~said & is_moire).sum()),
    )
    both = bool(is_moire.any() and not is_moire.all())
    return DetectorFigures(
        n=len(score),
        accuracy=float((said == is_moire).mean()),
        precision=_ratio(right, right + wrong),
        recall=_ratio(right, right + missed),
        f1=_ratio(2 * right, 2 * right + wrong + missed),
        auc=float(roc_auc_score(is_moire, score)) if both else None,
        roc=_roc(is_moire, score) if both else (),
    )


@dataclass(frozen=True)
class ReliabilityBin:
    """Images of which a detector said about the same, and how many of them it was true of."""

    n: int
    said: float  # mean score, 0..1
    so: float  # share that has moiré, 0..1


def reliability(
    truth: Sequence[bool], scores: Sequence[float], bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """What was said beside what is so, over equal steps of the score (probability of moiré); empty
    steps are left out.

    The reliability diagram of Niculescu-Mizil and Caruana, "Predicting Good Probabilities", 2005.
    """
    is_moire, score = np.asarray(truth, bool), np.asarray(scores, float)
    step = np.minimum((score * bins).astype(int), bins - 1)
    masks = [step == number for number in range(bins)]
    return tuple(
        ReliabilityBin(int(mask.sum()), float(score[mask].mean()), float(is_moire[mask].mean()))
        for mask in masks
        if mask.any()
    )


def calibration_error(reliability: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: the mean distance between what is said and what is so (Guo et
    al., 2017).
    """
    count = sum(found.n for found in reliability)
    return sum(found.n * abs(found.said - found.so) for found in reliability) / max(1, count)


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen as `part` of `whole`, 0..1.

    By Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927: unlike
    the normal one it holds for shares near 0, of which this project has most. (0, 1) of nothing.
    """
    if whole == 0:
        return 0.0, 1.0
    z = 1.959964
    share = part / whole
    middle = share + z * z / (2 * whole)
    reach = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _roc(
    is_moire: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[tuple[float, float, float], ...]:
    points = list(zip(*roc_curve(is_moire, score), strict=True))
    return tuple(
        (float(threshold), float(false), float(true)) for false, true, threshold in points[1:]
    )
