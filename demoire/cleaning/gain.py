"""The second gate: whether what the restorer took away looks like a pattern.

The detector mistakes some noise, grain and texture for moiré, and the restorer then takes away
whatever it finds there. Moiré repeats: in a small window its energy lies in a few frequencies. What
is taken from grain, leaves or brush strokes is spread over all of them. Windows are small, because
moiré bends and changes its period across a picture.

At most 64 windows are looked at, whatever the size of the picture: some 3 ms.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demoire.cleaning.grid import Grid
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels

GAIN_WINDOW = 64  # px on each side
_MOST_WINDOWS = 64
_AT_A_TIME = 8  # windows, so that their spectra stay in the cache
STRONGEST = 8  # frequencies of a window that count as its pattern
SLOWEST = 1.5 / GAIN_WINDOW  # cycles per px; what is slower is shading, no pattern
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
    windows = list(windows_in(grid, cells))
    shares: list[float] = []
    amplitudes: list[float] = []
    for first in range(0, len(windows), _AT_A_TIME):
        for window in patterns_in(_taken(before, after, windows[first : first + _AT_A_TIME])):
            if window is not None:
                shares.append(window.share)
                amplitudes.append(window.amplitude)
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
        taken: What was taken away, (windows, window, window) for each channel, full scale 1.
    """
    energy = _spectra(taken)
    totals = energy.sum(dim=1)
    strongest = energy.topk(STRONGEST, dim=1, sorted=False).values.sum(dim=1)
    for total, of_strongest in zip(totals.tolist(), strongest.tolist(), strict=True):
        if total > LEAST_ENERGY:
            yield WindowPattern(share=of_strongest / total, amplitude=total**0.5)
        else:
            yield None


def _taken(before: Pixels, after: Pixels, windows: Sequence[Box]) -> list[NDArray[np.float32]]:
    """What was taken away, (windows, window, window) of full scale for each channel."""
    taken = np.concatenate([before[box.slices] for box in windows]).astype(np.float32)
    taken -= np.concatenate([after[box.slices] for box in windows])
    taken /= float(np.iinfo(before.dtype).max)
    channels = list(np.empty((taken.shape[2], *taken.shape[:2]), np.float32))
    cv2.split(taken, channels)  # into arrays of its own OpenCV splits at a fifth of the speed
    shape = (len(windows), GAIN_WINDOW, GAIN_WINDOW)
    return [channel.reshape(shape) for channel in channels]


def windows_in(grid: Grid, cells: Sequence[int]) -> Iterator[Box]:
    """Windows inside the cells, spread evenly over them."""
    ends = list(accumulate(_places(grid.box(cell)) for cell in cells))
    total = ends[-1] if ends else 0
    count = min(total, _MOST_WINDOWS)
    for number in range(count):
        wanted = number * total // count
        index = bisect_right(ends, wanted)
        box = grid.box(cells[index])
        row, column = divmod(wanted - ends[index] + _places(box), box.width // GAIN_WINDOW)
        top = box.top + row * GAIN_WINDOW
        left = box.left + column * GAIN_WINDOW
        yield Box(top, left, top + GAIN_WINDOW, left + GAIN_WINDOW)


def _places(box: Box) -> int:
    """How many windows lie beside and below each other in a cell."""
    return (box.height // GAIN_WINDOW) * (box.width // GAIN_WINDOW)


def _spectra(taken: Sequence[NDArray[np.float32]]) -> Tensor:
    """Energy of each window by frequency, (windows, frequencies), of all its planes together.

    torch transforms three times as fast as numpy.

    Args:
        taken: (windows, window, window) for each channel, in any unit.
    """
    energy = np.zeros((len(taken[0]), GAIN_WINDOW, GAIN_WINDOW // 2 + 1), np.float32)
    for plane in planes_of(taken):
        spectrum = torch.fft.rfft2(torch.from_numpy(plane * bell())).numpy()
        energy += spectrum.real**2
        energy += spectrum.imag**2
    return torch.from_numpy(energy).flatten(1)[:, _may_be_pattern()]


@cache
def bell() -> NDArray[np.float32]:
    """The weights of a window's pixels, (window, window): Hann's in both directions."""
    side = np.hanning(GAIN_WINDOW).astype(np.float32)
    bell: NDArray[np.float32] = np.outer(side, side)
    return bell


@cache
def _may_be_pattern() -> Tensor:
    """Which frequencies of a window are no shading: their numbers, row by row."""
    of_real_spectrum = distances()[:, : GAIN_WINDOW // 2 + 1]
    return torch.from_numpy(np.flatnonzero(of_real_spectrum > SLOWEST))


@cache
def distances() -> NDArray[np.float64]:
    """Of each frequency of a full spectrum from zero, cycles per px, (window, window)."""
    along = np.fft.fftfreq(GAIN_WINDOW)
    from_zero: NDArray[np.float64] = np.hypot(along[:, None], along[None, :])
    return from_zero


def planes_of(taken: Sequence[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Lightness, and for colour pictures red less blue, and green less the mean of both."""
    if len(taken) < 3:
        yield taken[0]
        return
    red = taken[0]
    green = taken[1]
    blue = taken[2]
    lightness: NDArray[np.float32] = (red + green + blue) * np.float32(1 / 3)
    tint: NDArray[np.float32] = green - (red + blue) * np.float32(0.5)
    yield lightness
    yield red - blue
    yield tint
