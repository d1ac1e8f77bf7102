"""The lattice that the dots of a print lie on, and which cells beside found ones show it too.

A printed picture seldom ends where a cell does. Of a cell that holds a narrow strip of it beside
type the detector may see the type alone, and the strip would keep its dots. But what lies beside
found cells and repeats at the very frequency and angle of theirs is the same print.

The lattice is the strongest frequency that the windows of found cells have in common: the mean of
their logarithmic spectra, beside the median at the same distance from zero. It counts only with a
twin at a right angle (`demoire.cleaning.dots`); prints without one, such as those with scattered
dots, are not continued. In another cell, of windows of 48 px, the share of the energy is measured
that lies at these two frequencies. On drawn pages it is 0.2 to 0.9 in strips of dots of 30 px and
more, and at most 0.05, once 0.13, in type and paper.

Some 4 ms a picture, and 2 ms for each cell that is looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Grid
from demoire.cleaning.window_spectra import (
    SPECTRAL_WINDOW,
    channels_of,
    distances,
    energy_of,
    planes_of,
    samples_in,
    spectrum_of,
    unfolded,
    windows_in,
    without_mean,
)
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels, as_8_bit

_SLOWEST_DOTS = 1 / 16  # cycles per px
_FASTEST_DOTS = 0.49
# By how much the logarithm of the energy stands out, of the lattice's frequency and of its twin.
_LEAST_PEAK = 3.5
_LEAST_TWIN = 3.0

_LEAST_SHARE = 0.15  # of a window's energy at the lattice's frequencies, from which it shows it
_LEAST_ENERGY = 1.0  # squares of 1/255; a window of less shows nothing
_SHADING = 31  # px, side of the square whose mean counts as shading
_BLOCK = 16  # px; windows are three by three of these

_BESIDE = (-1, 0, 1)


@dataclass(frozen=True)
class Lattice:
    """One of the two frequencies of a square lattice, cycles per px; the other is its twin."""

    down: float
    across: float

    @property
    def frequencies(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(down, across) of both."""
        return (self.down, self.across), (self.across, -self.down)


def cells_of_same_print(
    pixels: Pixels, grid: Grid, found: Sequence[int], certain: Sequence[int]
) -> tuple[int, ...]:
    """Cells that are joined to found ones, directly or by others, and show the same lattice.

    Args:
        pixels: (H, W, C) uint8 or uint16.
        grid: The cells of the picture.
        found: Those that hold a print.
        certain: Those of them that surely do; the lattice is theirs. The others may hold type.

    Returns:
        The cells, without the found ones; none where there is no lattice.
    """
    lattice = lattice_of(pixels, grid, certain)
    if lattice is None:
        return ()
    added: list[int] = []
    seen = set(found)
    border = list(found)
    while border:
        for cell in _neighbours(grid, border.pop()):
            if cell in seen:
                continue
            seen.add(cell)
            if _shows(_lightness(pixels, grid.box(cell)), lattice):
                added.append(cell)
                border.append(cell)
    return tuple(sorted(added))


def lattice_of(pixels: Pixels, grid: Grid, cells: Sequence[int]) -> Lattice | None:
    """The lattice of the dots in some cells; None where they have none in common."""
    energy = _mean_logarithm(pixels, grid, cells)
    if energy is None:
        return None
    standing_out = energy - _medians_at_same_distance(energy)
    peak = int(np.argmax(np.where(_may_be_dots(), standing_out, -np.inf)))
    down, across = divmod(peak, SPECTRAL_WINDOW)
    along = np.fft.fftfreq(SPECTRAL_WINDOW, 1 / SPECTRAL_WINDOW)  # whole numbers
    centre = _centre_of_peak(np.exp(energy), down, across)
    lattice = Lattice(
        down=(float(along[down]) + centre[0]) / SPECTRAL_WINDOW,
        across=(float(along[across]) + centre[1]) / SPECTRAL_WINDOW,
    )
    twin_down, twin_across = lattice.frequencies[1]
    around_twin = _around(
        standing_out, round(twin_down * SPECTRAL_WINDOW), round(twin_across * SPECTRAL_WINDOW)
    )
    if standing_out[down, across] < _LEAST_PEAK or around_twin.max() < _LEAST_TWIN:
        return None
    return lattice


def _mean_logarithm(pixels: Pixels, grid: Grid, cells: Sequence[int]) -> NDArray[np.float64] | None:
    """Of the energy of each frequency, (64, 64), over windows; None where no window fits."""
    logarithms: list[NDArray[np.float32]] = []
    for windows in windows_in(grid, cells):
        samples = samples_in(pixels, windows)
        samples *= 255 / np.iinfo(pixels.dtype).max
        lightness = next(planes_of(channels_of(samples)))
        energy = energy_of(spectrum_of(without_mean(lightness)))
        logarithms.extend(np.log(energy + 1))
    if not logarithms:
        return None
    return unfolded(np.mean(logarithms, axis=0, dtype=np.float64))


def _shows(cell: NDArray[np.float32], lattice: Lattice) -> bool:
    """Whether a lattice is seen anywhere in a cell, (h, w) 0..255."""
    height = len(cell) // _BLOCK * _BLOCK
    width = cell.shape[1] // _BLOCK * _BLOCK
    fast = (cell - cv2.blur(cell, (_SHADING, _SHADING)))[:height, :width]
    of_lattice = np.zeros((height // _BLOCK, width // _BLOCK), np.float32)
    for down, across in lattice.frequencies:
        waves = _wave(down, height).T @ fast @ _wave(across, width)
        of_lattice += 2 * cv2.blur(waves.real, (3, 3)) ** 2
        of_lattice += 2 * cv2.blur(waves.imag, (3, 3)) ** 2
    size = of_lattice.shape[::-1]
    energy = cv2.blur(cv2.resize(fast * fast, size, interpolation=cv2.INTER_AREA), (3, 3))
    share = of_lattice / np.maximum(energy, _LEAST_ENERGY)
    return bool(share.max() >= _LEAST_SHARE)


def _wave(frequency: float, length: int) -> NDArray[np.complex64]:
    """(length, blocks): what the mean of each block's product with a wave is a product with."""
    wave = np.exp(-2j * math.pi * frequency * np.arange(length)) / _BLOCK
    matrix = np.zeros((length // _BLOCK, _BLOCK, length // _BLOCK), np.complex64)
    blocks = np.arange(length // _BLOCK)
    matrix[blocks, :, blocks] = wave.reshape(-1, _BLOCK)
    return matrix.reshape(length, -1)


def _neighbours(grid: Grid, cell: int) -> list[int]:
    """The cells around one, up to eight."""
    rows, columns = grid.shape
    row, column = divmod(cell, columns)
    cells = []
    for down in range(max(row - 1, 0), min(row + 2, rows)):
        for across in range(max(column - 1, 0), min(column + 2, columns)):
            cells.append(down * columns + across)
    return cells


def _lightness(pixels: Pixels, box: Box) -> NDArray[np.float32]:
    """(h, w) 0..255 of a part of a picture."""
    part = as_8_bit(pixels[box.slices]).astype(np.float32)
    lightness = next(planes_of(list(np.moveaxis(part, 2, 0))))
    return np.ascontiguousarray(lightness)


def _around(plane: NDArray[np.float64], down: int, across: int) -> NDArray[np.float64]:
    """(3, 3) around a frequency, of a spectrum that goes on for ever."""
    rows = [(down + beside) % SPECTRAL_WINDOW for beside in _BESIDE]
    columns = [(across + beside) % SPECTRAL_WINDOW for beside in _BESIDE]
    part: NDArray[np.float64] = plane[np.ix_(rows, columns)]
    return part


def _centre_of_peak(energy: NDArray[np.float64], down: int, across: int) -> tuple[float, float]:
    """Where in the middle of a frequency and its neighbours their energy lies, -1..1 each."""
    around = _around(energy, down, across)
    around = around / around.sum()
    return float(around.sum(axis=1) @ _BESIDE), float(around.sum(axis=0) @ _BESIDE)


def _medians_at_same_distance(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each frequency the median of those as far from zero as it is."""
    ring = np.rint(distances() * SPECTRAL_WINDOW).astype(int)
    medians = np.zeros(ring.max() + 1)
    for number in range(len(medians)):
        medians[number] = np.median(energy[ring == number])
    of_ring: NDArray[np.float64] = medians[ring]
    return of_ring


@cache
def _may_be_dots() -> NDArray[np.bool_]:
    """Which frequencies the dots of a print may have, (64, 64)."""
    may_be: NDArray[np.bool_] = (distances() >= _SLOWEST_DOTS) & (distances() <= _FASTEST_DOTS)
    return may_be
