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

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.gain import LEAST_ENERGY, STRONGEST
from demoire.cleaning.grid import Grid
from demoire.cleaning.window_spectra import (
    SPECTRAL_WINDOW,
    channels_of,
    energy_of,
    folded,
    may_be_pattern,
    planes_of,
    samples_in,
    spectrum_of,
    unfolded,
    windows_in,
    without_mean,
)
from demoire.imaging.boxes import Box
from demoire.imaging.codecs.raster import Pixels

_LEAST_LIGHTNESS = 0.01  # of the energy; below it lightness shows nothing but rounding
_SHIFTS = (-1, 0, 1)  # bins by which a frequency may miss the middle of one

_Spectrum = NDArray[np.complex64]


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
    found: list[_Window] = []
    for windows in windows_in(grid, cells):
        old = _spectra(before, windows)
        new = _spectra(after, windows)
        for number in range(len(windows)):
            found.append(_Window.of(old[:, number], new[:, number]))
    return _together(found)


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
    def of(cls, old: _Spectrum, new: _Spectrum) -> "_Window":
        """Measure a window by the spectra of its planes before and after, full scale 1."""
        by_plane = energy_of(old - new) * _counted()
        energy = by_plane.sum(axis=0)
        strongest = np.argpartition(energy, -STRONGEST, axis=None)[-STRONGEST:]
        taken = float(energy.sum())
        in_lightness = float(by_plane[0].sum())
        is_in_lightness = in_lightness > _LEAST_LIGHTNESS * taken
        return cls(
            taken=taken,
            of_strongest=float(energy.flat[strongest].sum()),
            in_colour=taken - in_lightness,
            peak=_Peak.of(old[0] - new[0]) if is_in_lightness else _Peak(frequency=0.0, twin=0.0),
            before=_energy_at(strongest, old),
            after=_energy_at(strongest, new),
        )


def _together(windows: Sequence[_Window]) -> Dots | None:
    weights: list[float] = []
    figures: list[tuple[float, float, float, float]] = []
    before = 0.0
    after = 0.0
    for window in windows:
        if window.taken <= LEAST_ENERGY:
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


def _spectra(pixels: Pixels, windows: Sequence[Box]) -> _Spectrum:
    """(planes, windows, 64, 33) of some windows, full scale 1."""
    samples = samples_in(pixels, windows) / np.float32(np.iinfo(pixels.dtype).max)
    planes = planes_of(channels_of(samples))
    return np.stack([spectrum_of(without_mean(plane)) for plane in planes])


def _energy_at(frequencies: NDArray[np.intp], spectra: _Spectrum) -> float:
    of_planes = spectra.reshape(len(spectra), -1)
    return float(energy_of(of_planes[:, frequencies]).sum())


@cache
def _counted() -> NDArray[np.bool_]:
    """Which frequencies of a spectrum are no shading, each once.

    The first and the last column hold those with their opposites.
    """
    counted = folded(may_be_pattern()).copy()
    counted[SPECTRAL_WINDOW // 2 + 1 :, [0, -1]] = False
    return counted


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
    def of(cls, lightness: _Spectrum) -> "_Peak":
        """Find it. Each frequency counts with its neighbours, over which a window spreads it."""
        energy = unfolded(energy_of(lightness)) * may_be_pattern()
        wrapped = cv2.copyMakeBorder(energy, 1, 1, 1, 1, cv2.BORDER_WRAP)
        around = cv2.blur(wrapped, (3, 3))[1:-1, 1:-1] * may_be_pattern()
        down, across = divmod(int(np.argmax(around)), SPECTRAL_WINDOW)
        along = np.fft.fftfreq(SPECTRAL_WINDOW)
        frequency = math.hypot(along[down], along[across])
        strongest = float(around[down, across])
        twin = 0.0
        for shift_down, shift_across in _shifts():
            beside_down = (across + shift_down) % SPECTRAL_WINDOW
            beside_across = (shift_across - down) % SPECTRAL_WINDOW
            twin = max(twin, float(around[beside_down, beside_across]))
        return cls(frequency, twin / strongest if strongest > 0 else 0.0)


def _shifts() -> Iterator[tuple[int, int]]:
    for down in _SHIFTS:
        for across in _SHIFTS:
            yield down, across
