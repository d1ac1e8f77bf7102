"""The spectra of small windows of a picture, in which what repeats stands out.

Windows are small, because moiré bends and changes its period across a picture. At most 64 of them
are looked at, whatever the size of the picture. A transform is linear, so the spectrum of what was
taken out of a picture is that of the picture before less that after.

Some 2 ms for the three planes of 64 windows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels

SPECTRAL_WINDOW = 64  # px on each side
_SLOWEST = 1.5 / SPECTRAL_WINDOW  # cycles per px; what is slower is shading, no pattern

_MOST_WINDOWS = 64
_AT_A_TIME = 32  # windows; fewer take longer by what each call costs
_COLUMNS = SPECTRAL_WINDOW // 2 + 1  # of the spectrum of real samples

_Floats = NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def windows_in(grid: Grid, cells: Sequence[int]) -> Iterator[Sequence[Box]]:
    """Windows inside the cells, spread evenly over them, a few at a time."""
    yield from a_few_at_a_time(list(_spread_over(grid, cells)))


def a_few_at_a_time(windows: Sequence[Box]) -> Iterator[Sequence[Box]]:
    """The windows in groups that are worth a call, and small beside a picture."""
    for first in range(0, len(windows), _AT_A_TIME):
        yield windows[first : first + _AT_A_TIME]


def _spread_over(grid: Grid, cells: Sequence[int]) -> Iterator[Box]:
    ends = list(accumulate(_places(grid.box(cell)) for cell in cells))
    total = ends[-1] if ends else 0
    count = min(total, _MOST_WINDOWS)
    for number in range(count):
        wanted = number * total // count
        index = bisect_right(ends, wanted)
        box = grid.box(cells[index])
        row, column = divmod(wanted - ends[index] + _places(box), box.width // SPECTRAL_WINDOW)
        top = box.top + row * SPECTRAL_WINDOW
        left = box.left + column * SPECTRAL_WINDOW
        yield Box(top, left, top + SPECTRAL_WINDOW, left + SPECTRAL_WINDOW)


def _places(box: Box) -> int:
    """How many windows lie beside and below each other in a cell."""
    return (box.height // SPECTRAL_WINDOW) * (box.width // SPECTRAL_WINDOW)


def samples_in(pixels: Pixels, windows: Sequence[Box]) -> _Floats:
    """The pixels of some windows, (windows * SPECTRAL_WINDOW, SPECTRAL_WINDOW, C) as they are."""
    return _cut_out(pixels, windows).astype(np.float32)


def taken_in(before: Pixels, after: Pixels, windows: Sequence[Box]) -> _Floats:
    """What was taken away in some windows, as `samples_in`, in the unit of the pixels."""
    old = _cut_out(before, windows)
    new = _cut_out(after, windows)
    rows = (len(old), -1)  # OpenCV has a limit of channels
    taken = cv2.subtract(old.reshape(rows), new.reshape(rows), dtype=cv2.CV_32F)
    return np.asarray(taken, np.float32).reshape(old.shape)


def _cut_out(pixels: Pixels, windows: Sequence[Box]) -> Pixels:
    return np.concatenate([pixels[box.slices] for box in windows])


def channels_of(samples: _Floats) -> list[_Floats]:
    """(windows, SPECTRAL_WINDOW, SPECTRAL_WINDOW) for each channel of `samples_in`."""
    channels = list(np.empty((samples.shape[2], *samples.shape[:2]), np.float32))
    cv2.split(samples, channels)  # into arrays of its own OpenCV splits at a fifth of the speed
    return [channel.reshape(-1, SPECTRAL_WINDOW, SPECTRAL_WINDOW) for channel in channels]


def planes_of(channels: Sequence[_Floats]) -> Iterator[_Floats]:
    """Lightness, and for colour pictures red less blue, and green less the mean of both."""
    if len(channels) < 3:
        yield channels[0]
        return
    red = channels[0]
    green = channels[1]
    blue = channels[2]
    lightness: _Floats = (red + green + blue) * np.float32(1 / 3)
    tint: _Floats = green - (red + blue) * np.float32(0.5)
    yield lightness
    yield red - blue
    yield tint


def without_mean(plane: _Floats) -> _Floats:
    """Each of some windows less its mean, which would leak into slow frequencies."""
    deviations: _Floats = plane - plane.mean(axis=(1, 2), keepdims=True)
    return deviations


def spectrum_of(plane: _Floats) -> NDArray[np.complex64]:
    """Each of some windows by frequency, (windows, SPECTRAL_WINDOW, SPECTRAL_WINDOW // 2 + 1).

    torch transforms three times as fast as numpy.

    Args:
        plane: (windows, SPECTRAL_WINDOW, SPECTRAL_WINDOW) in any unit.
    """
    spectrum: NDArray[np.complex64] = torch.fft.rfft2(torch.from_numpy(plane * bell())).numpy()
    return spectrum


def energy_of(spectrum: NDArray[np.complex64]) -> _Floats:
    """Of each frequency, in squares of the spectrum's unit."""
    energy: _Floats = spectrum.real**2 + spectrum.imag**2
    return energy


def folded(full: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Of a full spectrum, (..., window, window), the columns that one of real samples has."""
    return full[..., :_COLUMNS]


def unfolded(energy: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The energy of a full spectrum: at the opposite frequency there is as much."""
    rows = -np.arange(SPECTRAL_WINDOW)
    columns = np.arange(_COLUMNS - 2, 0, -1)
    opposite = energy[..., rows[:, None], columns]
    return np.concatenate([energy, opposite], axis=-1)


@cache
def distances() -> NDArray[np.float64]:
    """Of each frequency of a full spectrum from zero, cycles per px, (window, window)."""
    along = np.fft.fftfreq(SPECTRAL_WINDOW)
    from_zero: NDArray[np.float64] = np.hypot(along[:, None], along[None, :])
    return from_zero


@cache
def may_be_pattern() -> NDArray[np.bool_]:
    """Which frequencies of a full spectrum are no shading, (window, window)."""
    fast: NDArray[np.bool_] = distances() > _SLOWEST
    return fast


@cache
def bell() -> _Floats:
    """The weights of a window's pixels, (window, window): Hann's in both directions."""
    side = np.hanning(SPECTRAL_WINDOW).astype(np.float32)
    weights: _Floats = np.outer(side, side)
    return weights
