"""`demoire demo`: the main job on a drawn collection, through the Prefect flow, compared with the
known truth.

Nothing is fetched and nothing stands in: the collection is drawn (`pipelines.demo.collection`), the
flow and its local Ray are those of every night, and the figures at the end are of the mirrored
archives as they lie on disk. OUT gets

    sample/            what was drawn: the collection, and the clean twins
    clean/             the mirror, with the report
    before-after.png   the most improved pictures, with moiré, cleaned, and as they were drawn
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from flows import console
from flows.clean_archive import run_flow
from flows.settings import CleanSettings
from pipelines.demo.collection import (
    Collection,
    Comparison,
    compare_with_truth,
    draw_collection,
    read_pictures,
)
from pipelines.run import Summary

PICTURE = "before-after.png"

_CROP = 320  # px; at 1:1, since a moiré that is resized is another moiré
_GAP = 6  # px


@dataclass(frozen=True)
class Demo:
    """What the demo came to."""

    summary: Summary
    comparisons: tuple[Comparison, ...]
    picture: Path


def run_demo(out: Path, *, seed: int, device: str) -> Demo:
    """Draw the collection (or find it drawn), clean it, compare, and show the closing table.

    Raises UsageError where `out` holds something else, or cannot be written.
    """
    with console.progress_bar("drawing a sample collection") as bar:
        collection = draw_collection(out, seed, bar)
    console.remark(
        f"drew {collection.images} images in {collection.folder}, {collection.with_moire} with moiré"
    )
    console.remark("cleaning them: a Prefect server and a Ray of this machine come up first")
    with console.phases_bar() as progress:
        summary = run_flow(
            str(collection.folder), str(out / "clean"), CleanSettings(device=device), progress
        )
    comparisons = compare_with_truth(collection, out / "clean")
    demo = Demo(summary, tuple(comparisons), _draw_picture(collection, comparisons, out))
    _show(demo, collection)
    return demo


def _show(demo: Demo, collection: Collection) -> None:
    summary = demo.summary
    figures = [
        ("images", summary.images),
        ("with moiré, as drawn", collection.with_moire),
        ("cleaned", summary.cleaned),
        ("copied, byte for byte", summary.copied),
        ("quarantined, byte for byte", summary.quarantined),
        ("other members, untouched", summary.others),
        ("megapixels a second, cleaning", summary.mps or None),
        ("mean moiré of the cleaned, before", summary.moire_before),
        ("mean moiré of the cleaned, after", summary.moire_after),
    ]
    console.show_table("the sample collection, cleaned", ("what", "how much"), figures)
    rows = [(kind, *_means(group)) for kind, group in _by_kind(demo.comparisons)]
    columns = ("moiré", "images", "cleaned", "PSNR before, dB", "PSNR after, dB", "gained, dB")
    console.show_table("against the truth, all that was drawn with moiré", columns, rows)
    print(f"before and after: {demo.picture}")
    print(f"report: {summary.report}")


def _by_kind(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    kinds = sorted({comparison.kind for comparison in comparisons})
    groups = [(kind, [c for c in comparisons if c.kind == kind]) for kind in kinds]
    return [*groups, ("all", list(comparisons))]


def _means(group: Sequence[Comparison]) -> tuple[int, int, float, float, float]:
    before = float(np.mean([c.psnr_before for c in group]))
    after = float(np.mean([c.psnr_after for c in group]))
    changed = sum(c.psnr_before != c.psnr_after for c in group)
    return len(group), changed, before, after, after - before


def _draw_picture(collection: Collection, comparisons: Sequence[Comparison], out: Path) -> Path:
    """The most improved picture of each kind: with moiré, cleaned, as it was drawn."""
    kinds = [kind for kind, _ in _by_kind(comparisons)[:-1]]
    chosen = [
        max((c for c in comparisons if c.kind == kind), key=lambda c: c.psnr_after - c.psnr_before)
        for kind in kinds
    ]
    rows = []
    for comparison in chosen:
        pictures = read_pictures(collection, out / "clean", comparison)
        crops = [_middle(picture) for picture in pictures]
        rows.append(np.concatenate([_framed(crop) for crop in crops], axis=1))
    path = out / PICTURE
    Image.fromarray(np.concatenate(rows)).save(path)
    return path


def _middle(picture: np.ndarray) -> np.ndarray:
    top, left = ((side - _CROP) // 2 for side in picture.shape[:2])
    return picture[top : top + _CROP, left : left + _CROP]


def _framed(crop: np.ndarray) -> np.ndarray:
    return np.pad(crop, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
