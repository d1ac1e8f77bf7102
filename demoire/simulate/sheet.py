"""A contact sheet: simulated moiré above its clean twin, kind by kind, and real pictures below them
to compare.

A glance tells whether a simulation looks real, and figures (`demoire.simulate.realism`) by how much
it does not. All pictures are at 1:1, as a moiré that is resized is another moiré. Some seconds for
a sheet of 6 columns of 256 px.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from demoire.simulate import KINDS, Kind, Pair
from demoire.simulate.pairs import Scene, clean_images, make_pair, read_scene
from demoire.simulate.realism import Realism, measure

_GAP = 4  # px between pictures
_CAPTION = 22  # px
_TRIES = 8  # crops of a real picture, of which the one with most in it is shown


def _caption(text: str, width: int) -> Scene:
    strip = np.full((_CAPTION, width, 3), 255, np.uint8)
    cv2.putText(
        strip, text, (4, _CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA
    )
    return strip


def _row(pictures: Sequence[Scene]) -> Scene:
    row = [
        cv2.copyMakeBorder(p, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for p in pictures
    ]
    return np.concatenate(row, axis=1)


def _crop(picture: Scene, size: int, rng: np.random.Generator) -> Scene:
    """The liveliest of some crops of `size` px: moiré seldom lies on an empty sky."""
    missing = [max(0, size - side) for side in picture.shape[:2]]
    picture = cv2.copyMakeBorder(picture, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    corners = [
        [int(rng.integers(side - size + 1)) for side in picture.shape[:2]] for _ in range(_TRIES)
    ]
    return max(
        (picture[y : y + size, x : x + size] for y, x in corners),
        key=lambda crop: float(crop.std()),
    )


def _real_pictures(folder: Path) -> list[Scene]:
    """A folder's pictures: those called NAME_moire where there are such, else all."""
    files = clean_images(folder)
    return [
        read_scene(path)
        for path in [path for path in files if path.stem.endswith("_moire")] or files
    ]


@dataclass(frozen=True)
class Gallery:
    """Pictures to compare."""

    pairs: dict[Kind, list[Pair]]  # simulated, all of one size
    real: list[Scene]  # whole pictures of any size
    crops: list[Scene]  # of the real ones, as many and as large as the pairs of a kind

    def realism(self) -> dict[str, Realism]:
        """The figures of each kind, of the clean twins of all, and of the real pictures if there
        are some.
        """
        clean = measure([pair.clean for pairs in self.pairs.values() for pair in pairs])
        sets = {
            str(kind): measure([pair.moire for pair in pairs], clean)
            for kind, pairs in self.pairs.items()
        }
        sets["clean"] = clean
        return {**sets, "real": measure(self.real, clean)} if self.real else sets


def gather(
    images: Path | None,
    *,
    count: int = 6,
    size: int = 256,
    seed: int = 0,
    real: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Gallery:
    """Simulate `count` pairs of `size` px of each kind, and cut as many crops out of real pictures.

    images: clean scenes, a folder or one file; None draws them. real: a folder of real pictures
    with moiré. on_progress is told how many pairs are done, of how many. Raises UsageError for a
    folder without images.
    """
    files = clean_images(images) if images is not None else []
    pictures, rng = _real_pictures(real) if real is not None else [], np.random.default_rng(seed)
    crops = (
        [_crop(pictures[number % len(pictures)], size, rng) for number in range(count)]
        if pictures
        else []
    )
    kinds = [kind for kind in KINDS if kind != "none"]
    pairs: dict[Kind, list[Pair]] = {kind: [] for kind in kinds}
    for done, (kind, index) in enumerate(product(kinds, range(count)), start=1):
        pairs[kind].append(make_pair(files, kind, size, seed, index)[0])
        if on_progress:
            on_progress(done, len(kinds) * count)
    return Gallery(pairs, pictures, crops)


def contact_sheet(gallery: Gallery, columns: int = 6) -> Scene:
    """Draw the sheet: (height, width, 3) uint8 sRGB, of each kind two rows of `columns` pictures;
    then the real ones.

    `pairs.write_picture` writes it.
    """
    rows: list[Scene] = []
    for kind, pairs in gallery.pairs.items():
        strengths = ", ".join(f"{pair.strength:.0f}" for pair in pairs[:columns])
        moire = _row([pair.moire for pair in pairs[:columns]])
        rows += [_caption(f"{kind}, simulated; strength {strengths}", moire.shape[1]), moire]
        rows += [
            _caption(f"{kind}, the clean target", moire.shape[1]),
            _row([pair.clean for pair in pairs[:columns]]),
        ]
    if gallery.crops:
        crops = _row(gallery.crops[:columns])
        rows += [_caption("real", crops.shape[1]), crops]
    return np.concatenate(rows, axis=0)
