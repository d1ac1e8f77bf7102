"""Whether what the restorer takes away is the dots of a print.

A press lays its dots on a square lattice. In a small window the strongest frequency of such a
pattern therefore has a twin at a right angle, about as strong. Hatching, engravings, blinds and the
rows of a screen repeat in one direction only and have no twin. Drawn screentone and graph paper do,
so the twin alone says that it may be print, not that it is.

It is looked at only where the score alone does not decide: some 15 ms for 64 windows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.gain import (
    GAIN_WINDOW,
    LEAST_ENERGY,
    SLOWEST,
    STRONGEST,
    bell,
    distances,
    planes_of,
    windows_in,
)
from demoire.cleaning.grid import Grid
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels

_STRONGEST = 2 * STRONGEST  # a full spectrum has each frequency twice
_LEAST_LIGHTNESS = 0.01  # of the energy; below it lightness shows nothing but rounding
_SHIFTS = (-1, 0, 1)  # bins by which a frequency may miss the middle of one


@dataclass(frozen=True)
class Dots:
    """What was taken away, as the dots of a print. Means over windows, weighted by amplitude.

    Attributes:
        share: Of its energy, what lies in the eight strongest frequencies of a window, 0..1.
        lattice: How strong the twin of lightness's strongest frequency is beside it, 0..1.
        period: Of that frequency, px; infinite where lightness stays as it is.
        colour: Of its energy, what lies in differences of colours, 0..1.
        left: Of the picture's energy in those eight frequencies, what is still there, 0 or more;
            more than 1 where restoring added some.
    """

    share: float
    lattice: float
    period: float
    colour: float
    left: float


def dots_taken(before: Pixels, after: Pixels, grid: Grid, cells: Sequence[int]) -> Dots | None:
    """What was taken out of a picture.

    Args:
        before: (H, W, C) uint8 or uint16, 1 to 4 channels.
        after: The same pixels, restored.
        grid: The cells of the picture.
        cells: Those that were restored.

    Returns:
        None where no window fits into a restored cell, or nothing was taken away.
    """
    full_scale = np.iinfo(before.dtype).max
    windows = []
    for box in windows_in(grid, cells):
        old = _floats(before, box, full_scale)
        windows.append(_Window.of(old, _floats(after, box, full_scale)))
    return _together(windows)


@dataclass(frozen=True)
class _Window:
    """The figures of one window; energies in the same unit."""

    taken: float
    of_strongest: float  # of what was taken
    in_colour: float  # of what was taken
    peak: "_Peak"
    before: float  # the picture's, in the strongest frequencies
    after: float

    @classmethod
    def of(cls, old: NDArray[np.float32], new: NDArray[np.float32]) -> "_Window":
        """Measure a window, (64, 64, C) before and after, full scale 1."""
        lightness, *colours = _energies(old - new)
        energy = sum(colours, start=lightness)
        strongest = np.argpartition(energy, -_STRONGEST, axis=None)[-_STRONGEST:]
        taken = float(energy.sum())
        in_lightness = float(lightness.sum())
        is_in_lightness = in_lightness > _LEAST_LIGHTNESS * taken
        return cls(
            taken=taken,
            of_strongest=float(energy.flat[strongest].sum()),
            in_colour=taken - in_lightness,
            peak=_Peak.of(lightness) if is_in_lightness else _Peak(frequency=0.0, twin=0.0),
            before=_energy_at(strongest, old),
            after=_energy_at(strongest, new),
        )


def _together(windows: Sequence[_Window]) -> Dots | None:
    weights: list[float] = []
    figures: list[tuple[float, float, float, float]] = []
    before = 0.0
    after = 0.0
    for window in windows:
        if window.taken <= 2 * LEAST_ENERGY:
            continue
        share = window.of_strongest / window.taken
        colour = window.in_colour / window.taken
        weights.append(window.taken**0.5)
        figures.append((share, window.peak.twin, window.peak.frequency, colour))
        before += window.before
        after += window.after
    if not weights:
        return None
    share, twin, frequency, colour = np.average(figures, axis=0, weights=weights).tolist()
    return Dots(
        share=share,
        lattice=twin,
        period=1 / frequency if frequency > 0 else math.inf,
        colour=colour,
        left=after / before if before > 0 else math.inf,
    )


def _floats(pixels: Pixels, box: Box, full_scale: int) -> NDArray[np.float32]:
    return pixels[box.slices].astype(np.float32) / np.float32(full_scale)


def _energies(window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Energy by frequency, (64, 64), of the window's lightness and its colours."""
    channels = np.moveaxis(window, 2, 0)
    return [_energy(plane) for plane in planes_of(list(channels))]


def _energy(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    spectrum = np.fft.fft2((plane - plane.mean()) * bell())
    energy: NDArray[np.float32] = np.abs(spectrum) ** 2 * _is_fast()
    return energy


def _energy_at(frequencies: NDArray[np.intp], window: NDArray[np.float32]) -> float:
    return float(sum(energy.flat[frequencies].sum() for energy in _energies(window)))


@cache
def _is_fast() -> NDArray[np.bool_]:
    """Which frequencies of a full spectrum are no shading, (64, 64)."""
    fast: NDArray[np.bool_] = distances() > SLOWEST
    return fast


@dataclass(frozen=True)
class _Peak:
    """The strongest frequency of a window.

    Attributes:
        frequency: In cycles per px.
        twin: How strong the frequency at a right angle to it is beside it, 0..1.
    """

    frequency: float
    twin: float

    @classmethod
    def of(cls, energy: NDArray[np.float32]) -> "_Peak":
        """Find it. Each frequency counts with its neighbours, over which a window spreads it."""
        around = np.zeros_like(energy)
        for shift in _shifts():
            around += np.roll(energy, shift, (0, 1))
        around *= _is_fast()
        down, across = divmod(int(np.argmax(around)), GAIN_WINDOW)
        along = np.fft.fftfreq(GAIN_WINDOW)
        frequency = math.hypot(along[down], along[across])
        strongest = float(around[down, across])
        twin = 0.0
        for shift_down, shift_across in _shifts():
            beside = (across + shift_down) % GAIN_WINDOW, (shift_across - down) % GAIN_WINDOW
            twin = max(twin, float(around[beside]))
        return cls(frequency, twin / strongest if strongest > 0 else 0.0)


def _shifts() -> Iterator[tuple[int, int]]:
    for down in _SHIFTS:
        for across in _SHIFTS:
            yield down, across
