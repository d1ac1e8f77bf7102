"""Quality on pairs that are no exact twins: photographs of screens, and what the screens showed.

PSNR and SSIM mislead there: the truth has another tone, is half a pixel off, and sharper than any
lens, so a blur comes nearer to it than a good restoration. Here it is brought into the photograph's
tone first, and what cleaning did is measured apart from it; see `demoire.measure.restoration`.
Costs about two seconds a megapixel beside the cleaning.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import UsageError
from demoire.measure.restoration import (
    LEAST_SIDE,
    AlignedFigures,
    RestorationFigures,
    aligned_figures,
    shows_the_same,
)
from demoire.progress import Progress, in_silence
from pipelines.evaluation.evaluate import clean_pairs, pixels_after
from pipelines.evaluation.folder import PairFiles, read_pairs, read_picture
from pipelines.names import shown


@dataclass(frozen=True)
class AlignedPair:
    """One pair, and what cleaning made of it."""

    name: str
    figures: AlignedFigures
    status: str  # cleaned, copied or quarantined
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """The pair as an object."""
        return {
            "name": self.name,
            "strength": self.figures.strength,
            "photograph": asdict(self.figures.photograph),
            "blur": asdict(self.figures.blur),
            "result": asdict(self.figures.result),
            "pattern_below_blur": self.figures.pattern_below_blur,
            "psnr_over_blur": self.figures.psnr_over_blur,
            "status": self.status,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class AlignedMean:
    """Means over pairs."""

    photograph: RestorationFigures
    blur: RestorationFigures
    result: RestorationFigures
    pattern_below_blur: float  # dB
    psnr_over_blur: float  # dB


@dataclass(frozen=True)
class AlignedEvaluation:
    """What a cleaner did to a folder of pairs."""

    pairs: tuple[AlignedPair, ...]  # by name, at least one
    mean: AlignedMean

    def to_json(self) -> dict[str, Any]:
        """The document of `demoire evaluate --align tone --json`."""
        return {
            "align": "tone",
            "pairs": [pair.to_json() for pair in self.pairs],
            "mean": asdict(self.mean),
        }


def evaluate_aligned(
    folder: Path, cleaner: Cleaner, progress: Progress = in_silence
) -> AlignedEvaluation:
    """Measure a cleaner over pairs whose truth is fitted to the photograph's tone first.

    Args:
        folder: See `pipelines.evaluation.folder`; pictures without a twin are passed by.
        cleaner: What is measured, at its own threshold.
        progress: Told how many pairs have been measured, of how many.

    Raises:
        UsageError: The folder holds no pairs or is not in order, or a pair shows two scenes; the
            message names the file.
    """
    files = read_pairs(folder, "--align tone measures")
    pairs: list[AlignedPair] = []
    for pair, cleaned in clean_pairs(files, cleaner):
        figures = _measure(pair, cleaned)
        pairs.append(AlignedPair(pair.name, figures, cleaned.status, cleaned.reason))
        progress("evaluating", len(pairs), len(files))
    pairs.sort(key=lambda pair: pair.name)
    return AlignedEvaluation(tuple(pairs), _mean([pair.figures for pair in pairs]))


def _measure(pair: PairFiles, cleaned: Cleaned) -> AlignedFigures:
    photograph = read_picture(pair.moire)
    truth = read_picture(pair.clean)
    height, width = photograph.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise UsageError(
            f"{shown(str(pair.moire))} is of {width} x {height} px: --align tone measures pictures "
            f"from {LEAST_SIDE} px a side up, take it out of the folder."
        )
    if not shows_the_same(photograph, truth):
        raise UsageError(
            f"{shown(str(pair.moire))} and its twin {pair.clean.name} do not show the same scene "
            "in the same frame: register them, or take them out of the folder."
        )
    return aligned_figures(photograph, truth, pixels_after(cleaned, photograph))


def _mean(pairs: Sequence[AlignedFigures]) -> AlignedMean:
    below = sum(pair.pattern_below_blur for pair in pairs)
    over = sum(pair.psnr_over_blur for pair in pairs)
    return AlignedMean(
        photograph=_mean_figures([pair.photograph for pair in pairs]),
        blur=_mean_figures([pair.blur for pair in pairs]),
        result=_mean_figures([pair.result for pair in pairs]),
        pattern_below_blur=below / len(pairs),
        psnr_over_blur=over / len(pairs),
    )


def _mean_figures(figures: Sequence[RestorationFigures]) -> RestorationFigures:
    means = {}
    for field in fields(RestorationFigures):
        total = sum(getattr(one, field.name) for one in figures)
        means[field.name] = total / len(figures)
    return RestorationFigures(**means)
