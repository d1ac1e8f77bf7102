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
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from flows import console
from flows.clean_archive import run_clean_flow
from flows.settings import CleanSettings
from pipelines.demo.collection import Collection, draw_collection
from pipelines.demo.comparison import Comparison, compare_with_truth, read_pictures
from pipelines.job import RunSummary

_Pixels = NDArray[np.uint8]  # (H, W, 3)

PICTURE = "before-after.png"

_CROP = 320  # px; at 1:1, since a moiré that is resized is another moiré
_GAP = 6  # px


@dataclass(frozen=True)
class Demo:
    """What the demo came to.

    Attributes:
        summary: Of the run.
        comparisons: One for each picture that was drawn with moiré.
        picture: The file that shows the most improved pictures.
    """

    summary: RunSummary
    comparisons: tuple[Comparison, ...]
    picture: Path


def run_demo(out: Path, *, seed: int, settings: CleanSettings) -> Demo:
    """Draw the collection (or find it drawn), clean it, compare, and show the closing table.

    Args:
        out: Folder for the demo's files.
        seed: Another one draws another collection.
        settings: Of the cleaning.

    Raises:
        UsageError: `out` holds something else, or cannot be written.
    """
    with console.phases_bar("drawing a sample collection") as progress:
        collection = draw_collection(out, seed, progress)
    console.remark(
        f"drew {collection.images} images in {collection.folder}, "
        f"{collection.with_moire} with moiré"
    )
    console.remark("cleaning them: a Prefect server and a Ray of this machine come up first")
    mirror = out / "clean"
    with console.phases_bar() as progress:
        summary = run_clean_flow(str(collection.folder), str(mirror), settings, progress)
    comparisons = compare_with_truth(collection, mirror)
    picture = _draw_picture(collection, comparisons, out)
    demo = Demo(summary, tuple(comparisons), picture)
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
    rows: list[Sequence[Any]] = []
    for kind, group in _by_kind(demo.comparisons).items():
        rows.append((kind, *_means(group)))
    rows.append(("all", *_means(demo.comparisons)))
    columns = ("moiré", "images", "cleaned", "PSNR before, dB", "PSNR after, dB", "gained, dB")
    console.show_table("against the truth, all that was drawn with moiré", columns, rows)
    typer.echo(f"before and after: {demo.picture}")
    typer.echo(f"report: {summary.report}")


def _by_kind(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    groups: dict[str, list[Comparison]] = {}
    for comparison in sorted(comparisons, key=lambda one: one.kind):
        groups.setdefault(comparison.kind, []).append(comparison)
    return groups


def _means(group: Sequence[Comparison]) -> tuple[int, int, float, float, float]:
    """Images, images that were changed, mean PSNR before and after, and what was gained."""
    changed = [one for one in group if one.psnr_before != one.psnr_after]
    before = float(np.mean([one.psnr_before for one in group]))
    after = float(np.mean([one.psnr_after for one in group]))
    return len(group), len(changed), before, after, after - before


def _draw_picture(collection: Collection, comparisons: Sequence[Comparison], out: Path) -> Path:
    """The most improved picture of each kind: with moiré, cleaned, as it was drawn."""
    rows = []
    for group in _by_kind(comparisons).values():
        best = max(group, key=lambda one: one.psnr_after - one.psnr_before)
        pictures = read_pictures(collection, out / "clean", best.twin)
        shown = (pictures.before, pictures.after, pictures.clean)
        crops = [_framed(_middle(picture)) for picture in shown]
        rows.append(np.concatenate(crops, axis=1))
    path = out / PICTURE
    Image.fromarray(np.concatenate(rows)).save(path)
    return path


def _middle(picture: _Pixels) -> _Pixels:
    height, width = picture.shape[:2]
    top = (height - _CROP) // 2
    left = (width - _CROP) // 2
    return picture[top : top + _CROP, left : left + _CROP]


def _framed(crop: _Pixels) -> _Pixels:
    """The crop with white at its right and below, to part it from its neighbours."""
    return np.pad(crop, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
