"""Type on plain paper stays as it was, beside a picture that is cleaned.

The detector judges cells of 256 px, and a cell may hold half a printed picture and half a column of
text; some cells of nothing but small type look to it somewhat like moiré. The restorer then changes
letters a little for nothing. Moiré multiplies light, so it shows most where a page is brightest:
where the paper around letters carries no pattern, the letters carry none either. There the change
is dropped, pixel by pixel, if it is small on the letters too.

Paper is what is about as light as the lightest within 16 px. Of windows of 48 px with enough paper,
the mean change over the paper decides. On drawn pages it is 0.8 to 1.7 of 255 where a scan
is only smoothed, up to 5 where it is a noisy one, and from 1.5 (hardly visible) to 40 where there
are dots. So in cells that the detector is not sure of more has to be seen before it counts. What is
spread over all frequencies, as no pattern is, is noise of the paper, and does not count at all.
Highlights that are clipped to white show no pattern, whatever lies beside them: hence the bound on
the change beside them.

Where the paper does carry a pattern, strokes keep their tone (`demoire.cleaning.strokes`).

About 18 ms a megapixel, some 12 more on noisy paper, and less where nothing was changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.blend import part_of_change
from demoire.cleaning.gain import patterns_in
from demoire.cleaning.grid import Grid
from demoire.cleaning.strokes import kept_beside_strokes
from demoire.cleaning.window_spectra import (
    SPECTRAL_WINDOW,
    a_few_at_a_time,
    bell,
    channels_of,
    planes_of,
    samples_in,
    taken_in,
)
from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels, as_8_bit

_BLOCK = 16  # px; the statistics are taken in these, and smoothed over three by three of them
_NEAR = 33  # px, side of the square whose lightest pixel is taken for paper
_SHADE = 24  # of 255, by which paper may be darker than that
_LIGHT = 128  # of 255; what is darker is no paper, but a printed surface
_FADING = 1.3  # times the bound over the paper, from which all of a change is kept

# Of windows of 64 px, the share of the paper's change in the eight strongest frequencies
# (`demoire.cleaning.gain`) below which it is noise: white noise has 0.015 to 0.03. Of windows on
# drawn tints with dots none has less, of those on three real prints with faint dots 3 of 47.
_MOST_OF_NOISE = 0.03

_STRIPE = 1 << 14  # px of which a share of the change is kept at a time
_IN_WINDOW = SPECTRAL_WINDOW // _BLOCK  # blocks along a side of such a window
_BAND = 1 << 21  # px that are looked at together: a small picture as a whole,
_LEAST_ROWS = 512  # or so many rows of a wide one, a multiple of SPECTRAL_WINDOW
_AROUND = 64  # rows above and below a band that its statistics reach to, likewise


@dataclass(frozen=True)
class _Bounds:
    """Mean changes, of 255, up to which they are taken for none, and where at all."""

    on_paper: float
    on_ink: float  # of what is no paper
    least_paper: float  # share of a window; bold type leaves 0.6, small and dense type 0.25


# Letters are changed by up to 7 of 255 where nothing but noise is taken from the paper. Light parts
# of printed pictures look like dense type.
_IN_CERTAIN_CELLS = _Bounds(on_paper=1.75, on_ink=8.0, least_paper=0.45)
_IN_OTHER_CELLS = _Bounds(on_paper=4.0, on_ink=12.0, least_paper=0.25)
# Noise is none, however strong; what is stronger than this is no scan that one could read.
_OF_NOISE = _Bounds(on_paper=12.0, on_ink=20.0, least_paper=0.45)


def leave_lettering_alone(
    before: Pixels, after: Pixels, grid: Grid, certain: NDArray[np.bool_]
) -> None:
    """Take back the change of type on plain paper, and that of strokes on any paper.

    Args:
        before: (H, W, C) uint8 or uint16.
        after: The same pixels, restored; written to.
        grid: The cells of the picture.
        certain: (rows, columns), True for cells that surely have moiré.
    """
    height, width, channels = before.shape
    # Rows of `after` as they were before the band above was settled.
    above = np.zeros((0, width, channels), before.dtype)
    rows = max(_LEAST_ROWS, _BAND // width // SPECTRAL_WINDOW * SPECTRAL_WINDOW)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first = top - len(above)
        last = min(bottom + _AROUND, height)
        new = np.concatenate([above, after[top:last]])
        above = new[bottom - first - _AROUND : bottom - first].copy()
        is_certain = _of_blocks(certain, grid, Box(first, 0, last, width))
        kept = _share_to_keep(before[first:last], new, is_certain)
        if kept is not None:
            _keep(
                kept[top - first : bottom - first],
                before[top:bottom],
                after[top:bottom],
            )


def _of_blocks(certain: NDArray[np.bool_], grid: Grid, box: Box) -> NDArray[np.bool_]:
    """What holds of cells, (rows, columns), for each block of a box, by its first pixel."""
    down = np.arange(box.top, box.bottom, _BLOCK)
    across = np.arange(box.left, box.right, _BLOCK)
    rows = np.searchsorted(grid.rows, down, "right") - 1
    columns = np.searchsorted(grid.columns, across, "right") - 1
    of_blocks: NDArray[np.bool_] = certain[np.ix_(rows, columns)]
    return of_blocks


def _share_to_keep(
    before: Pixels, after: Pixels, is_certain: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """How much of each pixel's change is kept, (h, w) 0..1; None for all of it."""
    old = as_8_bit(before)
    new = as_8_bit(after)
    if not cv2.absdiff(old, new).any():
        return None
    light = _lightness(old)
    on_plain_paper = _kept_on_plain_paper(old, new, light, is_certain)
    beside_strokes = kept_beside_strokes(light, _lightness(new))
    if on_plain_paper is None:
        return beside_strokes
    if beside_strokes is None:
        return on_plain_paper
    return np.minimum(on_plain_paper, beside_strokes)


def _kept_on_plain_paper(
    old: NDArray[np.uint8],
    new: NDArray[np.uint8],
    light: NDArray[np.uint8],
    is_certain: NDArray[np.bool_],
) -> NDArray[np.float32] | None:
    """How much is kept of each pixel's change, (h, w) 0..1; None for all.

    Args:
        old: (h, w, C) before.
        new: The same pixels after.
        light: Lightness of `old`, (h, w).
        is_certain: By block.
    """
    lightest = cv2.dilate(cv2.blur(light, (3, 3)), np.ones((_NEAR, _NEAR), np.uint8))
    is_paper = (cv2.subtract(lightest, light) <= _SHADE) & (lightest >= _LIGHT)
    paper = is_paper.astype(np.float32)
    strength = _largest_channel(cv2.absdiff(old, new)).astype(np.float32)
    share = _block_means(paper)
    on_paper = _block_means(strength * paper)
    on_ink = _block_means(strength) - on_paper
    on_paper /= np.maximum(share, 1e-3)
    on_ink /= np.maximum(1 - share, 1e-3)
    kept = np.where(
        is_certain,
        _kept_within(_IN_CERTAIN_CELLS, share, on_paper, on_ink),
        _kept_within(_IN_OTHER_CELLS, share, on_paper, on_ink),
    )
    kept_of_noise = _kept_within(_OF_NOISE, share, on_paper, on_ink)
    is_noise = _is_noise(old, new, is_paper, asked=kept_of_noise < kept)
    kept[is_noise] = np.minimum(kept, kept_of_noise)[is_noise]
    if kept.min() == 1:
        return None
    rows, columns = kept.shape
    smooth = cv2.resize(kept, (columns * _BLOCK, rows * _BLOCK), interpolation=cv2.INTER_LINEAR)
    height, width = light.shape
    share_to_keep: NDArray[np.float32] = smooth[:height, :width]
    return share_to_keep


def _kept_within(
    bounds: _Bounds,
    share: NDArray[np.float32],
    on_paper: NDArray[np.float32],
    on_ink: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How much of the change is kept, by block, 0..1.

    Args:
        bounds: Up to where a change is none.
        share: Of a window, what is paper, 0..1.
        on_paper: Mean change of the paper, of 255.
        on_ink: Mean change of what is no paper.
    """
    rising = np.clip((on_paper / bounds.on_paper - 1) / (_FADING - 1), 0, 1)
    kept: NDArray[np.float32] = rising.astype(np.float32)
    kept[(share < bounds.least_paper) | (on_ink > bounds.on_ink)] = 1
    return kept


def _is_noise(
    old: NDArray[np.uint8],
    new: NDArray[np.uint8],
    is_paper: NDArray[np.bool_],
    asked: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Of which blocks the paper's change is noise, True or False; False where nobody asked.

    Args:
        old: (h, w, C) before.
        new: The same pixels after.
        is_paper: (h, w).
        asked: By block. All blocks of a window of SPECTRAL_WINDOW px get the same answer.
    """
    is_noise = np.zeros_like(asked)
    windows = _windows_with(asked)
    if not windows:
        return is_noise
    whole_old = _whole_windows(old)
    whole_new = _whole_windows(new)
    whole_paper = _whole_windows(is_paper.astype(np.uint8)[..., None])
    for some in a_few_at_a_time(windows):
        taken = planes_of(channels_of(taken_in(whole_old, whole_new, some)))
        (paper,) = channels_of(samples_in(whole_paper, some))
        taken_from_paper = _less_its_mean(taken, paper)
        for window, pattern in zip(some, patterns_in(taken_from_paper), strict=True):
            of_window = window.scaled(down=_BLOCK).slices
            is_noise[of_window] = pattern is not None and pattern.share < _MOST_OF_NOISE
    return is_noise


def _whole_windows(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, C), continued by reflection by what the last windows lack."""
    height, width, channels = pixels.shape
    below = -height % SPECTRAL_WINDOW
    beside = -width % SPECTRAL_WINDOW
    whole = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REFLECT)
    return np.asarray(whole, np.uint8).reshape(height + below, width + beside, channels)


def _windows_with(asked: NDArray[np.bool_]) -> list[Box]:
    """The windows of SPECTRAL_WINDOW px, side by side, in which any block is asked for."""
    below = -len(asked) % _IN_WINDOW
    beside = -asked.shape[1] % _IN_WINDOW
    whole = np.pad(asked, ((0, below), (0, beside)))
    rows = len(whole) // _IN_WINDOW
    of_windows = whole.reshape(rows, _IN_WINDOW, -1, _IN_WINDOW).any(axis=(1, 3))
    windows = []
    for row, column in np.argwhere(of_windows).tolist():
        windows.append(Box(row, column, row + 1, column + 1).scaled(up=SPECTRAL_WINDOW))
    return windows


def _less_its_mean(
    taken: Iterable[NDArray[np.float32]], paper: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """What was taken from the paper of each window, less its mean, and nothing elsewhere.

    Args:
        taken: What was taken everywhere, (windows, SPECTRAL_WINDOW, SPECTRAL_WINDOW) for each
            plane, of 255.
        paper: 1 where there is paper, else 0; of the same shape.

    Returns:
        The same for each plane, full scale 1, with the weights of a window.
    """
    pixels = np.maximum(1, paper.sum(axis=(1, 2), keepdims=True))
    weights = paper * (bell() / np.float32(255))
    of_paper = []
    for plane in taken:
        total = np.einsum("wyx,wyx->w", plane, paper)
        deviations = plane - total[:, None, None] / pixels
        deviations *= weights
        of_paper.append(deviations)
    return of_paper


def _keep(share: NDArray[np.float32], before: Pixels, after: Pixels) -> None:
    """Leave a share of the change in `after`; share (h, w) 0..1."""
    for stripe in in_stripes(Box(0, 0, *share.shape), _STRIPE):
        here = stripe.slices
        if share[here].min() < 1:
            kept = part_of_change(before[here], after[here], share[here])
            kept += before[here]
            after[here] = np.rint(kept)


def _block_means(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) -> (blocks, blocks): the mean of each block and its neighbours."""
    height, width = plane.shape
    below = -height % _BLOCK
    beside = -width % _BLOCK
    whole = cv2.copyMakeBorder(plane, 0, below, 0, beside, cv2.BORDER_REFLECT)
    size = (whole.shape[1] // _BLOCK, whole.shape[0] // _BLOCK)
    means = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    smooth: NDArray[np.float32] = cv2.blur(means, (3, 3))
    return smooth


def _lightness(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, C) -> (h, w)."""
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    return np.asarray(cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2GRAY))


def _largest_channel(change: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, C) -> (h, w); OpenCV drops a single channel."""
    planes = cv2.split(change)
    largest = planes[0]
    for plane in planes[1:]:
        largest = cv2.max(largest, plane)
    return np.asarray(largest)
