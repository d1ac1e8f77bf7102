"""What happens to a finished picture on its way into an archive: noise, sharpening, JPEG.

The simulators of moiré develop their own light (`capture.py`). This module takes a picture that
exists already, a real photograph or scan, through the same kinds of steps once more. Called twice
with generators of the same seed, it treats two pictures of the same size alike, down to the noise:
nothing but the pattern tells such twins apart.

A tile of 256 px takes about 6 ms on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.simulate.arrays import SrgbPixels, srgb_bytes
from demoire.simulate.bayer import BAYER_CHANNELS, bayer_mosaic, demosaicing_code
from demoire.simulate.draws import log_uniform
from demoire.simulate.jpeg import through_jpeg

_Float: TypeAlias = NDArray[np.floating[Any]]  # (H, W, 3) sRGB 0..1

MARGIN = 16  # px more than the result that `process` wants: the cut decides where JPEG's blocks lie

_METHODS = ("", "_VNG", "_EA")  # bilinear, variable number of gradients, edge-aware
_RESAMPLINGS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class ProcessingShares:
    """How often each step is taken, 0..1."""

    sensor: float = 0.4  # noise on a Bayer sensor, then demosaicing
    noise: float = 0.25  # without one: white noise, film grain or a scanner's noise
    denoise: float = 0.3
    sharpen: float = 0.4
    gray: float = 0.1
    compress: float = 0.8


def draw_scale(rng: np.random.Generator, lowest: float = 0.5, highest: float = 1.5) -> float:
    """By how much a picture is resized.

    Half of all are not resized; the others by something between the two, as often up as down.
    """
    if rng.random() < 0.5:
        return 1.0
    return log_uniform(rng, lowest, highest)


def source_side(size: int, scale: float) -> int:
    """Side of the square crop, px, that `process` makes a picture of `size` px of at a scale."""
    return round((size + MARGIN) / scale)


def process(
    crop: SrgbPixels, size: int, rng: np.random.Generator, shares: ProcessingShares | None = None
) -> SrgbPixels:
    """Take a crop through drawn steps of a camera, an editor and a web service.

    Args:
        crop: (S, S, 3) uint8 sRGB; S by `source_side`.
        size: side of the result, px.
        rng: decides everything. Crops of the same size and generators of the same state are treated
            alike.
        shares: how often each step is taken.

    Returns:
        (size, size, 3) uint8 sRGB.
    """
    shares = shares or ProcessingShares()
    light: _Float = crop.astype(np.float32) / 255
    light = _capture(light, rng, shares)
    if rng.random() < shares.denoise:
        light = _denoise(light, rng)
    sharpens_late = rng.random() < 0.5
    if rng.random() < shares.sharpen and not sharpens_late:
        light = _sharpen(light, rng)
    light = _resize(light, size + MARGIN, rng)
    if rng.random() < shares.sharpen and sharpens_late:
        light = _sharpen(light, rng)
    if rng.random() < shares.gray:
        light = np.repeat(light.mean(axis=2, keepdims=True), 3, axis=2)
    picture = srgb_bytes(light)
    if rng.random() < shares.compress:
        picture = _compress(picture, rng)
    top, left = rng.integers(0, MARGIN + 1, 2)
    return np.ascontiguousarray(picture[top : top + size, left : left + size])


def _capture(light: _Float, rng: np.random.Generator, shares: ProcessingShares) -> _Float:
    step = rng.random()
    if step < shares.sensor:
        return _sensor(light, rng)
    if step < shares.sensor + shares.noise:
        noises: tuple[Callable[[_Float, np.random.Generator], _Float], ...] = (
            _white,
            _grain,
            _scanner,
        )
        add_noise = noises[int(rng.integers(len(noises)))]
        return add_noise(light, rng)
    return light


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> _Float:
    return rng.standard_normal(shape, dtype=np.float32)


def _sigma(rng: np.random.Generator, most: float) -> float:
    """A standard deviation of noise, 0..1: up to `most` in 255, small ones more often."""
    return float(most * rng.random() ** 1.5 / 255)


def _sensor(light: _Float, rng: np.random.Generator) -> _Float:
    """A lens, a Bayer sensor with noise, and one of three demosaicing methods."""
    softness = float(rng.uniform(0.0, 0.8))
    if softness > 0.3:
        light = cv2.GaussianBlur(light, (0, 0), softness)
    layout = int(rng.integers(len(BAYER_CHANNELS)))
    raw = bayer_mosaic(light, layout)
    read = _sigma(rng, 10.0)
    shot = _sigma(rng, 8.0)
    spread = np.sqrt(read**2 + shot**2 * np.clip(raw, 0, 1))
    raw += spread * _normal(raw.shape, rng)
    method = _METHODS[int(rng.integers(3))]
    code = demosaicing_code(layout, method)
    colours: _Float = cv2.demosaicing(srgb_bytes(raw), code).astype(np.float32) / 255
    return colours


def _white(light: _Float, rng: np.random.Generator) -> _Float:
    return light + np.float32(_sigma(rng, 12.0)) * _normal(light.shape, rng)


def _grain(light: _Float, rng: np.random.Generator) -> _Float:
    """Film grain: nearly grey, a few pixels coarse, strongest in middle tones."""
    shape = light.shape
    noise = _normal((*shape[:2], 1), rng) + np.float32(rng.uniform(0, 0.5)) * _normal(shape, rng)
    noise = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(0.4, 1.8)))
    noise /= noise.std() + 1e-6
    amount = np.float32(_sigma(rng, 20.0))
    grainy: _Float = light + amount * noise * (0.4 + 2.4 * light * (1 - light))
    return grainy


def _scanner(light: _Float, rng: np.random.Generator) -> _Float:
    """A line sensor: each column has a gain of its own, and rows vary with the lamp."""
    columns = 1 + np.float32(_sigma(rng, 3.0)) * _normal((1, light.shape[1], 1), rng)
    rows = 1 + np.float32(_sigma(rng, 1.5)) * _normal((light.shape[0], 1, 1), rng)
    uneven = light * columns * rows
    noisy: _Float = uneven + np.float32(_sigma(rng, 6.0)) * _normal(light.shape, rng)
    return noisy


def _denoise(light: _Float, rng: np.random.Generator) -> _Float:
    """Smoothed colour, a median, a bilateral filter or a weak blur: what cameras and editors do."""
    method = int(rng.integers(4))
    smooth: _Float
    if method == 0:
        luma = light.mean(axis=2, keepdims=True)
        smooth = luma + cv2.GaussianBlur(light - luma, (0, 0), float(rng.uniform(0.6, 2.5)))
    elif method == 1:
        smooth = cv2.medianBlur(srgb_bytes(light), 3).astype(np.float32) / 255
    elif method == 2:
        tolerance = float(rng.uniform(0.02, 0.12))
        smooth = cv2.bilateralFilter(light, 5, tolerance, float(rng.uniform(1, 3)))
    else:
        smooth = cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.4, 0.9)))
    return smooth


def _sharpen(light: _Float, rng: np.random.Generator) -> _Float:
    """An unsharp mask; for half of all without halo, kept within the values around each pixel."""
    sigma = float(rng.uniform(0.5, 2.0))
    amount = np.float32(rng.uniform(0.2, 2.0))
    sharp: _Float = light + amount * (light - cv2.GaussianBlur(light, (0, 0), sigma))
    if rng.random() < 0.5:
        return sharp
    around = np.ones((3, 3), np.uint8)
    kept: _Float = np.clip(sharp, cv2.erode(light, around), cv2.dilate(light, around))
    return kept


def _resize(light: _Float, side: int, rng: np.random.Generator) -> _Float:
    method = _RESAMPLINGS[int(rng.integers(len(_RESAMPLINGS)))]
    if light.shape[0] == side:
        return light
    shrinks = light.shape[0] > side
    if shrinks and method != cv2.INTER_AREA:
        # Libraries that resize well blur by the scale first; OpenCV leaves that to its caller.
        light = cv2.GaussianBlur(light, (0, 0), 0.4 * light.shape[0] / side)
    resized: _Float = cv2.resize(light, (side, side), interpolation=method)
    return resized


def _compress(picture: SrgbPixels, rng: np.random.Generator) -> SrgbPixels:
    """JPEG, in one of three cases twice on different grids."""
    times = 1 + int(rng.random() < 0.33)
    for _ in range(times):
        quality = int(rng.integers(40, 99))
        has_half_chroma = bool(rng.random() < 0.65)
        down, across = rng.integers(0, 8, 2)
        padded = cv2.copyMakeBorder(picture, int(down), 0, int(across), 0, cv2.BORDER_REFLECT)
        compressed = through_jpeg(padded, quality, has_half_chroma=has_half_chroma)
        picture = np.ascontiguousarray(compressed[down:, across:])
    return picture
