"""When an image counts as having moiré, and when a restored tile can be trusted.

Pure functions over numbers: they know no file, no network and no thread, so a rule can be read,
tested and changed in one place.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.dots import Dots, dots_taken
from demoire.cleaning.grid import Grid
from demoire.cleaning.result import Detection
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.provenance import Provenance
from demoire.models.detector import image_score

# px; a picture with a shorter side shows too little to be told from a pattern: the spectra that the
# detector looks at are of windows of this size. Of 2,918 icons of 32 px 81 were taken for moiré.
_SMALLEST_SIDE = 64

# No moiré is as strong as this. Both are means over a tile in units of full scale: of the change
# whatever its sign, and of how much darker or brighter the tile becomes. The latter may be a share
# of how light the tile was, and a little more.
_LARGEST_CHANGE = 0.25
_LARGEST_SHIFT = 0.5
_HARMLESS_SHIFT = 0.02

# The second gate, chosen on real pictures of sources that neither network was trained on; see
# docs/models/notebook.md. A share of energy (`demoire.cleaning.gain`), and a fall of the score's
# log odds that will do where the picture still scores above the threshold.
_LEAST_PATTERN_SHARE = 0.1
_LEAST_FALL = 0.1

# The dots of a print; see `demoire.cleaning.dots`. Dots that are drawn in black have a colour of
# 0.02, print in several inks 0.3 and more. Dots wider than the strokes of small type take it along.
_LEAST_LATTICE = 0.3
_CLEAR_LATTICE = 0.5
_MOST_CLEAR_LEFT = 0.02
_LEAST_DOT_SHARE = 0.25
_MOST_DOTS_LEFT = 0.01
_LEAST_COLOUR = 0.2
_WIDEST_DOTS = 7.0  # px

# A score is in doubt from a little below the threshold to far above what is sure (log odds): looks
# at the picture turned move it by so much.
_DOUBT_BELOW_THRESHOLD = 0.5
_DOUBT_ABOVE_SURE = 2.1

# Where the detector is not sure, more is asked of what was taken away. Half of the photographs,
# engravings and fabrics that it takes for moiré are only softened. Of most others the restorer
# takes what looks like a pattern to it, and the detector still sees one in what is left.
_LEAST_DOUBTFUL_SHARE = 0.17
_MOST_DOUBTFUL_LEFT = 0.75

# The stronger a pattern, the surer the detector. Of some 70 pictures with moiré that it is not sure
# of the strongest change is 0.13. Maps of classes in bright colours have 0.16 to 0.33, of
# which at most 0.21 lies in few frequencies. Root mean square over restored cells, full scale 1.
_MOST_DOUBTFUL_CHANGE = 0.15


@dataclass(frozen=True)
class Rules:
    """When an image is cleaned, and how.

    Attributes:
        restore_all: Restore every cell, whatever the detector says.
        threshold: Image score from which an image is cleaned.
        cell_threshold: P(moiré) from which a cell of such an image is restored.
        sure: Image score from which the score alone says that an image has moiré.
        free_of_doubt: Score up to which a restored image shows that it had moiré, where its score
            before did not say so alone.
        tile_side: px that a tile has at most on each side.
        max_megapixels: MP above which an image is not decoded.
        max_side: px of the longer side above which an image is not decoded.
        allow_signed: Clean signed images too; their manifest is left out.
        note: What a cleaned file says of what changed it; None for nothing.
        makes_grey: Make a grey picture of each black and white one that shows dots.
    """

    restore_all: bool
    threshold: float
    cell_threshold: float
    sure: float
    free_of_doubt: float
    tile_side: int
    max_megapixels: float
    max_side: int
    allow_signed: bool = False
    note: Provenance | None = None
    makes_grey: bool = False


def can_be_judged(height: int, width: int) -> bool:
    """Whether a picture of this size in px is large enough to show moiré."""
    return min(height, width) >= _SMALLEST_SIDE


def detection_from(probabilities: NDArray[np.float32], rules: Rules) -> Detection:
    """What the probabilities of an image's cells say about the image.

    Args:
        probabilities: (cells, 4) in the order of `KINDS`; no rows where nothing was judged.
        rules: The thresholds.
    """
    cells = len(probabilities)
    if not cells:
        return Detection(moire=0.0, kind="none", cells=0, flagged=())
    moire, kind = image_score(probabilities, rules.threshold)
    if moire < rules.threshold:
        return Detection(moire, kind, cells, flagged=())
    moire_of_cells = 1 - probabilities[:, 0]
    flagged = np.flatnonzero(moire_of_cells >= rules.cell_threshold)
    return Detection(moire, kind, cells, tuple(int(cell) for cell in flagged))


def is_in_doubt(score: float, rules: Rules) -> bool:
    """Whether another look at an image of this score may decide otherwise."""
    least = _log_odds(rules.threshold) - _DOUBT_BELOW_THRESHOLD
    most = _log_odds(rules.sure) + _DOUBT_ABOVE_SURE
    return least <= _log_odds(score) < most


def are_certain(probabilities: NDArray[np.float32], rules: Rules) -> NDArray[np.bool_]:
    """Which cells have moiré for sure: each by itself would make its image one with moiré.

    Args:
        probabilities: (cells, 4) in the order of `KINDS`.
        rules: The thresholds.
    """
    certain: NDArray[np.bool_] = 1 - probabilities[:, 0] >= rules.threshold
    return certain


class ChangeKind(Enum):
    """What a restored tile looks like, beside the tile as it was."""

    SOUND = auto()  # moiré may have been taken out
    DRAWN = auto()  # a pattern was taken out that is too strong for moiré, and no coloured print
    BROKEN = auto()  # no picture, such as NaN, all black, or noise


def change_kind(before: Pixels, after: Pixels, brightness: float) -> ChangeKind:
    """Whether what the restorer makes of a tile may be right.

    The screentone of a comic page is black and white, and the restorer turns it into the grey that
    it stands for: the tile becomes calmer, by more than any moiré could account for. So does a
    coarse print, but screentone has one ink, and print in colours has several. A restorer that has
    failed makes the tile no calmer.

    Args:
        before: The tile as it was, (h, w, C) uint8 or uint16.
        after: The same pixels, restored.
        brightness: The mean of the restored samples before they were kept in range, full scale 1;
            not finite where one of them was not.
    """
    full_scale = float(np.iinfo(before.dtype).max)
    lightness = sum(cv2.sumElems(before)) / (before.size * full_scale)
    shift = abs(brightness - lightness)
    largest_shift = _LARGEST_SHIFT * lightness + _HARMLESS_SHIFT
    # With a NaN the comparison is False.
    if not shift <= largest_shift:
        return ChangeKind.BROKEN
    strength = cv2.norm(before, after, cv2.NORM_L1) / (before.size * full_scale)
    if strength < _LARGEST_CHANGE:
        return ChangeKind.SOUND
    is_calmer = float(after.std()) < float(before.std())
    if not is_calmer:
        return ChangeKind.BROKEN
    grid = Grid(*before.shape[:2])
    is_print = are_dots_in_colour(dots_taken(before, after, grid, range(len(grid))))
    return ChangeKind.SOUND if is_print else ChangeKind.DRAWN


def are_dots_in_colour(dots: Dots | None) -> bool:
    """Whether what was taken away is print in colours, which nobody draws, and is gone for good."""
    if dots is None:
        return False
    are_print = dots.lattice >= _LEAST_LATTICE and dots.colour >= _LEAST_COLOUR
    return are_print and dots.period <= _WIDEST_DOTS and dots.left <= _MOST_DOTS_LEFT


def looks_like_pattern(share: float | None) -> bool:
    """Whether what the restorer took away may have been moiré.

    Args:
        share: See `pattern_share`; None, where nothing could be measured, says nothing against it.
    """
    return share is None or share >= _LEAST_PATTERN_SHARE


def has_gained(before: float, after: float, threshold: float) -> bool:
    """Whether an image has less moiré than before, by its scores (0..1) before and after."""
    return after < threshold or _log_odds(before) - _log_odds(after) >= _LEAST_FALL


def is_doubted_artwork(change: float, share: float | None) -> bool:
    """Whether what was taken away is too strong to be moiré that the detector is not sure of.

    The dots of a print may be as strong all the same, but they lie in few frequencies.

    Args:
        change: What restoring changes, root mean square over the restored cells, full scale 1.
        share: See `pattern_share`; None, where nothing could be measured, says nothing against it.
    """
    return share is not None and change >= _MOST_DOUBTFUL_CHANGE and share < _LEAST_DOT_SHARE


def is_only_softened(dots: Dots | None) -> bool:
    """Whether restoring took a little at many frequencies, and most is left of each of them.

    A screen's pattern may share its frequencies with the picture and then looks like this too. So
    it is a reason to leave an image alone only where the detector is not sure of it.
    """
    if dots is None:
        return False
    return dots.share < _LEAST_DOUBTFUL_SHARE and dots.left > _MOST_DOUBTFUL_LEFT


def is_clear_pattern(dots: Dots | None) -> bool:
    """Whether what was taken away repeats in two directions, or lay in few frequencies and is gone.

    Print does either, even where the detector is not sure of it. Of fabrics and stripes, which it
    takes for moiré, much is left at any frequency.
    """
    if dots is None:
        return False
    is_gone = dots.share >= _LEAST_DOT_SHARE and dots.left <= _MOST_CLEAR_LEFT
    return is_gone or dots.lattice >= _CLEAR_LATTICE


def are_dots_gone(dots: Dots | None) -> bool:
    """Whether what was taken away were the dots of a print, of which hardly any are left.

    After a coarse print is restored the detector often scores it as high as before: it still sees
    the grain of the paper, or what little is left of the dots.
    """
    if dots is None:
        return False
    were_dots = dots.lattice >= _LEAST_LATTICE and dots.share >= _LEAST_DOT_SHARE
    return were_dots and dots.left <= _MOST_DOTS_LEFT


def _log_odds(score: float) -> float:
    bounded = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))
