"""The second gate: whether what the restorer took away looks like a pattern.

The detector mistakes some noise, grain and texture for moiré, and the restorer then takes away
whatever it finds there. Moiré repeats: in a small window its energy lies in a few frequencies. What
is taken from grain, leaves or brush strokes is spread over all of them.

Some 5 ms, whatever the size of the picture (`demoire.cleaning.window_spectra`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demoire.cleaning.grid import Grid
from demoire.cleaning.window_spectra import (
    bell,
    channels_of,
    folded,
    may_be_pattern,
    planes_of,
    taken_in,
    windows_in,
)
from demoire.imaging.codecs.raster import Pixels

STRONGEST = 8  # frequencies of a window that count as its pattern
LEAST_ENERGY = 1e-4  # of a window, full scale 1; below it there is only the rounding of sums


def pattern_share(before: Pixels, after: Pixels, grid: Grid, cells: Sequence[int]) -> float | None:
    """How much of what was taken away lies in few frequencies.

    In each window the share of the energy in its eight strongest frequencies, over lightness and
    two differences of colours; then the mean over windows, weighted by the amplitude of what was
    taken away there.

    Args:
        before: (H, W, C) uint8 or uint16, 1 to 4 channels.
        after: The same pixels, restored.
        grid: The cells of the picture.
        cells: Those that were restored.

    Returns:
        0..1; white noise has about 0.03. None where no window fits into a restored cell, or
        nothing was taken away.
    """
    weights = bell() / np.float32(np.iinfo(before.dtype).max)
    shares: list[float] = []
    amplitudes: list[float] = []
    for windows in windows_in(grid, cells):
        taken = planes_of(channels_of(taken_in(before, after, windows)))
        for pattern in patterns_in([plane * weights for plane in taken]):
            if pattern is not None:
                shares.append(pattern.share)
                amplitudes.append(pattern.amplitude)
    if not shares:
        return None
    return float(np.average(shares, weights=amplitudes))


@dataclass(frozen=True)
class WindowPattern:
    """What was taken away in one window.

    Attributes:
        share: Of its energy, what lies in the eight strongest frequencies, 0..1.
        amplitude: Root of its energy.
    """

    share: float
    amplitude: float


def patterns_in(taken: Sequence[NDArray[np.float32]]) -> Iterator[WindowPattern | None]:
    """How much of a pattern there is in each of some windows; None where there is nothing.

    Args:
        taken: What was taken away, (windows, window, window) for each plane, full scale 1, with
            the weights of a window (`demoire.cleaning.window_spectra.bell`).
    """
    energy = _energies(taken)
    totals = energy.sum(dim=1)
    strongest = energy.topk(STRONGEST, dim=1, sorted=False).values.sum(dim=1)
    for total, of_strongest in zip(totals.tolist(), strongest.tolist(), strict=True):
        if total > LEAST_ENERGY:
            yield WindowPattern(share=of_strongest / total, amplitude=total**0.5)
        else:
            yield None


def _energies(taken: Sequence[NDArray[np.float32]]) -> Tensor:
    """Energy of each window by frequency, (windows, frequencies), of all its planes together."""
    spectra = torch.fft.rfft2(torch.from_numpy(np.stack(taken)))
    squares = torch.view_as_real(spectra).square_().sum(dim=0)
    energy = squares[..., 0] + squares[..., 1]  # torch takes several times as long for `sum`
    return energy.flatten(1).index_select(1, _numbers_of_patterns())


@cache
def _numbers_of_patterns() -> Tensor:
    """Of the frequencies that may be a pattern, row by row.

    The first and the last column hold each of theirs twice, with its opposite. Counted once, shares
    of real patterns grow by 0.005 and those of blurred photographs by 0.003 (medians): too little
    to choose the threshold anew.
    """
    return torch.from_numpy(np.flatnonzero(folded(may_be_pattern())))
