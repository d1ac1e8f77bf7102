"""A contact sheet: simulated moiré above its clean twin, kind by kind, and real pictures below them to compare.

Figures do not tell whether a simulation looks real; a glance does. All pictures are at 1:1, as a moiré that is resized
is another moiré. Some seconds for a sheet of 6 columns of 256 px.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from demoire.simulate import KINDS
from demoire.simulate.pairs import Scene, clean_images, make_pair, read_scene

_GAP = 4  # px between pictures
_CAPTION = 22  # px
_TRIES = 8  # crops of a real picture, of which the one with most in it is shown


def _caption(text: str, width: int) -> Scene:
    strip = np.full((_CAPTION, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, _CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


def _row(pictures: Sequence[Scene]) -> Scene:
    row = [cv2.copyMakeBorder(p, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in pictures]
    return np.concatenate(row, axis=1)


def _crop(picture: Scene, size: int, rng: np.random.Generator) -> Scene:
    """The liveliest of some crops of `size` px: moiré seldom lies on an empty sky."""
    missing = [max(0, size - side) for side in picture.shape[:2]]
    picture = cv2.copyMakeBorder(picture, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    corners = [[int(rng.integers(side - size + 1)) for side in picture.shape[:2]] for _ in range(_TRIES)]
    return max((picture[y : y + size, x : x + size] for y, x in corners), key=lambda crop: float(crop.std()))


def _real_crops(folder: Path, count: int, size: int, rng: np.random.Generator) -> list[Scene]:
    """Crops of a folder's pictures: of those called NAME_moire where there are such, else of all."""
    files = clean_images(folder)
    files = [path for path in files if path.stem.endswith("_moire")] or files
    crops = [_crop(read_scene(files[number % len(files)]), size, rng) for number in range(count)]
    return crops


def contact_sheet(
    images: Path | None,
    *,
    columns: int = 6,
    size: int = 256,
    seed: int = 0,
    real: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Scene:
    """Draw the sheet: (height, width, 3) uint8 sRGB, two rows of `columns` crops of `size` px for each kind.

    images: clean scenes, a folder or one file; None draws them. real: a folder of real pictures, for one more row.
    on_progress is told how many pairs are done, of how many. `pairs.write_picture` writes it.
    Raises UsageError for a folder without images.
    """
    files = clean_images(images) if images is not None else []
    kinds = [kind for kind in KINDS if kind != "none"]
    rows: list[Scene] = []
    for place, kind in enumerate(kinds):
        pairs = []
        for index in range(columns):
            pairs.append(make_pair(files, kind, size, seed, index)[0])
            if on_progress:
                on_progress(place * columns + index + 1, len(kinds) * columns)
        strengths = ", ".join(f"{pair.strength:.0f}" for pair in pairs)
        moire = _row([pair.moire for pair in pairs])
        rows += [_caption(f"{kind}, simulated; strength {strengths}", moire.shape[1]), moire]
        rows += [_caption(f"{kind}, the clean target", moire.shape[1]), _row([pair.clean for pair in pairs])]
    if real is not None:
        crops = _row(_real_crops(real, columns, size, np.random.default_rng(seed)))
        rows += [_caption("real", crops.shape[1]), crops]
    return np.concatenate(rows, axis=0)
