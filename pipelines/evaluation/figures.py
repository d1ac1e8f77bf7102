"""Quality against the truth: the cleaner over labelled pairs, beside the best blur that an oracle
could pick.

A folder holds NAME_moire.EXT with its exact twin NAME_clean.EXT, and for the detector alone
NAME_only_moire.EXT and NAME_only_clean.EXT; other files are passed by, folders in it are not
entered. What is measured is what a user gets: the cleaned file decoded again, as 8-bit RGB. The
cleaner runs in this process, with its own overlapped stages; measuring costs about half a second a
megapixel beside it, most of it the oracle's blurs.

The folder is checked before anything is cleaned, so that one that is not in order says so at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import ImageError
from demoire.measure.blur import oracle_blur
from demoire.measure.detection import calibration_error, detector_figures, reliability
from demoire.measure.likeness import colour_difference, psnr, ssim
from demoire.moire import KINDS
from pipelines.evaluation.folder import (
    UNNAMED,
    PairFiles,
    _bytes,
    _labels,
    _rgb,
    _strength,
    _true_kind,
    _unreadable,
    read_folder,
)
from pipelines.report.previews import rgb

MEASURES = ("psnr_before", "psnr_after", "psnr_blur", "ssim_before", "ssim_after", "ssim_blur")
MORE_MEASURES = ("ciede2000_before", "ciede2000_after", "ciede2000_blur", "blur_sigma")
SAME = 100.0  # dB, for pictures that are equal to the bit: infinity is no JSON and has no mean


# where the classes of strength begin, RMS of the pattern in 1/255
STRENGTHS = (0.0, 4.0, 8.0, 16.0)

Progress = Callable[[int, int], None]  # images done, of how many


@dataclass(frozen=True)
class Said:
    """What the detector says of an image."""

    score: float  # probability of moiré, 0..1
    kind: str  # "none" below the threshold


@dataclass(frozen=True)
class Labelled:
    """An image whose truth is known, and what was said of it."""

    path: Path
    kind: str  # one of KINDS, or UNNAMED
    said: Said
    strength: float | None = None  # of the pattern, in 1/255, where labels.csv has it

    @property
    def moire(self) -> bool:
        """Whether it has moiré."""
        return self.kind != KINDS[0]


def evaluate_pairs(
    folder: Path, cleaner: Cleaner, on_progress: Progress | None = None
) -> dict[str, Any]:
    """The figures of a cleaner over a folder of labelled images, as `demoire evaluate --json`
    prints them.

    "pairs": by name, each with PSNR (dB; 100 where equal) and SSIM _before, _after and _blur, then
    CIEDE2000, the oracle's sigma (px), status and kind. "mean": the means of these, None without
    pairs. "detector": accuracy, precision, recall, f1, auc and n over all labelled images, at the
    cleaner's threshold; what has no meaning is None, as auc where there is one class only. Beside
    them "kinds": the means by the kinds that labels.csv names; "threshold"; "clean_touched": the
    share of clean images that reach it; "images": each one's score and the kind that it was said to
    be; "roc": (threshold, false positive rate, true positive rate); "confusion": by true kind
    ("moire" where labels.csv has none), how many images were said to be of each; "strengths": of
    the images with moiré whose strength labels.csv has, for each class the strength it begins
    "from", n and how many were "found"; "calibration": the expected "error" of the scores as
    probabilities, and its "bins": n, said (mean score) and so (share with moiré). Raises UsageError
    for a folder that is empty or not in order, naming the file.
    """
    found = read_folder(folder)
    total = len(found.pairs) * 2 + len(found.only_moire) + len(found.only_clean)
    said: dict[Path, Said] = {}
    pairs: list[dict[str, Any]] = []

    def take(path: Path, judgement: Said) -> None:
        said[path] = judgement
        if on_progress is not None:
            on_progress(len(said), total)

    labels = _labels(folder)
    for pair, cleaned in _clean(found.pairs, cleaner):
        pairs.append(
            {
                "name": pair.name,
                **_measure(pair, cleaned),
                **_outcome(cleaned, labels.get(pair.name, {}).get("kind")),
            }
        )
        take(pair.moire, _said_in_passing(cleaned) or _judge(pair.moire, cleaner))
    pairs.sort(key=lambda pair: pair["name"])
    moire = [*(pair.moire for pair in found.pairs), *found.only_moire]
    clean = [*(pair.clean for pair in found.pairs), *found.only_clean]
    for path in [*found.only_moire, *clean]:
        take(path, _judge(path, cleaner))
    labelled = [
        Labelled(path, _true_kind(path, labels), said[path], _strength(path, labels))
        for path in moire
    ]
    labelled += [Labelled(path, KINDS[0], said[path]) for path in clean]
    return {
        "pairs": pairs,
        "mean": _means(pairs),
        **_detector(labelled, cleaner.threshold),
        "kinds": _by_kind(pairs),
    }


def _clean(pairs: Sequence[PairFiles], cleaner: Cleaner) -> Iterator[tuple[PairFiles, Cleaned]]:
    by_name = {pair.name: pair for pair in pairs}
    items = ((pair.name, _bytes(pair.moire)) for pair in pairs)
    return ((by_name[name], cleaned) for name, cleaned in cleaner.clean_many(items))


def _measure(pair: PairFiles, cleaned: Cleaned) -> dict[str, float]:
    """The measures of a pair, in the order of their names."""
    truth, before = _rgb(pair.clean), _rgb(pair.moire)
    after = before if cleaned.status != "cleaned" else rgb(cleaned.data)
    blurred, sigma = oracle_blur(before, truth)
    pictures = (before, after, blurred)
    figures = [
        *(min(SAME, psnr(picture, truth)) for picture in pictures),
        *(ssim(picture, truth) for picture in pictures),
        *(colour_difference(picture, truth) for picture in pictures),
        sigma,
    ]
    return dict(zip((*MEASURES, *MORE_MEASURES), figures, strict=True))


def _outcome(cleaned: Cleaned, kind: str | None) -> dict[str, Any]:
    return {"status": cleaned.status, "reason": cleaned.reason, "kind": kind}


def _said_in_passing(cleaned: Cleaned) -> Said | None:
    """What the detector said while the image was cleaned, if it looked."""
    if cleaned.moire_before is None or cleaned.moire_kind is None:
        return None
    return Said(cleaned.moire_before, cleaned.moire_kind)


def _judge(path: Path, cleaner: Cleaner) -> Said:
    try:
        seen = cleaner.detect(_bytes(path))
        return Said(seen.moire, seen.kind)
    except ImageError as error:
        raise _unreadable(path, error) from error


def _means(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    return {
        key: sum(pair[key] for pair in pairs) / len(pairs) if pairs else None
        for key in (*MEASURES, *MORE_MEASURES)
    }


def _by_kind(pairs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    kinds = sorted({pair["kind"] for pair in pairs if pair["kind"]})
    grouped = {kind: [pair for pair in pairs if pair["kind"] == kind] for kind in kinds}
    return {kind: {"n": len(group), **_means(group)} for kind, group in grouped.items()}


def _detector(labelled: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    truth, scores = [image.moire for image in labelled], [image.said.score for image in labelled]
    figures = detector_figures(truth, scores, threshold)
    ratios = asdict(figures)
    del ratios["roc"]
    diagram = reliability(truth, scores)
    clean = [image for image in labelled if not image.moire]
    touched = sum(image.said.score >= threshold for image in clean)
    return {
        "detector": ratios,
        "threshold": threshold,
        "clean_touched": touched / len(clean) if clean else None,
        "images": [
            {
                "name": image.path.name,
                "moire": image.moire,
                "score": image.said.score,
                "kind": image.said.kind,
            }
            for image in labelled
        ],
        "roc": [list(astuple(point)) for point in figures.roc],
        "confusion": _confusion(labelled),
        "strengths": _by_strength(labelled, threshold),
        "calibration": {
            "error": calibration_error(diagram),
            "bins": [
                {"n": step.n, "said": step.mean_score, "so": step.moire_share} for step in diagram
            ],
        },
    }


def _confusion(labelled: Sequence[Labelled]) -> dict[str, dict[str, int]]:
    """True kind -> said kind -> images; only true kinds that occur."""
    counts = Counter((image.kind, image.said.kind) for image in labelled)
    true = [kind for kind in (*KINDS, UNNAMED) if any(image.kind == kind for image in labelled)]
    return {kind: {said: counts[kind, said] for said in KINDS} for kind in true}


def _by_strength(labelled: Sequence[Labelled], threshold: float) -> list[dict[str, float]]:
    """How many were found of the faint and of the strong; only classes that occur."""
    classes: dict[float, list[bool]] = {begin: [] for begin in STRENGTHS}
    for image in labelled:
        if image.strength is not None:
            begin = max(
                (begin for begin in STRENGTHS if begin <= image.strength), default=STRENGTHS[0]
            )
            classes[begin].append(image.said.score >= threshold)
    return [
        {"from": begin, "n": len(found), "found": sum(found)}
        for begin, found in classes.items()
        if found
    ]
