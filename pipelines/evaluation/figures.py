"""Quality against the truth: the cleaner over labelled pairs, beside the best blur that an oracle could pick.

A folder holds NAME_moire.EXT with its exact twin NAME_clean.EXT, and for the detector alone NAME_only_moire.EXT and
NAME_only_clean.EXT; other files are passed by, folders in it are not entered. What is measured is what a user gets: the
cleaned file decoded again, as 8-bit RGB. The cleaner runs in this process, with its own overlapped stages; measuring
costs about half a second a megapixel beside it, most of it the oracle's blurs.

The folder is checked before anything is cleaned, so that one that is not in order says so at once.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import ImageError, UsageError
from demoire.imaging.images import IMAGE_SUFFIXES, probe
from demoire.measure.blur import oracle_blur
from demoire.measure.likeness import calibration_error, colour_difference, detector_figures, psnr, reliability, ssim
from demoire.models.detector import KINDS
from pipelines.report.pages import Histogram, histogram, render
from pipelines.report.previews import jpeg, most_changed, rgb
from pipelines.report.summary import BINS
from pipelines.storage.place import shown

MEASURES = ("psnr_before", "psnr_after", "psnr_blur", "ssim_before", "ssim_after", "ssim_blur")
MORE_MEASURES = ("ciede2000_before", "ciede2000_after", "ciede2000_blur", "blur_sigma")
SAME = 100.0  # dB, for pictures that are equal to the bit: infinity is no JSON and has no mean

_NAME = re.compile(r"(?P<name>.+?)_(?P<role>only_moire|only_clean|moire|clean)")
_LABELS = "labels.csv"  # what `demoire simulate` writes beside its pairs: the kind of each
_SHOWN = 20

UNNAMED = "moire"  # the kind of an image with moiré that no labels.csv names
STRENGTHS = (0.0, 4.0, 8.0, 16.0)  # where the classes of strength begin, RMS of the pattern in 1/255

Role = Literal["only_moire", "only_clean", "moire", "clean"]
Progress = Callable[[int, int], None]  # images done, of how many


@dataclass(frozen=True)
class PairFiles:
    """A picture with moiré, and its exact twin without."""

    name: str
    moire: Path
    clean: Path


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


@dataclass(frozen=True)
class LabelledFolder:
    """A folder in order: every picture with moiré has its twin, of the same size."""

    pairs: tuple[PairFiles, ...]  # by name
    only_moire: tuple[Path, ...]
    only_clean: tuple[Path, ...]


def evaluate_pairs(folder: Path, cleaner: Cleaner, on_progress: Progress | None = None) -> dict[str, Any]:
    """The figures of a cleaner over a folder of labelled images, as `demoire evaluate --json` prints them.

    "pairs": by name, each with PSNR (dB; 100 where equal) and SSIM _before, _after and _blur, then CIEDE2000, the
    oracle's sigma (px), status and kind. "mean": the means of these, None without pairs. "detector": accuracy,
    precision, recall, f1, auc and n over all labelled images, at the cleaner's threshold; what has no meaning is None,
    as auc where there is one class only. Beside them "kinds": the means by the kinds that labels.csv names;
    "threshold"; "clean_touched": the share of clean images that reach it; "images": each one's score and the kind that
    it was said to be; "roc": (threshold, false positive rate, true positive rate); "confusion": by true kind ("moire"
    where labels.csv has none), how many images were said to be of each; "strengths": of the images with moiré whose
    strength labels.csv has, for each class the strength it begins "from", n and how many were "found"; "calibration":
    the expected "error" of the scores as probabilities, and its "bins": n, said (mean score) and so (share with moiré).
    Raises UsageError for a folder that is empty or not in order, naming the file.
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
            {"name": pair.name, **_measure(pair, cleaned), **_outcome(cleaned, labels.get(pair.name, {}).get("kind"))}
        )
        take(pair.moire, _said_in_passing(cleaned) or _judge(pair.moire, cleaner))
    pairs.sort(key=lambda pair: pair["name"])
    moire = [*(pair.moire for pair in found.pairs), *found.only_moire]
    clean = [*(pair.clean for pair in found.pairs), *found.only_clean]
    for path in [*found.only_moire, *clean]:
        take(path, _judge(path, cleaner))
    labelled = [Labelled(path, _true_kind(path, labels), said[path], _strength(path, labels)) for path in moire]
    labelled += [Labelled(path, KINDS[0], said[path]) for path in clean]
    return {"pairs": pairs, "mean": _means(pairs), **_detector(labelled, cleaner.threshold), "kinds": _by_kind(pairs)}


def read_folder(folder: Path) -> LabelledFolder:
    """What a folder of labelled images holds. Raises UsageError, naming the file, where it is not in order."""
    roles = _roles(folder)
    pairs = []
    for name in sorted(roles["moire"].keys() | roles["clean"].keys()):
        moire, clean = roles["moire"].get(name), roles["clean"].get(name)
        if moire is None or clean is None:
            there, lacking = (moire, f"{name}_clean") if moire else (clean, f"{name}_moire")
            raise UsageError(
                f"{_said(there)} has no twin: add {shown(lacking)} to {_said(folder)}, or name it "
                f"{shown(name)}_only_{'moire' if moire else 'clean'}."
            )
        _check_sizes(moire, clean)
        pairs.append(PairFiles(name, moire, clean))
    only_moire, only_clean = (tuple(path for _, path in sorted(roles[role].items())) for role in _ONLY)
    if not pairs and not only_moire and not only_clean:
        raise UsageError(
            f"{_said(folder)} holds no labelled images: it takes NAME_moire.EXT with NAME_clean.EXT, which "
            "'demoire simulate' makes."
        )
    return LabelledFolder(tuple(pairs), only_moire, only_clean)


_ONLY: tuple[Role, Role] = ("only_moire", "only_clean")


def _roles(folder: Path) -> dict[Role, dict[str, Path]]:
    roles: dict[Role, dict[str, Path]] = {"only_moire": {}, "only_clean": {}, "moire": {}, "clean": {}}
    if not folder.is_dir():
        raise UsageError(f"{_said(folder)} is no folder: give one that holds NAME_moire.EXT and NAME_clean.EXT.")
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        same = roles[match["role"]].setdefault(match["name"], path)  # type: ignore[index]  # the pattern's four
        if same != path:
            raise UsageError(f"{_said(same)} and {path.name} are of one name: take one of them out of the folder.")
    return roles


def _check_sizes(moire: Path, clean: Path) -> None:
    sizes = []
    for path in (moire, clean):
        try:
            facts = probe(path.read_bytes())
        except (ImageError, OSError) as error:
            raise _unreadable(path, error) from error
        sizes.append(f"{facts.width} x {facts.height} px")
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{_said(moire)} is of {sizes[0]} and its twin {clean.name} of {sizes[1]}: a pair has to be of one size."
        )


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


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _rgb(path: Path) -> Any:
    try:
        return rgb(_bytes(path))
    except ImageError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = error.reason.replace("_", " ") if isinstance(error, ImageError) else "no access"
    return UsageError(f"{_said(path)} cannot be read ({reason}): mend it or take it out of the folder.")


def _said(path: Path | None) -> str:
    return shown(str(path))


def _means(pairs: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    return {
        key: sum(pair[key] for pair in pairs) / len(pairs) if pairs else None for key in (*MEASURES, *MORE_MEASURES)
    }


def _by_kind(pairs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    kinds = sorted({pair["kind"] for pair in pairs if pair["kind"]})
    grouped = {kind: [pair for pair in pairs if pair["kind"] == kind] for kind in kinds}
    return {kind: {"n": len(group), **_means(group)} for kind, group in grouped.items()}


def _labels(folder: Path) -> dict[str, dict[str, str]]:
    """Rows by name of pair, as `demoire simulate` noted them; none where there is no such file."""
    try:
        with (folder / _LABELS).open(newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, csv.Error):
        return {}


def _label(path: Path, labels: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    match = _NAME.fullmatch(path.stem)
    return labels.get(match["name"], {}) if match else {}


def _true_kind(path: Path, labels: Mapping[str, Mapping[str, str]]) -> str:
    kind = _label(path, labels).get("kind")
    return kind if kind in KINDS[1:] else UNNAMED


def _strength(path: Path, labels: Mapping[str, Mapping[str, str]]) -> float | None:
    try:
        return float(_label(path, labels)["strength"])
    except (KeyError, TypeError, ValueError):
        return None


def _detector(labelled: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    truth, scores = [image.moire for image in labelled], [image.said.score for image in labelled]
    figures = asdict(detector_figures(truth, scores, threshold))
    roc, bins = figures.pop("roc"), reliability(truth, scores)
    clean = [image for image in labelled if not image.moire]
    touched = sum(image.said.score >= threshold for image in clean)
    return {
        "detector": figures,
        "threshold": threshold,
        "clean_touched": touched / len(clean) if clean else None,
        "images": [
            {"name": image.path.name, "moire": image.moire, "score": image.said.score, "kind": image.said.kind}
            for image in labelled
        ],
        "roc": [list(point) for point in roc],
        "confusion": _confusion(labelled),
        "strengths": _by_strength(labelled, threshold),
        "calibration": {"error": calibration_error(bins), "bins": [asdict(found) for found in bins]},
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
            begin = max((begin for begin in STRENGTHS if begin <= image.strength), default=STRENGTHS[0])
            classes[begin].append(image.said.score >= threshold)
    return [{"from": begin, "n": len(found), "found": sum(found)} for begin, found in classes.items() if found]


def evaluate_page(result: Mapping[str, Any], folder: Path, out: Path, cleaner: Cleaner) -> None:
    """Write a page of these figures: means, ROC, and the pairs with the least and the most gained over the blur.

    result: of `evaluate_pairs` over the same folder. The pictures of the twenty pairs that are shown are cleaned once
    more, because figures do not hold them.
    Raises UsageError where `out` cannot be written.
    """
    page = render(
        "evaluate.html.j2",
        folder=_said(folder),
        result=result,
        shown_pairs=list(_pictures(result["pairs"], folder, cleaner)),
        scores=_score_histogram(result["images"]),
        weights={"restorer": cleaner.weights_digest, "detector": cleaner.detector_digest},
        gate=cleaner.config.gate,
        unnamed=UNNAMED,
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(page)
    except OSError as error:
        raise UsageError(f"{_said(out)} cannot be written ({error.strerror}): choose another file.") from error


def _score_histogram(images: Sequence[Mapping[str, Any]]) -> Histogram:
    counts = {truth: [0] * BINS for truth in (True, False)}
    for image in images:
        counts[image["moire"]][min(BINS - 1, int(image["score"] * BINS))] += 1
    return histogram([("with moiré", "before", counts[True]), ("clean", "after", counts[False])], logarithmic=True)


def _pictures(
    pairs: Sequence[Mapping[str, Any]], folder: Path, cleaner: Cleaner
) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, bytes]]]]:
    """The pairs to be shown, the one with the least gain over the blur first, with named JPEG crops."""
    by_gain = sorted(pairs, key=lambda pair: pair["psnr_after"] - pair["psnr_blur"])
    chosen = by_gain if len(by_gain) <= _SHOWN else [*by_gain[: _SHOWN // 2], *by_gain[-_SHOWN // 2 :]]
    files = {pair.name: pair for pair in read_folder(folder).pairs}
    crops = dict(_crops([files[pair["name"]] for pair in chosen], cleaner))
    return ((pair, crops[pair["name"]]) for pair in chosen)


def _crops(pairs: Sequence[PairFiles], cleaner: Cleaner) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    for pair, cleaned in _clean(pairs, cleaner):
        truth, before = _rgb(pair.clean), _rgb(pair.moire)
        after = before if cleaned.status != "cleaned" else rgb(cleaned.data)
        rows, columns = most_changed(before, truth)
        pictures = {"before": before, "after": after, "best blur": oracle_blur(before, truth)[0], "truth": truth}
        yield pair.name, [(name, jpeg(picture[rows, columns])) for name, picture in pictures.items()]
