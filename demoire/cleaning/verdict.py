"""When an image counts as having moiré, and when a restored tile can be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.result import Detection
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.images import Picture
from demoire.models.detector import image_score
from demoire.moire import KINDS

# px; a picture with a shorter side shows nothing that could be told from its content
_SMALLEST = 32


# Beyond these no moiré goes, so the restorer has failed. Means over a tile, of full scale: of what
# is changed either way, and of how much darker or brighter all becomes, as a part of how light it
# was and a little besides.
_MOST_CHANGE = 0.25


_MOST_SHIFT, _SLIGHT = 0.5, 0.02


_SAMPLED = 4  # px from one that is looked at to the next


@dataclass(frozen=True)
class Rules:
    """When an image is cleaned, and how."""

    restore_all: bool
    threshold: float
    tile_threshold: float
    tile: int  # px
    max_megapixels: float
    max_side: int  # px


def _grid_of(picture: Picture) -> Grid:
    return Grid(picture.facts.height, picture.facts.width)


def _can_be_judged(picture: Picture) -> bool:
    return min(picture.facts.height, picture.facts.width) >= _SMALLEST


def _detection(probabilities: NDArray[np.float32], rules: Rules) -> Detection:
    """probabilities: (cells, 4)."""
    if not len(probabilities):
        return Detection(0.0, KINDS[0], 0, ())
    moire, kind = image_score(probabilities, rules.threshold)
    flagged = (
        np.flatnonzero(1 - probabilities[:, 0] >= rules.tile_threshold)
        if moire >= rules.threshold
        else ()
    )
    return Detection(moire, kind, len(probabilities), tuple(int(cell) for cell in flagged))


def _is_sound(change: NDArray, before: Pixels) -> bool:
    """Whether what the restorer adds, (h, w, C) in units of full scale, may be right: neither NaN
    nor all black.
    """
    some = change[::_SAMPLED, ::_SAMPLED]
    light = (
        float(before[::_SAMPLED, ::_SAMPLED].mean(dtype=np.float64)) / np.iinfo(before.dtype).max
    )
    strong, shift = (
        float(np.abs(change).mean(dtype=np.float32)),
        abs(float(some.mean(dtype=np.float32))),
    )
    return strong < _MOST_CHANGE and shift <= _MOST_SHIFT * light + _SLIGHT  # False for NaN too
