"""Quality against the truth: the cleaner over labelled pairs, beside the best blur an oracle picks.

What is measured is what a user gets: the cleaned file, decoded again as 8-bit RGB. The cleaner runs
in this process with its own overlapped stages. Measuring costs about half a second a megapixel on
top of it, most of it for the oracle's blurs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned, Detection
from demoire.errors import ImageError
from demoire.imaging.rgb import decode_rgb
from demoire.measure.blur import oracle_blur
from demoire.measure.detection import calibration_error, detector_figures, reliability
from demoire.measure.likeness import colour_difference, psnr, ssim
from demoire.moire import KINDS
from demoire.progress import Progress, in_silence
from pipelines.evaluation.figures import (
    Evaluation,
    JudgedImage,
    KindFigures,
    Measures,
    PairFigures,
    Reliability,
    StrengthClass,
    mean_of,
)
from pipelines.evaluation.folder import (
    PairFiles,
    pair_name,
    read_bytes,
    read_folder,
    read_picture,
    unreadable_picture,
)
from pipelines.evaluation.labels import UNNAMED, TrueLabel, read_labels

SAME = 100.0  # dB, for pictures that are equal to the bit: infinity is no JSON and has no mean
STRENGTHS = (0.0, 4.0, 8.0, 16.0)  # where the classes of strength begin, RMS in 1/255

_NO_LABEL = TrueLabel()


@dataclass(frozen=True)
class _Judgement:
    """What the detector says of an image: while it was cleaned if it looked then, else after."""

    score: float  # probability of moiré, 0..1
    kind: str


def evaluate_pairs(folder: Path, cleaner: Cleaner, progress: Progress = in_silence) -> Evaluation:
    """Measure a cleaner over a folder of labelled images.

    Args:
        folder: See `pipelines.evaluation.folder` for what it may hold.
        cleaner: What is measured, at its own threshold.
        progress: Told how many images have been judged, of how many.

    Returns:
        The restorer's figures over the pairs, and the detector's over all images.

    Raises:
        UsageError: The folder is empty or not in order; the message names the file.
    """
    files = read_folder(folder)
    labels = read_labels(folder)
    judgements: dict[Path, _Judgement] = {}

    def note(path: Path, score: float, kind: str) -> None:
        judgements[path] = _Judgement(score, kind)
        progress("evaluating", len(judgements), files.images)

    pairs = []
    for pair, cleaned in clean_pairs(files.pairs, cleaner):
        measures = _measure(pair, cleaned)
        kind = labels.get(pair.name, _NO_LABEL).kind
        pairs.append(PairFigures(pair.name, measures, cleaned.status, cleaned.reason, kind))
        if cleaned.moire_before is not None and cleaned.moire_kind is not None:
            note(pair.moire, cleaned.moire_before, cleaned.moire_kind)
    # They came in the order in which they were finished; figures go by name.
    pairs.sort(key=lambda figures: figures.name)
    with_moire = [*(pair.moire for pair in files.pairs), *files.only_moire]
    clean = [*(pair.clean for pair in files.pairs), *files.only_clean]
    not_judged = [path for path in (*with_moire, *clean) if path not in judgements]
    for path, detection in _detect(not_judged, cleaner):
        note(path, detection.moire, detection.kind)
    images = []
    for path in with_moire:
        images.append(_judged_image(path, labels, judgements[path], has_moire=True))
    for path in clean:
        images.append(_judged_image(path, labels, judgements[path], has_moire=False))
    return _evaluation(pairs, images, cleaner.threshold)


def clean_pairs(
    pairs: Sequence[PairFiles], cleaner: Cleaner
) -> Iterator[tuple[PairFiles, Cleaned]]:
    """Clean the pictures with moiré of some pairs, in whatever order they are finished."""
    by_name = {pair.name: pair for pair in pairs}
    items = ((pair.name, read_bytes(pair.moire)) for pair in pairs)
    for name, cleaned in cleaner.clean_many(items):
        yield by_name[name], cleaned


def pixels_after(cleaned: Cleaned, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as cleaning left it, (H, W, 3) sRGB; the very array of `before` if unchanged."""
    return decode_rgb(cleaned.data) if cleaned.status == "cleaned" else before


def _measure(pair: PairFiles, cleaned: Cleaned) -> Measures:
    truth = read_picture(pair.clean)
    before = read_picture(pair.moire)
    after = pixels_after(cleaned, before)
    blurred, sigma = oracle_blur(before, truth)
    return Measures(
        psnr_before=min(SAME, psnr(before, truth)),
        psnr_after=min(SAME, psnr(after, truth)),
        psnr_blur=min(SAME, psnr(blurred, truth)),
        ssim_before=ssim(before, truth),
        ssim_after=ssim(after, truth),
        ssim_blur=ssim(blurred, truth),
        ciede2000_before=colour_difference(before, truth),
        ciede2000_after=colour_difference(after, truth),
        ciede2000_blur=colour_difference(blurred, truth),
        blur_sigma=sigma,
    )


def _detect(paths: Sequence[Path], cleaner: Cleaner) -> Iterator[tuple[Path, Detection]]:
    """What the detector says of each image.

    Raises:
        UsageError: One cannot be read.
    """
    items = ((path, read_bytes(path)) for path in paths)
    for path, detection in cleaner.detect_many(items):
        if isinstance(detection, ImageError):
            raise unreadable_picture(path, detection)
        yield path, detection


def _judged_image(
    path: Path, labels: Mapping[str, TrueLabel], judgement: _Judgement, *, has_moire: bool
) -> JudgedImage:
    label = labels.get(pair_name(path), _NO_LABEL)
    return JudgedImage(
        name=path.name,
        has_moire=has_moire,
        true_kind=label.moire_kind if has_moire else KINDS[0],
        score=judgement.score,
        judged_kind=judgement.kind,
        strength=label.strength if has_moire else None,
    )


def _evaluation(
    pairs: Sequence[PairFigures], images: Sequence[JudgedImage], threshold: float
) -> Evaluation:
    truth = [image.has_moire for image in images]
    scores = [image.score for image in images]
    bins = reliability(truth, scores)
    return Evaluation(
        pairs=tuple(pairs),
        mean=mean_of(pairs) if pairs else None,
        detector=detector_figures(truth, scores, threshold),
        threshold=threshold,
        clean_touched=_clean_touched(images, threshold),
        images=tuple(images),
        confusion=_confusion(images),
        strengths=_by_strength(images, threshold),
        calibration=Reliability(calibration_error(bins), bins),
        kinds=_by_kind(pairs),
    )


def _clean_touched(images: Sequence[JudgedImage], threshold: float) -> float | None:
    clean_scores = [image.score for image in images if not image.has_moire]
    if not clean_scores:
        return None
    touched = [score for score in clean_scores if score >= threshold]
    return len(touched) / len(clean_scores)


def _by_kind(pairs: Sequence[PairFigures]) -> dict[str, KindFigures]:
    groups: dict[str, list[PairFigures]] = {}
    for pair in pairs:
        if pair.kind:
            groups.setdefault(pair.kind, []).append(pair)
    return {kind: KindFigures(len(groups[kind]), mean_of(groups[kind])) for kind in sorted(groups)}


def _confusion(images: Sequence[JudgedImage]) -> dict[str, dict[str, int]]:
    """True kind -> judged kind -> images; only true kinds that occur."""
    counts = Counter((image.true_kind, image.judged_kind) for image in images)
    occurring = {image.true_kind for image in images}
    table: dict[str, dict[str, int]] = {}
    for true_kind in (*KINDS, UNNAMED):
        if true_kind in occurring:
            table[true_kind] = {judged: counts[true_kind, judged] for judged in KINDS}
    return table


def _by_strength(images: Sequence[JudgedImage], threshold: float) -> tuple[StrengthClass, ...]:
    """How many of the faint and of the strong patterns were found; only classes that occur."""
    scores_by_class: Mapping[float, list[float]] = {begin: [] for begin in STRENGTHS}
    for image in images:
        if image.strength is not None:
            scores_by_class[_class_of(image.strength)].append(image.score)
    classes = []
    for begin, scores in scores_by_class.items():
        found = [score for score in scores if score >= threshold]
        if scores:
            classes.append(StrengthClass(begin, len(scores), len(found)))
    return tuple(classes)


def _class_of(strength: float) -> float:
    """Where the class of a strength begins."""
    begins = [begin for begin in STRENGTHS if begin <= strength]
    return max(begins, default=STRENGTHS[0])
