"""Detector and restorer on real pictures that nobody here made: touched, found, restored.

    python tests/benchmarks/field.py DIR --out OUT [--split FILE] [--part test] [--detector WEIGHTS]

DIR is laid out as `demoire.training.field` says, and FILE names the source of every picture and the
part of every source; only sources of one part are measured, by default those that neither training
nor calibration saw. OUT gets field.json, and touched.png: the clean pictures that would be changed,
before and after at 100 %, worst first.

Clean pictures count as touched where the cleaner, as shipped, gives another file than it took.
Photographs straight from cameras are those of sources called camera_*. Moiré counts as found where
the score reaches the threshold, and as cleaned where no rule after the detector refuses it either.
Its strength is the RMS of what a photograph has below 6 px that the truth has not, in the flattest
30 % of the truth, so only pairs have one. Below 4 in 255 none is to be seen at 100 %: such pairs
count as found or not, and are left out of the AUC.

Restoration is measured on pairs, every tile restored, beside the best Gaussian blur, whose width an
oracle picks. The truth is brought into the photograph's tone first (a polynomial of second degree
in the colours whose constant and linear terms vary over the picture by second degree in its place,
by least squares; `demoire.measure.tone`); the measures are those of `demoire.measure.restoration`.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from demoire.cleaning.cleaner import Cleaned, Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.imaging.rgb import decode_rgb
from demoire.measure.detection import share_interval
from demoire.measure.restoration import AlignedFigures, aligned_figures
from demoire.training.field import FieldFolder, FieldPair, FieldPicture, read_pair
from pipelines.report.crops import most_changed

Picture = NDArray[np.uint8]

CAMERA = "camera_"  # how sources are called whose pictures come straight from a camera
WITH_MOIRE = ("screens", "halftone", "texture")  # without a twin
STRENGTHS = (0.0, 4.0, 8.0, 16.0)  # where the classes of strength begin, in 1/255
TO_BE_SEEN = 4.0  # strength of a pair from which the eye sees a pattern at 100 %
SHOWN = 24
SIDE = 256  # px, of a picture on the contact sheet
ACROSS = 3  # pictures in a row of it, each twice


@dataclass(frozen=True)
class Judged:
    """One picture, and what the cleaner as shipped makes of it."""

    picture: FieldPicture
    score: float
    touched: bool
    psnr: float  # dB, of the result against the picture; infinite where it is not touched


@dataclass(frozen=True)
class Restored:
    """One pair: the photograph, its best blur and what the restorer makes of it."""

    pair: FieldPair
    score: float
    figures: AlignedFigures


def judge(pictures: Sequence[FieldPicture], cleaner: Cleaner) -> list[Judged]:
    """Clean all pictures; in their order. One that cannot be read stops the measurement."""
    items = ((number, picture.path.read_bytes()) for number, picture in enumerate(pictures))
    cleaned = dict(cleaner.clean_many(items))
    return [_judged(picture, cleaned[number]) for number, picture in enumerate(pictures)]


def _judged(picture: FieldPicture, cleaned: Cleaned) -> Judged:
    if cleaned.status == "quarantined":
        raise SystemExit(f"{picture.path} cannot be judged: {cleaned.reason}.")
    touched = cleaned.status == "cleaned"
    psnr = cleaned.psnr_vs_input
    return Judged(picture, cleaned.moire_before or 0.0, touched, np.inf if psnr is None else psnr)


def restore(pairs: Sequence[FieldPair], restorer: Cleaner, judge_: Cleaner) -> list[Restored]:
    """Measure every pair. The restorer cleans all tiles, whatever the detector says."""
    restored = []
    for pair in pairs:
        photograph, shown = read_pair(pair)
        data = pair.moire.read_bytes()
        figures = aligned_figures(photograph, shown, decode_rgb(restorer.clean(data).data))
        restored.append(Restored(pair, judge_.detect(data).moire, figures))
    return restored


def touched_row(judged: Sequence[Judged]) -> dict[str, object]:
    """How many of these clean pictures are touched."""
    touched = sum(one.touched for one in judged)
    low, high = share_interval(touched, len(judged))
    share = touched / len(judged) if judged else None
    return {"n": len(judged), "touched": touched, "share": share, "from": low, "to": high}


def found_row(scores: Sequence[float], threshold: float) -> dict[str, object]:
    """How many of these pictures with moiré are found."""
    found = sum(score >= threshold for score in scores)
    low, high = share_interval(found, len(scores))
    share = found / len(scores) if scores else None
    return {"n": len(scores), "found": found, "share": share, "from": low, "to": high}


def clean_groups(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    """Photographs straight from cameras, other clean pictures, hard ones, drawings with noise."""
    groups: dict[str, list[Judged]] = {"cameras": [], "clean": [], "clean_hard": [], "noise": []}
    for one in judged:
        straight = one.picture.group == "clean" and one.picture.source.startswith(CAMERA)
        name = "cameras" if straight else str(one.picture.group)
        if name in groups:
            groups[name].append(one)
    return groups


def auc(clean: Sequence[float], moire: Sequence[float]) -> float | None:
    """Area under the ROC curve; None without one of the classes."""
    if not clean or not moire:
        return None
    return float(roc_auc_score([0] * len(clean) + [1] * len(moire), [*clean, *moire]))


def detector_figures(judged: Sequence[Judged], pairs: Sequence[Restored], threshold: float) -> dict:
    """All that is said of the detector."""
    groups = clean_groups(judged)
    by_source: dict[str, list[Judged]] = defaultdict(list)
    for group in groups.values():
        for one in group:
            by_source[one.picture.source].append(one)
    sources = {name: touched_row(ones) for name, ones in by_source.items()}
    worst_first = sorted(sources, key=lambda name: (-sources[name]["share"], name))
    by_set: dict[str, list[float]] = defaultdict(list)
    cleaned: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.picture.group in WITH_MOIRE:
            by_set[one.picture.group].append(one.score)
            cleaned[one.picture.group].append(one)
    by_set["real_pairs"] = [one.score for one in pairs]
    to_be_seen = [one.score for one in pairs if one.figures.strength >= TO_BE_SEEN]
    screens = [*by_set["screens"], *to_be_seen]
    clean = [one.score for name in ("cameras", "clean", "clean_hard") for one in groups[name]]
    bounds = zip(STRENGTHS, [*STRENGTHS[1:], np.inf], strict=True)
    strengths = {
        f"from {low:g}": found_row(
            [p.score for p in pairs if low <= p.figures.strength < high], threshold
        )
        for low, high in bounds
    }
    return {
        "threshold": threshold,
        "touched": {name: touched_row(ones) for name, ones in groups.items()},
        "touched_by_source": {name: sources[name] for name in worst_first},
        "found": {name: found_row(scores, threshold) for name, scores in by_set.items()},
        "cleaned": {name: touched_row(ones) for name, ones in cleaned.items()},
        "found_by_strength": strengths,
        "auc_screens_cameras": auc([one.score for one in groups["cameras"]], screens),
        "auc_screens_clean": auc(clean, screens),
        "auc_halftone_clean": auc(clean, by_set["halftone"]),
    }


def restoration_rows(pairs: Sequence[Restored]) -> dict[str, dict[str, object]]:
    """Means by source, and how much better than the blur the result is."""
    by_source: dict[str, list[Restored]] = defaultdict(list)
    for pair in pairs:
        by_source[pair.pair.source].append(pair)
    return {source: _restoration_row(ones) for source, ones in by_source.items()}


def _restoration_row(pairs: Sequence[Restored]) -> dict[str, object]:
    below = [pair.figures.pattern_below_blur for pair in pairs]
    gains = [pair.figures.psnr_over_blur for pair in pairs]
    row: dict[str, object] = {
        "n": len(pairs),
        "pattern_below_blur_db": float(np.mean(below)),
        "tolerant_psnr_over_blur_db": float(np.mean(gains)),
    }
    for name in ("photograph", "blur", "result"):
        figures = [asdict(getattr(pair.figures, name)) for pair in pairs]
        row[name] = {key: float(np.mean([one[key] for one in figures])) for key in figures[0]}
    return row


def draw_touched(judged: Sequence[Judged], cleaner: Cleaner, path: Path) -> None:
    """The touched clean pictures before and after, at 100 % where they changed most."""
    touched = [one for group in clean_groups(judged).values() for one in group if one.touched]
    touched.sort(key=lambda one: one.psnr)
    rows = []
    for one in touched[:SHOWN]:
        data = one.picture.path.read_bytes()
        before, after = decode_rgb(data), decode_rgb(cleaner.clean(data).data)
        place = most_changed(before, after, SIDE)
        sides = [_padded(picture[place]) for picture in (before, after)]
        caption = np.full((18, 2 * SIDE, 3), 255, np.uint8)
        text = f"{one.picture.path.name}  {one.score:.3f}"
        cv2.putText(caption, text, (2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
        rows.append(np.vstack([caption, np.hstack(sides)]))
    while len(rows) % ACROSS:
        rows.append(np.full_like(rows[0], 255))
    if rows:
        lines = [np.hstack(rows[i : i + ACROSS]) for i in range(0, len(rows), ACROSS)]
        cv2.imwrite(str(path), np.vstack(lines)[..., ::-1])


def _padded(picture: Picture) -> Picture:
    missing = SIDE - picture.shape[0], SIDE - picture.shape[1]
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)))


def show(figures: dict) -> None:
    """Print the figures as tables."""
    detector = figures["detector"]
    print(f"threshold {detector['threshold']:.4f}")
    for title, rows in (
        ("clean pictures touched", detector["touched"]),
        ("by source, worst first", detector["touched_by_source"]),
        ("pictures with moiré cleaned", detector["cleaned"]),
    ):
        print(f"\n{title}")
        for name, row in rows.items():
            _show_share(name, row, row["touched"])
    for title, rows in (
        ("moiré found", detector["found"]),
        ("pairs by strength of the pattern, 1/255", detector["found_by_strength"]),
    ):
        print(f"\n{title}")
        for name, row in rows.items():
            _show_share(name, row, row["found"])
    print()
    for name in ("auc_screens_cameras", "auc_screens_clean", "auc_halftone_clean"):
        print(f"{name:24} {detector[name] if detector[name] is None else round(detector[name], 4)}")
    print("\npairs: photograph, best blur, restored")
    for source, row in figures["restoration"].items():
        print(f"{source} ({row['n']})")
        for key in row["result"]:
            values = [row[name][key] for name in ("photograph", "blur", "result")]
            print(f"  {key:16}" + "".join(f"{value:9.3f}" for value in values))
        below, over = row["pattern_below_blur_db"], row["tolerant_psnr_over_blur_db"]
        print(f"  pattern {below:+.2f} dB below the blur's, tolerant PSNR {over:+.2f} dB over it")


def _show_share(name: str, row: dict, count: int) -> None:
    if row["n"]:
        interval = f"{row['from']:.1%} to {row['to']:.1%}"
        print(f"  {name:28} {count:4} of {row['n']:4}  {row['share']:7.1%}  ({interval})")


def main() -> None:
    """Measure, print, and write the figures and the contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT")
    parser.add_argument("--split", type=Path, metavar="FILE")
    parser.add_argument("--part", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--detector", default=CleanerConfig().detector, metavar="WEIGHTS")
    parser.add_argument("--restorer", default=CleanerConfig().restorer, metavar="WEIGHTS")
    options = parser.parse_args()
    part = FieldFolder(options.folder, options.split).part(options.part)
    weights = {"detector": options.detector, "restorer": options.restorer}
    cleaner = Cleaner(CleanerConfig(**weights))
    restorer = Cleaner(CleanerConfig(**weights, gate="off"))
    judged = judge(part.pictures, cleaner)
    pairs = restore(part.pairs, restorer, cleaner)
    figures = {
        "part": options.part,
        "detector_digest": cleaner.detector_digest,
        "restorer_digest": cleaner.weights_digest,
        "detector": detector_figures(judged, pairs, cleaner.threshold),
        "restoration": restoration_rows(pairs),
        "scores": {str(one.picture.path.name): round(one.score, 4) for one in judged},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "field.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    draw_touched(judged, cleaner, options.out / "touched.png")
    show(figures)


if __name__ == "__main__":
    main()
