"""Labelled pairs on disk, for `demoire evaluate` and for eyes: what `demoire simulate` writes.

Pair `i` depends on the seed, `i`, the kind, the size and the list of clean images alone, so any of
them can be made again by itself. Names say kind, seed and number: several kinds and seeds share a
folder without treading on each other.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.errors import ImageError, UsageError
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.imaging.rgb import read_rgb
from demoire.simulate import KINDS, Kind, Pair, simulate
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.scenes.pages import SCENES
from demoire.splits import Split, split_of

LABELS = "labels.csv"

_LEAST = 32  # px, of a scene and of a pair

Scene = NDArray[np.uint8]


@dataclass(frozen=True)
class Label:
    """One row of labels.csv; the fields are its columns."""

    name: str  # what the picture's file names begin with
    kind: str
    strength: str  # RMS of the pattern in 1/255 sRGB, two decimals
    source: str  # file name of the clean image, or the name of the drawing
    seed: str


def read_scene(path: Path) -> Scene:
    """Decode a clean image, by the decoder that cleaning uses and turned by no orientation tag.

    Returns:
        (h, w, 3) uint8 sRGB, contiguous and writable.

    Raises:
        UsageError: The file is no image, or it is too small.
    """
    try:
        scene = read_rgb(path)
    except (ImageError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read as an image; take it out of the folder."
        ) from error
    if min(scene.shape[:2]) < _LEAST:
        raise UsageError(f"{path} is smaller than {_LEAST} px; take it out of the folder.")
    # Some decoders give read-only memory, about which torch warns.
    return np.require(scene, requirements=["C", "W"])


def write_picture(path: Path, picture: Scene) -> None:
    """Write (h, w, 3) uint8 sRGB in the format that the name says. Raises UsageError where it
    cannot be written.
    """
    try:
        written = cv2.imwrite(str(path), picture[..., ::-1])
    except cv2.error as error:
        raise UsageError(f"{path} is not a name for a picture; end it in .png.") from error
    if not written:
        raise UsageError(f"{path} cannot be written; choose another folder.")


def clean_images(images: Path, split: Split | None = None) -> list[Path]:
    """The image files of a folder and its subfolders in a fixed order, or the one file given.

    split: only those that training takes for this part of its data. Raises UsageError where there
    are none.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise UsageError(f"There is no folder {images}; give one with clean images.")
    found = sorted(
        path
        for path in images.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not found:
        raise UsageError(
            f"{images} holds no images; give a folder of clean JPEG, PNG, TIFF, WebP or BMP files."
        )
    chosen = [path for path in found if split in (None, split_of(path.name))]
    if not chosen:
        raise UsageError(f"None of the few images in {images} falls to {split}; give some dozens.")
    return chosen


def _draw(rng: np.random.Generator, kind: Kind, size: int) -> tuple[str, Scene]:
    drawings = LOOKALIKES if kind == "none" and rng.random() < 0.5 else SCENES
    name = sorted(drawings)[int(rng.integers(len(drawings)))]
    side = max(size, 256)  # drawings need room for their parts
    return name, drawings[name](rng, side, side)


def pair_scene(
    files: Sequence[Path], kind: Kind, size: int, rng: np.random.Generator
) -> tuple[str, Scene]:
    """The name of a pair's scene, and the scene; with no files it is drawn."""
    if not files:
        return _draw(rng, kind, size)
    path = files[int(rng.integers(len(files)))]
    return path.name, read_scene(path)


def make_pair(
    files: Sequence[Path], kind: Kind, size: int, seed: int, index: int
) -> tuple[Pair, str]:
    """Pair `index` of a seed, and the name of its scene; with no files the scene is drawn."""
    rng = np.random.default_rng([seed, index])
    name, scene = pair_scene(files, kind, size, rng)
    return simulate(kind, scene, size, rng), name


def _write_pair(out: Path, name: str, pair: Pair) -> Path:
    if pair.kind == "none":
        write_picture(path := out / f"{name}_only_clean.png", pair.clean)
        return path
    write_picture(path := out / f"{name}_moire.png", pair.moire)
    write_picture(out / f"{name}_clean.png", pair.clean)
    return path


def _add_labels(path: Path, labels: Sequence[Label]) -> None:
    """Add rows, so that several kinds can share a folder; pairs made again keep one row."""
    rows = {label.name: astuple(label) for label in labels}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row[0]: tuple(row) for row in list(csv.reader(file))[1:] if row} | rows
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Label)])
        writer.writerows(rows[name] for name in sorted(rows))


def _check(kind: str, count: int, size: int) -> None:
    if kind not in KINDS:
        raise UsageError(
            f"No moiré of kind {kind!r} can be simulated; use one of {', '.join(KINDS)}."
        )
    if count < 1:
        raise UsageError(f"{count} pairs cannot be made; ask for one at least.")
    if size < _LEAST or size % 2:
        raise UsageError(f"Pairs of {size} px cannot be made; use an even number from {_LEAST} up.")


def write_pairs(
    images: Path | None,
    out: Path,
    kind: Kind,
    count: int,
    seed: int,
    size: int = 512,
    split: Split | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write `count` pairs as NAME_moire.png and NAME_clean.png (kind "none": NAME_only_clean.png),
    and labels.csv.

    images: a folder of clean images or one image; None draws the scenes. size: side in px, even.
    split: take only images of this part of training's data ("test": those that no network has
    seen). on_progress is told how many are done, of how many. What else the folder holds stays;
    pairs made again replace themselves. Returns the paths of the pictures with moiré (for "none",
    the clean ones). Raises UsageError for an unknown kind, a folder without images, or a place that
    cannot be written.
    """
    _check(kind, count, size)
    files = clean_images(images, split) if images is not None else []
    written: list[Path] = []
    labels: list[Label] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pair, source = make_pair(files, kind, size, seed, index)
            name = f"{kind}_{seed}_{index:05d}"
            written.append(_write_pair(out, name, pair))
            labels.append(Label(name, kind, f"{pair.strength:.2f}", source, str(seed)))
            if on_progress:
                on_progress(index + 1, count)
        _add_labels(out / LABELS, labels)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}); choose another folder."
        ) from error
    return written
