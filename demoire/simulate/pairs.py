"""Labelled pairs on disk, for `demoire evaluate` and for eyes: what `demoire simulate` writes.

Pair `i` depends on the seed, `i`, the kind, the size and the list of clean images alone, so any of
them can be made again by itself. Names say kind, seed and number: several kinds and seeds share a
folder without treading on each other.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from demoire.errors import ImageError, UsageError
from demoire.file_bytes import read_file
from demoire.files import writing_to
from demoire.imaging.facts import ImageFacts
from demoire.imaging.formats import IMAGE_SUFFIXES
from demoire.imaging.images import probe
from demoire.imaging.rgb import read_rgb
from demoire.moire import KINDS, MoireKind
from demoire.progress import Progress, in_silence
from demoire.simulate.arrays import Scene, SrgbPixels
from demoire.simulate.scenes.drawings import NamedScene, draw_scene
from demoire.simulate.simulator import Pair, simulate
from demoire.simulate.splits import Split, split_of
from demoire.wording import first_few

LABELS = "labels.csv"

_LEAST_SIDE = 32  # px, of a scene and of a pair
_HEADER_BYTES = 1 << 16  # of a file, that mostly hold its header
_LOOKALIKE_SHARE = 0.5  # of the drawn scenes of clean pictures

_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class PairSet:
    """Which pairs to make."""

    kind: MoireKind
    count: int
    seed: int
    size: int = 512  # px, even
    # Take only images of this part of training's data; "test" has those that no network has seen.
    split: Split | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"No moiré of kind {self.kind!r} can be simulated; use one of {', '.join(KINDS)}."
            )
        if self.count < 1:
            raise UsageError(f"{self.count} pairs cannot be made; ask for one at least.")
        if self.size < _LEAST_SIDE or self.size % 2:
            raise UsageError(
                f"Pairs of {self.size} px cannot be made; use an even number from {_LEAST_SIDE} up."
            )


@dataclass(frozen=True)
class Label:
    """One row of labels.csv; the fields are its columns."""

    name: str  # what the picture's file names begin with
    kind: str
    strength: str  # RMS of the pattern in 1/255 sRGB, two decimals
    source: str  # file name of the clean image, or the name of the drawing
    seed: str


def write_pairs(
    images: Path | None,
    out: Path,
    pairs: PairSet,
    progress: Progress = in_silence,
) -> list[Path]:
    """Write pairs as NAME_moire.png and NAME_clean.png, with labels.csv.

    Pairs of the kind "none" are one picture, NAME_only_clean.png. What else the folder holds stays;
    pairs made again replace themselves.

    Args:
        images: A folder of clean images or one image; None draws the scenes.
        out: The folder to write to; it is made.
        pairs: Which pairs to make.
        progress: Told how many are done, of how many.

    Returns:
        The paths of the pictures with moiré; for "none", of the clean ones.

    Raises:
        UsageError: There are no images, or the folder cannot be written.
    """
    files: list[Path] = []
    if images is not None:
        files = clean_images(images, pairs.split)
    written: list[Path] = []
    labels: list[Label] = []
    with writing_to(out, "choose another folder"):
        out.mkdir(parents=True, exist_ok=True)
        for index in range(pairs.count):
            pair, source = make_pair(files, pairs.kind, pairs.size, pairs.seed, index)
            name = f"{pairs.kind}_{pairs.seed}_{index:05d}"
            strength = f"{pair.strength:.2f}"
            written.append(_write_pair(out, name, pair))
            labels.append(Label(name, pairs.kind, strength, source, str(pairs.seed)))
            progress("simulating", index + 1, pairs.count)
        _add_labels(out / LABELS, labels)
    return written


def make_pair(
    files: Sequence[Path], kind: MoireKind, size: int, seed: int, index: int
) -> tuple[Pair, str]:
    """Pair `index` of a seed, and the name of its scene; with no files the scene is drawn."""
    rng = np.random.default_rng([seed, index])
    named = pair_scene(files, kind, size, rng)
    return simulate(kind, named.scene, size, rng), named.name


def pair_scene(
    files: Sequence[Path], kind: MoireKind, size: int, rng: np.random.Generator
) -> NamedScene:
    """The scene of a pair; with no files it is drawn."""
    if not files:
        lookalike_share = _LOOKALIKE_SHARE if kind == "none" else 0.0
        return draw_scene(rng, size, lookalike_share=lookalike_share)
    path = files[int(rng.integers(len(files)))]
    return NamedScene(path.name, read_scene(path))


def clean_images(images: Path, split: Split | None = None) -> list[Path]:
    """The image files of a folder and its subfolders in a fixed order, or the one file given.

    Args:
        images: A folder or a file.
        split: Only those that training takes for this part of its data.

    Raises:
        UsageError: There are none.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise UsageError(f"There is no folder {images}; give one with clean images.")
    files = []
    for path in sorted(images.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            files.append(path)
    if not files:
        raise UsageError(
            f"{images} holds no images; give a folder of clean JPEG, PNG, TIFF, WebP or BMP files."
        )
    if split is None:
        return files
    chosen = [path for path in files if split_of(path.name) == split]
    if not chosen:
        raise UsageError(f"None of the few images in {images} falls to {split}; give some dozens.")
    return chosen


def read_scene(path: Path) -> Scene:
    """Decode a clean image, by the decoder that cleaning uses and turned by no orientation tag.

    Returns:
        (h, w, 3) uint8 sRGB, contiguous and writable.

    Raises:
        UsageError: The file is no image, or it is too small.
    """
    (scene,) = read_scenes([path])
    return scene


def read_scenes(paths: Sequence[Path]) -> list[Scene]:
    """Decode clean images as `read_scene` does.

    Raises:
        UsageError: Some are no images, or too small; the message names the first of them.
    """
    return _usable(paths, _decode_scene, lambda scene: min(scene.shape[:2]))


def scene_areas(paths: Sequence[Path]) -> list[int]:
    """The area of each clean image in px, by its header alone.

    Raises:
        UsageError: As for `read_scenes`.
    """
    all_facts = _usable(paths, _probe_file, lambda facts: min(facts.width, facts.height))
    return [facts.width * facts.height for facts in all_facts]


def _usable(
    paths: Sequence[Path], look: Callable[[Path], _Seen], least_side: Callable[[_Seen], int]
) -> list[_Seen]:
    """What a look at each of some images gives.

    Args:
        paths: The images.
        look: Raises where a file is no image.
        least_side: The shorter side of an image that was looked at, px.

    Raises:
        UsageError: Some are no images, or too small.
    """
    seen: list[_Seen] = []
    faults: list[str] = []
    for path in paths:
        try:
            one = look(path)
        except (ImageError, OSError):
            faults.append(f"{path} cannot be read as an image")
            continue
        if least_side(one) < _LEAST_SIDE:
            faults.append(f"{path} is smaller than {_LEAST_SIDE} px")
            continue
        seen.append(one)
    _refuse(faults)
    return seen


def _decode_scene(path: Path) -> Scene:
    # Some decoders give read-only memory, about which torch warns.
    return np.require(read_rgb(path), requirements=["C", "W"])


def _probe_file(path: Path) -> ImageFacts:
    with path.open("rb") as file:
        beginning = file.read(_HEADER_BYTES)
    try:
        return probe(beginning)
    except ImageError:  # its header may be further behind
        return probe(read_file(path))


def _refuse(faults: Sequence[str]) -> None:
    """Raise UsageError where anything is wrong with any image."""
    if not faults:
        return
    if len(faults) == 1:
        raise UsageError(f"{faults[0]}; take it out of the folder.")
    raise UsageError(
        f"{len(faults):,} pictures cannot be used: {first_few(faults)}; take them out of the "
        "folder."
    )


def check_picture_name(path: Path) -> None:
    """Check that the name's suffix says a format that pictures are written in.

    Raises:
        UsageError: It does not.
    """
    if not cv2.haveImageWriter(str(path)):
        raise UsageError(f"{path} is not a name for a picture; end it in .png.")


def write_picture(path: Path, picture: SrgbPixels) -> None:
    """Write a picture in the format that the name's suffix says.

    Raises:
        UsageError: It cannot be written.
    """
    check_picture_name(path)
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise UsageError(f"{path} cannot be written; choose another folder.")


def _write_pair(out: Path, name: str, pair: Pair) -> Path:
    """Write one pair; returns the path of its picture with moiré, or of the only one."""
    if pair.kind == "none":
        only = out / f"{name}_only_clean.png"
        write_picture(only, pair.clean)
        return only
    moire = out / f"{name}_moire.png"
    write_picture(moire, pair.moire)
    write_picture(out / f"{name}_clean.png", pair.clean)
    return moire


def _add_labels(path: Path, labels: Sequence[Label]) -> None:
    """Add rows, so that several kinds can share a folder; pairs made again keep one row."""
    rows = dict(_read_rows(path))
    for label in labels:
        rows[label.name] = astuple(label)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Label)])
        writer.writerows(rows[name] for name in sorted(rows))


def _read_rows(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The rows that a table has by now, by name; none where there is no table."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return {row[0]: tuple(row) for row in rows if row}
