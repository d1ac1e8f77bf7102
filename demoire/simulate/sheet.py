"""A contact sheet: simulated moiré above its clean twin, kind by kind, then real pictures.

A glance tells whether a simulation looks real, and figures (`demoire.simulate.realism`) by how much
it does not. All pictures are at 1:1, as a moiré that is resized is another moiré. Some seconds for
a sheet of 6 columns of 256 px.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from demoire.moire import KINDS, MoireKind
from demoire.progress import Progress, in_silence
from demoire.simulate.arrays import SrgbPixels
from demoire.simulate.pairs import clean_images, make_pair, read_scenes
from demoire.simulate.realism import Realism, measure
from demoire.simulate.simulator import Pair

_GAP = 4  # px between pictures
_CAPTION = 22  # px
_TRIES = 8  # crops of a real picture, of which the one with most in it is shown
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Gallery:
    """Pictures to compare."""

    pairs: dict[MoireKind, list[Pair]]  # simulated, all of one size
    real: list[SrgbPixels]  # whole pictures of any size
    crops: list[SrgbPixels]  # of the real ones, as many and as large as the pairs of a kind

    def realism(self) -> dict[str, Realism]:
        """The figures of each kind, of all clean twins, and of the real pictures, if any."""
        twins = []
        for pairs in self.pairs.values():
            twins += [pair.clean for pair in pairs]
        clean = measure(twins)
        sets: dict[str, Realism] = {}
        for kind, pairs in self.pairs.items():
            sets[kind] = measure([pair.moire for pair in pairs], clean)
        sets["clean"] = clean
        if self.real:
            sets["real"] = measure(self.real, clean)
        return sets


def gather(
    images: Path | None,
    *,
    count: int = 6,
    size: int = 256,
    seed: int = 0,
    real: Path | None = None,
    progress: Progress = in_silence,
) -> Gallery:
    """Simulate pairs of each kind, and cut as many crops out of real pictures.

    Args:
        images: Clean scenes, a folder or one file; None draws them.
        count: Pairs of each kind.
        size: Side of the pairs and crops, px.
        seed: Decides pairs and crops.
        real: A folder of real pictures with moiré.
        progress: Told how many pairs are done, of how many.

    Raises:
        UsageError: A folder has no images.
    """
    files: list[Path] = []
    if images is not None:
        files = clean_images(images)
    pictures: list[SrgbPixels] = []
    crops: list[SrgbPixels] = []
    if real is not None:
        pictures = _real_pictures(real)
        rng = np.random.default_rng(seed)
        for number in range(count):
            crops.append(_crop(pictures[number % len(pictures)], size, rng))
    kinds = [kind for kind in KINDS if kind != "none"]
    pairs: dict[MoireKind, list[Pair]] = {kind: [] for kind in kinds}
    done = 0
    for kind in kinds:
        for index in range(count):
            pair, _ = make_pair(files, kind, size, seed, index)
            pairs[kind].append(pair)
            done += 1
            progress("drawing the sheet", done, len(kinds) * count)
    return Gallery(pairs, pictures, crops)


def contact_sheet(gallery: Gallery, columns: int = 6) -> SrgbPixels:
    """Draw the sheet: of each kind two rows of `columns` pictures, then the real ones.

    `pairs.write_picture` writes it.
    """
    rows: list[SrgbPixels] = []
    for kind, pairs in gallery.pairs.items():
        shown = pairs[:columns]
        moire = _row([pair.moire for pair in shown])
        width = moire.shape[1]
        strengths = ", ".join(f"{pair.strength:.0f}" for pair in shown)
        rows.append(_caption(f"{kind}, simulated; strength {strengths}", width))
        rows.append(moire)
        rows.append(_caption(f"{kind}, the clean target", width))
        rows.append(_row([pair.clean for pair in shown]))
    if gallery.crops:
        crops = _row(gallery.crops[:columns])
        rows.append(_caption("real", crops.shape[1]))
        rows.append(crops)
    return np.concatenate(rows, axis=0)


def _real_pictures(folder: Path) -> list[SrgbPixels]:
    """A folder's pictures: those called NAME_moire where there are such, else all."""
    files = clean_images(folder)
    with_moire = [path for path in files if path.stem.endswith("_moire")]
    return read_scenes(with_moire or files)


def _crop(picture: SrgbPixels, size: int, rng: np.random.Generator) -> SrgbPixels:
    """The liveliest of some crops of `size` px: moiré seldom lies on an empty sky."""
    below = max(0, size - picture.shape[0])
    beside = max(0, size - picture.shape[1])
    picture = cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_REFLECT)
    height, width = picture.shape[:2]
    crops = []
    for _ in range(_TRIES):
        top = int(rng.integers(height - size + 1))
        left = int(rng.integers(width - size + 1))
        crops.append(picture[top : top + size, left : left + size])
    return max(crops, key=lambda crop: float(crop.std()))


def _row(pictures: Sequence[SrgbPixels]) -> SrgbPixels:
    """Pictures side by side, with white to the right of each and below."""
    row = []
    for picture in pictures:
        row.append(cv2.copyMakeBorder(picture, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=_WHITE))
    return np.concatenate(row, axis=1)


def _caption(text: str, width: int) -> SrgbPixels:
    strip = np.full((_CAPTION, width, 3), 255, np.uint8)
    baseline = (4, _CAPTION - 7)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(strip, text, baseline, font, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return strip
