"""Greys for a picture of black and white dots that stand for greys.

The networks know printed dots as a scanner sees them in grey, and nothing of pixels that are black
or white. Two pixels by two averaged are near to what they know: there the detector finds halftone
that it misses in the pixels themselves, and takes none of 23 pages of text for it. What it finds is
restored, all else keeps its black and white, so that text stays as sharp as it was.

Dots of several pixels each, as a printer's screen makes them, are restored at half the size. Dots
of single pixels, as a program's dithering makes them, are gone there already, and much of the
picture with them: these are restored at their own size. See docs/decisions/0017-bilevel.md.

A page of 35 MP takes the detector and the restorer as long as one of 9 MP in grey.
"""

from bisect import bisect_right
from dataclasses import dataclass

import cv2
import numpy as np

from demoire.cleaning.blend import Blending, fade
from demoire.cleaning.engine import Engine, plan_for
from demoire.cleaning.grid import Grid
from demoire.cleaning.judging import cell_probabilities
from demoire.cleaning.verdict import (
    ChangeKind,
    Rules,
    can_be_judged,
    change_kind,
    detection_from,
)
from demoire.cleaning.windows import tiles_of
from demoire.errors import ImageError
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels
from demoire.reasons import Reason

# Sigma, px, of the blur that takes the edge off the dots before they are restored: at half the
# size, and at their own.
_BLUR_OF_SCREEN = 0.9
_BLUR_OF_DITHERING = 1.0
# How far pixels at half the size are from their neighbourhood in the mid-tones (RMS, of 255): dots
# of screens 71 to 108, of dithering 27 to 41.
_SCREEN_CONTRAST = 55.0
_NEIGHBOURHOOD = 2.0  # sigma, px
_MID_TONES = (50, 205)
_STRIPE = 1 << 20  # px that are put together at a time


@dataclass(frozen=True)
class _Work:
    """What the restorer is to look at.

    Attributes:
        pixels: (H, W, 1) uint8, smoothed.
        scale: How many pixels of the picture one of these stands for, on each side.
        grid: The cells of `pixels`.
        flagged: The cells that are restored.
    """

    pixels: Pixels
    scale: int
    grid: Grid
    flagged: tuple[int, ...]


def descreened(picture: Pixels, engine: Engine, rules: Rules) -> Pixels | None:
    """The picture with greys where it had dots.

    Args:
        picture: (H, W, 1) uint8 of 0 and 255.
        engine: The networks.
        rules: When dots are found, and how large tiles are.

    Returns:
        (H, W, 1) uint8; None where the detector finds no dots, as in text and drawings, or the
        picture is too small to show any.

    Raises:
        ImageError: `cleaning_failed`: the restorer gave no usable picture.
    """
    half = _halved(picture)
    if not can_be_judged(*half.shape[:2]):
        return None
    grid = Grid(*half.shape[:2])
    (probabilities,) = cell_probabilities(engine, [half], rules)
    flagged = detection_from(probabilities, rules).flagged
    if rules.restore_all:
        flagged = tuple(range(len(grid)))
    if not flagged:
        return None
    if _dots_are_large(half, grid, flagged):
        work = _Work(_blurred(half, _BLUR_OF_SCREEN), 2, grid, flagged)
    else:
        whole = Grid(*picture.shape[:2])
        same = _same_cells(grid, flagged, whole)
        work = _Work(_blurred(picture, _BLUR_OF_DITHERING), 1, whole, same)
    return _put_into(picture, _restored(work, engine, rules.tile_side), work)


def _halved(picture: Pixels) -> Pixels:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = picture.shape[:2]
    even = picture
    if height % 2 or width % 2:
        even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = ((width + 1) // 2, (height + 1) // 2)
    return _with_channel(cv2.resize(even, size, interpolation=cv2.INTER_AREA))


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return _with_channel(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def _with_channel(pixels: Pixels) -> Pixels:
    """OpenCV drops a single channel."""
    return np.asarray(pixels).reshape(*pixels.shape[:2], 1)


def _dots_are_large(half: Pixels, grid: Grid, flagged: tuple[int, ...]) -> bool:
    """Whether the dots can still be told from one another at half the size."""
    squares = 0.0
    count = 0
    for cell in flagged:
        pixels = half[grid.box(cell).slices].astype(np.float32)
        around = cv2.GaussianBlur(pixels, (0, 0), _NEIGHBOURHOOD)
        is_mid_tone = (around > _MID_TONES[0]) & (around < _MID_TONES[1])
        difference = (pixels[:, :, 0] - around)[is_mid_tone]
        squares += float(np.square(difference).sum())
        count += difference.size
    return squares > count * _SCREEN_CONTRAST**2


def _same_cells(half: Grid, flagged: tuple[int, ...], whole: Grid) -> tuple[int, ...]:
    """The cells of the whole picture whose centres lie in flagged cells of the one of half size."""
    mask = half.mask(flagged)
    same = []
    for cell in range(len(whole)):
        box = whole.box(cell)
        row = bisect_right(half.rows[:-1], (box.top + box.bottom) // 4) - 1
        column = bisect_right(half.columns[:-1], (box.left + box.right) // 4) - 1
        if mask[row, column]:
            same.append(cell)
    return tuple(same)


def _restored(work: _Work, engine: Engine, tile_side: int) -> Pixels:
    """The pixels of a piece of work with its flagged cells restored."""
    windows = plan_for(engine, work.grid, work.flagged, side=tile_side)
    blending = Blending(work.pixels, work.grid, work.flagged, tiles_of(windows))
    for window in windows:
        (restored,) = engine.restore([window], [window.cut(work.pixels)])
        for tile, of_tile in zip(window.tiles, restored, strict=True):
            before = work.pixels[tile.reach.slices]
            kind = change_kind(before, of_tile.pixels, of_tile.brightness)
            if kind is ChangeKind.BROKEN:
                raise ImageError(Reason.CLEANING_FAILED, "The restorer gave no usable picture.")
            blending.add(tile.number, of_tile.pixels)
    return blending.finished()


def _put_into(picture: Pixels, restored: Pixels, work: _Work) -> Pixels:
    """The picture with what was restored in its flagged cells, which fades out at their edges."""
    height, width = picture.shape[:2]
    scale = work.scale
    full = restored
    if scale > 1:
        rows, columns = restored.shape[:2]
        size = (scale * columns, scale * rows)
        full = cv2.resize(restored, size, interpolation=cv2.INTER_CUBIC)
    full = _with_channel(full[:height, :width])
    mask = work.grid.mask(work.flagged)
    if mask.all():
        return np.ascontiguousarray(full)
    out = picture.copy()
    whole = Box(0, 0, *work.pixels.shape[:2])
    for stripe in in_stripes(whole, _STRIPE, columns=whole.width):
        weights = fade(work.grid, mask, stripe)
        weights = np.repeat(np.repeat(weights, scale, axis=0), scale, axis=1)
        inside = slice(scale * stripe.top, min(scale * stripe.bottom, height))
        old = picture[inside].astype(np.float32)
        weights = weights[: len(old), :width, None]
        out[inside] = np.rint(old + weights * (full[inside] - old)).astype(np.uint8)
    return out
