"""What an evaluation came to, as values with types.

`Evaluation.to_json` is what `demoire evaluate --json` prints and what a training leaves as
evaluation.json; its keys and their order are a promise. Everything else reads the attributes.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

from demoire.measure.detection import DetectorFigures, ReliabilityBin


@dataclass(frozen=True)
class Measures:
    """How near the truth one picture is, or many are on average.

    PSNR is in dB, SSIM from -1 to 1, the colour difference in CIEDE2000. `blur` is the best
    Gaussian blur of the picture with moiré, which an oracle picks by looking at the truth.
    """

    psnr_before: float
    psnr_after: float
    psnr_blur: float
    ssim_before: float
    ssim_after: float
    ssim_blur: float
    ciede2000_before: float
    ciede2000_after: float
    ciede2000_blur: float
    blur_sigma: float  # px, of the oracle's Gaussian; 0 where no blur helps

    @property
    def gain(self) -> float:
        """What cleaning gained over the input, in dB."""
        return self.psnr_after - self.psnr_before

    @property
    def gain_over_blur(self) -> float:
        """What cleaning gained over the best blur, in dB."""
        return self.psnr_after - self.psnr_blur


MEASURES = tuple(measure.name for measure in fields(Measures))


@dataclass(frozen=True)
class PairFigures:
    """One pair: what cleaning made of it, and how near the truth that is."""

    name: str
    measures: Measures
    status: str  # cleaned, copied or quarantined
    reason: str | None
    kind: str | None  # as labels.csv has it

    def to_json(self) -> dict[str, Any]:
        """The pair as one flat object."""
        return {
            "name": self.name,
            **asdict(self.measures),
            "status": self.status,
            "reason": self.reason,
            "kind": self.kind,
        }


@dataclass(frozen=True)
class KindFigures:
    """The pairs of one kind of moiré."""

    n: int
    mean: Measures

    def to_json(self) -> dict[str, Any]:
        """Number and means as one flat object."""
        return {"n": self.n, **asdict(self.mean)}


@dataclass(frozen=True)
class JudgedImage:
    """An image whose truth is known, and what the detector made of it."""

    name: str  # of the file
    has_moire: bool  # the truth
    true_kind: str  # one of KINDS, or UNNAMED
    score: float  # probability of moiré, 0..1
    judged_kind: str  # "none" below the threshold
    strength: float | None = None  # of the pattern, RMS in 1/255, where labels.csv has it

    def to_json(self) -> dict[str, Any]:
        """What the detector said, without what only the tables need."""
        return {
            "name": self.name,
            "moire": self.has_moire,
            "score": self.score,
            "kind": self.judged_kind,
        }


@dataclass(frozen=True)
class StrengthClass:
    """Images whose pattern is about as strong, and how many of them were found."""

    begin: float  # RMS of the pattern in 1/255, from which the class begins
    n: int
    found: int

    def to_json(self) -> dict[str, Any]:
        """The class as an object; `from` is no name in Python."""
        return {"from": self.begin, "n": self.n, "found": self.found}


@dataclass(frozen=True)
class Reliability:
    """How well the scores hold as probabilities."""

    error: float  # expected calibration error, 0..1
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The error and the diagram as an object."""
        bins = []
        for step in self.bins:
            bins.append({"n": step.n, "said": step.mean_score, "so": step.moire_share})
        return {"error": self.error, "bins": bins}


@dataclass(frozen=True)
class Evaluation:
    """The figures of a cleaner over a folder of labelled images."""

    pairs: tuple[PairFigures, ...]  # by name
    mean: Measures | None  # over the pairs; None without pairs
    detector: DetectorFigures  # over all labelled images, at the cleaner's threshold
    threshold: float
    clean_touched: float | None  # share of clean images that reach the threshold; None without any
    images: tuple[JudgedImage, ...]
    confusion: dict[str, dict[str, int]]  # true kind -> judged kind -> images
    strengths: tuple[StrengthClass, ...]  # of images with moiré; only classes that occur
    calibration: Reliability
    kinds: dict[str, KindFigures]  # by the kinds that labels.csv names

    def to_json(self) -> dict[str, Any]:
        """The document of `demoire evaluate --json`.

        Every figure without a meaning is null: the means of no pairs, the AUC of one class.
        """
        detector = asdict(self.detector)
        del detector["roc"]  # which stands beside it
        mean: dict[str, float | None] = dict.fromkeys(MEASURES)
        if self.mean is not None:
            mean.update(asdict(self.mean))
        return {
            "pairs": [pair.to_json() for pair in self.pairs],
            "mean": mean,
            "detector": detector,
            "threshold": self.threshold,
            "clean_touched": self.clean_touched,
            "images": [image.to_json() for image in self.images],
            "roc": [list(astuple(point)) for point in self.detector.roc],
            "confusion": self.confusion,
            "strengths": [strength.to_json() for strength in self.strengths],
            "calibration": self.calibration.to_json(),
            "kinds": {kind: figures.to_json() for kind, figures in self.kinds.items()},
        }


def mean_of(pairs: Sequence[PairFigures]) -> Measures:
    """Average every measure over at least one pair."""
    means = {}
    for name in MEASURES:
        total = sum(getattr(pair.measures, name) for pair in pairs)
        means[name] = total / len(pairs)
    return Measures(**means)
