"""Bands of a picture on a CPU, at a third of what convolutions cost.

`demoire.models.bands` splits squares of a picture by convolutions, which suits a GPU, and gradients
flow through them. OpenCV smooths the picture as it lies in memory. A hole costs nothing extra: if
two rows are read as one, and two pixels as one of six channels, the taps of a hole of 2 px are
neighbours. That is the same memory in another shape.

Channels are in another order here. A row of a square is 12 samples side by side, so squares become
channels by copying such runs: channel `12 * row + 3 * column + colour`. `CHANNEL_ORDER` says which
channel of `pixel_unshuffle` that is.

Bands, energies and the way to squares and back cost 28 ms a megapixel on a core, where
convolutions, reductions and a pixel shuffle cost 60. The results differ in their last digits.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demoire.imaging.boxes import Box
from demoire.models.bands import SQUARE, TAPS, bounded_strengths

_Floats = NDArray[np.float32]

_MOST_ROWS = 256  # px that are split at a time, so that they stay in the cache

_COLOURS = 3
_RUN = _COLOURS * SQUARE  # samples of a square's row

CHANNEL_ORDER = tuple(
    (colour * SQUARE + row) * SQUARE + column
    for row, column, colour in product(range(SQUARE), range(SQUARE), range(_COLOURS))
)


@dataclass(frozen=True)
class PictureBands:
    """What a picture is split into.

    Attributes:
        bands: (bands, h, w, 4, 12) over the part, the finest first: squares, and their rows.
        strengths: (1, 3 * bands, H/4, W/4), as `demoire.models.bands.energies` gives them.
    """

    bands: Tensor
    strengths: Tensor


def split_picture(picture: _Floats, count: int, part: Box) -> PictureBands:
    """Split a picture, on as many threads as torch has.

    Args:
        picture: (H, W, 3); its sides are multiples of 4 and of the coarsest band's hole.
        count: How many bands.
        part: Where bands are wanted, in squares. They take three times the memory of the picture.
    """
    height, width = picture.shape[:2]
    bands = np.empty((count, part.height, part.width, SQUARE, _RUN), np.float32)
    powers = np.empty((height // SQUARE, width // SQUARE, _COLOURS * count), np.float32)
    reach = 2 << count  # px beyond a pixel, and two more, that all smoothings together see

    def split_rows(top: int, bottom: int) -> None:
        if top == bottom:
            return
        first = max(top - reach, 0)
        rows = Box(top // SQUARE, 0, bottom // SQUARE, width // SQUARE)
        wanted = rows.common(part)
        for number, band in enumerate(_bands(picture[first : bottom + reach], count)):
            band = np.ascontiguousarray(band[top - first : bottom - first])
            if wanted is not None:
                bands[number, *wanted.within(part)] = in_squares(band)[wanted.within(rows)]
            colours = slice(_COLOURS * number, _COLOURS * (number + 1))
            powers[rows.slices[0], :, colours] = _mean_squares(band)

    threads = torch.get_num_threads()
    stripes = threads * math.ceil(height / (threads * _MOST_ROWS))
    edges = [height * stripe // stripes // reach * reach for stripe in range(stripes)]
    if threads == 1:
        list(map(split_rows, edges, [*edges[1:], height]))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(split_rows, edges, [*edges[1:], height]))
    return PictureBands(torch.from_numpy(bands), bounded_strengths(as_channels(powers)))


def in_squares(picture: _Floats) -> _Floats:
    """(H, W, 3) -> a view (H/4, W/4, 4, 12): squares, and their rows."""
    height, width = picture.shape[:2]
    return picture.reshape(height // SQUARE, SQUARE, width // SQUARE, _RUN).transpose(0, 2, 1, 3)


def as_channels(values: _Floats) -> Tensor:
    """(h, w, C) -> a view (1, C, h, w), channels last."""
    return torch.from_numpy(values)[None].permute(0, 3, 1, 2)


def _bands(picture: _Floats, count: int) -> Iterator[_Floats]:
    """Each band of a picture (H, W, 3), the finest first; valid until the next one is asked for."""
    height, width = picture.shape[:2]
    margin = max(SQUARE, 1 << count)  # px; the coarsest smoothing sees as many
    inner = slice(margin, margin + height), slice(margin, margin + width)
    finer = np.empty((height + 2 * margin, width + 2 * margin, _COLOURS), np.float32)
    finer[inner] = picture
    for step in range(count):
        _repeat_edges(finer, margin)
        hole = 1 << step
        together = finer.reshape(finer.shape[0] // hole, finer.shape[1], _COLOURS * hole)
        taps = np.array(TAPS, np.float32)
        coarser = cv2.sepFilter2D(together, -1, taps, taps).reshape(finer.shape)
        finer -= coarser
        yield finer[inner]
        finer = coarser


def _repeat_edges(framed: _Floats, margin: int) -> None:
    """Fill the frame around a picture with the squares at its edges, as often as they fit."""
    for side in (framed, framed.swapaxes(0, 1)):
        for start in range(0, margin, SQUARE):
            side[start : start + SQUARE] = side[margin : margin + SQUARE]
            end = len(side) - start
            side[end - SQUARE : end] = side[-margin - SQUARE : -margin]


def _mean_squares(band: _Floats) -> _Floats:
    """The mean power of each colour in each square, (H/4, W/4, 3)."""
    height, width = band.shape[:2]
    size = (width // SQUARE, height // SQUARE)
    means: _Floats = cv2.resize(cv2.multiply(band, band), size, interpolation=cv2.INTER_AREA)
    return means
