"""How simulated moiré compares with real moiré, in figures: spectra, colour bands, contrast.

Pictures are cut into windows of 128 px, each taken apart into luma and chroma (BT.601) and
transformed. From these come

- the power spectrum over the wavelength, averaged over directions. It is given as energy an octave,
  in which the usual fall of a picture's power with the square of the frequency is a level line:
  peaks are patterns;
- the contrast in bands one octave wide: RMS in 1/255 sRGB of what varies with wavelengths of 2 to 4
  px, 4 to 8 px...;
- the wavelength of the colour bands: where, from 4 px on, chroma stands out the most from that of
  clean pictures. Shorter waves are mosaic and noise.

All windows hold content, and over all of them its edges outweigh any moiré. But moiré covers areas,
and edges do not. So each figure is the first quartile over a set's windows, about what its quietest
quarter shows, and clean twins say what content is left in that. What is wider than half a window is
not seen. About 4 ms a window.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.files import writing_to
from demoire.plots import Chart
from demoire.simulate.arrays import SrgbPixels

_WINDOW = 128  # px
_MOST_WINDOWS = 36  # of one picture, so that a large one does not outvote the others
_QUIET = 0.25  # quantile over the windows
_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # Cb, Cr
_STEPS = 3  # an octave: with more, the longest waves would have steps without any frequency
# From 2 px up to half a window, beyond which a window does not hold two waves.
_OCTAVES = int(np.log2(_WINDOW)) - 2
# Cycles a pixel, rising up to 1/2.
_LIMITS = np.exp2(np.arange(_OCTAVES * _STEPS + 1) / _STEPS - 1 - _OCTAVES)
_SHORTEST_BAND = 4.0  # px, of a colour band

# px, at which spectra are given.
WAVELENGTHS: tuple[float, ...] = tuple((1 / np.sqrt(_LIMITS[:-1] * _LIMITS[1:])).tolist())
BANDS: tuple[str, ...] = tuple(
    f"{2**octave}-{2 ** (octave + 1)} px" for octave in range(1, _OCTAVES + 1)
)


@dataclass(frozen=True)
class Realism:
    """What the quieter windows of a set of pictures look like."""

    pictures: int
    windows: int
    luma_contrast: tuple[float, ...]  # RMS in 1/255 sRGB, in the order of BANDS
    chroma_contrast: tuple[float, ...]  # of Cb and Cr together
    luma_energy: tuple[float, ...]  # an octave, in (1/255)^2, in the order of WAVELENGTHS
    chroma_energy: tuple[float, ...]
    colour_wavelength: float | None  # px; None where there was nothing to stand out from


def measure(pictures: Sequence[SrgbPixels], clean: Realism | None = None) -> Realism:
    """The figures of a set of pictures.

    Args:
        pictures: (h, w, 3) each.
        clean: The figures of clean pictures, which colour bands stand out from.

    Raises:
        UsageError: No picture has at least 128 px on both sides.
    """
    windows: list[SrgbPixels] = []
    for picture in pictures:
        windows += _windows(picture)
    if not windows:
        raise UsageError(
            f"Spectra are compared of pictures of at least {_WINDOW} px; give larger ones."
        )
    luma, chroma = np.array([_energies(window) for window in windows]).transpose(1, 0, 2)
    chroma_energy = np.quantile(chroma, _QUIET, axis=0)
    colour_wavelength = None
    if clean is not None:
        colour_wavelength = _peak(chroma_energy / np.array(clean.chroma_energy))
    return Realism(
        pictures=len(pictures),
        windows=len(windows),
        luma_contrast=_contrast(luma),
        chroma_contrast=_contrast(chroma),
        luma_energy=tuple(np.quantile(luma, _QUIET, axis=0).tolist()),
        chroma_energy=tuple(chroma_energy.tolist()),
        colour_wavelength=colour_wavelength,
    )


def _windows(picture: SrgbPixels) -> list[SrgbPixels]:
    """Windows side by side, evenly chosen where there are too many."""
    height, width = picture.shape[:2]
    windows = []
    for top in range(0, height - _WINDOW + 1, _WINDOW):
        for left in range(0, width - _WINDOW + 1, _WINDOW):
            windows.append(picture[top : top + _WINDOW, left : left + _WINDOW])
    count = min(len(windows), _MOST_WINDOWS)
    chosen = np.unique(np.linspace(0, len(windows) - 1, count).round().astype(int))
    return [windows[number] for number in chosen]


def _energies(window: SrgbPixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy an octave of luma and of chroma, (1/255)^2, in the order of WAVELENGTHS."""
    pixels = window.astype(np.float64)
    cb, cr = (_power(pixels @ weights) for weights in _CHROMA)
    return _an_octave(_power(pixels @ _LUMA)), _an_octave(cb + cr)


def _power(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power (S, S) at every frequency of a plane, under a Hann window.

    Its sum is the plane's variance.
    """
    window = _hann_window()
    mean = (plane * window).mean() / window.mean()
    return np.abs(np.fft.fft2((plane - mean) * window)) ** 2 / _WINDOW**4


@cache
def _hann_window() -> NDArray[np.float64]:
    """Weights of a window's pixels, (S, S), whose squares have a mean of 1."""
    hann = np.hanning(_WINDOW + 2)[1:-1]
    window: NDArray[np.float64] = np.outer(hann, hann)
    window /= np.sqrt((window**2).mean())
    return window


@cache
def _radius() -> NDArray[np.float64]:
    """Cycles a pixel of each frequency of a window, (S, S)."""
    axis = np.fft.fftfreq(_WINDOW)
    radius: NDArray[np.float64] = np.hypot(*np.meshgrid(axis, axis))
    return radius


def _an_octave(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean power of each ring of frequencies, times how many of them an octave has there."""
    radius = _radius()
    total, _ = np.histogram(radius, _LIMITS, weights=power)
    count, _ = np.histogram(radius, _LIMITS)
    # An octave is a ring of the area 2 pi f^2 ln 2 around the frequency f, and f^2 is the product
    # of the ring's limits.
    area = np.pi * _LIMITS[:-1] * _LIMITS[1:] * 2 * np.log(2)
    result: NDArray[np.float64] = total / count * area * power.size
    return result


def _contrast(energy: NDArray[np.float64]) -> tuple[float, ...]:
    """RMS in each of BANDS, of the energies (windows, steps)."""
    octaves = energy.reshape(len(energy), _OCTAVES, _STEPS).mean(axis=2)[:, ::-1]
    return tuple(np.quantile(np.sqrt(octaves), _QUIET, axis=0).tolist())


def _peak(excess: NDArray[np.float64]) -> float:
    """The wavelength of the largest excess, among those long enough for a band of colour."""
    wavelengths = np.array(WAVELENGTHS)
    among = np.where(wavelengths >= _SHORTEST_BAND, excess, 0)
    return float(wavelengths[among.argmax()])


def write_json(sets: Mapping[str, Realism], path: Path) -> None:
    """Write the figures of named sets of pictures, with BANDS and WAVELENGTHS.

    Raises:
        UsageError: The file cannot be written.
    """
    content = {
        "bands": BANDS,
        "wavelengths": WAVELENGTHS,
        "sets": {name: asdict(realism) for name, realism in sets.items()},
    }
    with writing_to(path, "choose another place"):
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def draw_spectra(sets: Mapping[str, Realism], path: Path) -> None:
    """Draw the energies of luma and chroma over the wavelength, one colour a set.

    What is real is drawn bold.

    Raises:
        UsageError: The file cannot be written.
    """
    chart = Chart(1, 2, (5.5, 4.5), share_y=True)
    for axis, plane in zip(chart.panels[0], ("luma", "chroma"), strict=True):
        for name, realism in sets.items():
            energy = realism.luma_energy if plane == "luma" else realism.chroma_energy
            label = f"{name} ({realism.windows} windows)"
            line_width = 3.0 if name == "real" else 1.4
            axis.loglog(WAVELENGTHS, energy, label=label, linewidth=line_width)
        axis.set_title(plane)
        axis.set_xlabel("wavelength, px")
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3)
    chart.panel(0, 0).set_ylabel("energy an octave, (1/255)²")
    chart.panel(0, 0).legend()
    with writing_to(path, "choose another place"):
        chart.save(path)
