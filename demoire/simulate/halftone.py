"""Scans of halftone print: dots of ink that beat with each other and with the scanner's grid.

A scene is separated into cyan, magenta, yellow and black, each screened at its own angle and ruling
(or by a stochastic screen), printed with dot gain and misregistration on paper with grain and
show-through, and scanned at 150 to 600 dpi. The target is what the same inks would give with no
dots at all: by the Neugebauer equations with Demichel's weights the mean of independent screens is
the product of their mean transmissions, so tone and colour agree by construction. Reflectance is
kept in sRGB's encoding throughout: light scatters in paper, and means of reflectance to the power
1/n with n about 2 are what prints really show (Yule and Nielsen 1951). So a cleaned scan keeps the
scan's local mean. Prepress gives a picture one and a half to two samples for each period of the
screen (the "quality factor"), so a coarse screen seldom shows a fine picture, and the target of
such a scan is as soft as what was printed. Some 25 ms for a patch of 256 px on one core.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from demoire.simulate.capture import (
    Development,
    Light,
    Picture,
    crop_scene,
    draw_development,
    draw_shrink,
)

_LEVELS = 1024
# What each ink lets through in R, G, B, sRGB-encoded: cyan, magenta, yellow, black of common offset
# inks.
_INKS = np.array(
    [[0.0, 0.62, 0.88], [0.85, 0.1, 0.5], [0.98, 0.92, 0.1], [0.13, 0.13, 0.13]], np.float32
)
_CLASSIC_ANGLES = (15.0, 75.0, 0.0, 45.0)  # cyan, magenta, yellow, black

Plane = NDArray[np.float32]  # (H, W)
# (3, H, W): colours apart, where each pass over one plane stays in the cache
Planes = NDArray[np.float32]


def _spot_values(cos_u: Plane, cos_v: Plane, shape: str) -> Plane:
    """The spot function, 0..1: the order in which a cell fills with ink."""
    if shape == "line":
        return np.divide(1 - cos_u, 2, dtype=np.float32)
    squeeze = 0.6 if shape == "elliptic" else 1.0
    return np.divide(1 + squeeze - cos_u - squeeze * cos_v, 2 + 2 * squeeze, dtype=np.float32)


def _equaliser(shape: str) -> Plane:
    """Table from spot value to the share of the cell below it, so that a tint of c inks exactly c
    of the area.
    """
    phase = 2 * np.pi * (np.arange(128) + 0.5) / 128
    values = _spot_values(np.cos(phase)[None, :], np.cos(phase)[:, None], shape) + np.zeros(
        (128, 128)
    )
    share = np.searchsorted(np.sort(values.ravel()), np.linspace(0, 1, _LEVELS)) / values.size
    return share.astype(np.float32)


_EQUALISERS = {shape: _equaliser(shape) for shape in ("round", "elliptic", "line")}


def _wave(side: int, angle: float, period: float, phase: float) -> Plane:
    """cos of a plane wave on a (side, side) grid, by the addition theorem: two outer products, no
    per-pixel cosine.
    """
    step = 2 * np.pi / period
    along = step * np.cos(angle) * np.arange(side) + phase
    down = step * np.sin(angle) * np.arange(side)
    pairs = (
        np.stack([np.cos(down), -np.sin(down)], axis=1),
        np.stack([np.cos(along), np.sin(along)]),
    )
    wave: Plane = pairs[0].astype(np.float32) @ pairs[1].astype(np.float32)
    return wave


def _am_screen(
    side: int, period: float, angle: float, shape: str, rng: np.random.Generator
) -> Plane:
    """Thresholds 0..1 of an amplitude-modulated screen; `period` in samples, `angle` in radians."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    values = _spot_values(
        _wave(side, angle, period, phase[0]),
        _wave(side, angle + np.pi / 2, period, phase[1]),
        shape,
    )
    return _EQUALISERS[shape][(np.clip(values, 0, 1) * (_LEVELS - 1)).astype(np.int32)]


def _fm_screen(side: int, grain: float, rng: np.random.Generator) -> Plane:
    """Thresholds of a stochastic screen: noise without its low frequencies, made uniform by
    rank.
    """
    tile = 192
    noise = rng.standard_normal((tile, tile)).astype(np.float32)
    wrapped = np.tile(noise, (2, 2))
    fine = cv2.GaussianBlur(wrapped, (0, 0), grain * 0.4) - cv2.GaussianBlur(
        wrapped, (0, 0), grain * 1.2
    )
    fine = fine[tile // 2 : tile // 2 + tile, tile // 2 : tile // 2 + tile]
    rank = np.empty(tile * tile, np.float32)
    rank[np.argsort(fine, axis=None)] = np.linspace(0, 1, tile * tile, dtype=np.float32)
    repeats = -(-side // tile)
    return np.tile(rank.reshape(tile, tile), (repeats, repeats))[:side, :side]


@dataclass(frozen=True)
class Print:
    """One drawn printing process."""

    period: float  # of the screen ruling, in samples
    angles: tuple[float, float, float, float]  # radians
    shape: str  # "round", "elliptic", "line" or "stochastic"
    gain: float  # dot gain at a tint of one half
    black: float  # share of the common grey printed with black (grey component replacement)
    monochrome: bool
    register: NDArray[np.float64]  # misregistration of each ink, samples, (4, 2)
    softness: float  # of the dot's edge, in units of coverage
    quality: float  # samples of the printed picture to a period of the screen, along each side


def _draw_print(oversampling: int, rng: np.random.Generator) -> Print:
    period = float(
        np.clip(rng.choice([150, 200, 300, 300, 400, 600]) / rng.uniform(65, 200), 1.6, 9.0)
    )
    tilt = np.deg2rad(rng.normal(0, 1.5) if rng.random() < 0.8 else rng.uniform(0, 90))
    classic = np.deg2rad(_CLASSIC_ANGLES) if rng.random() < 0.7 else rng.uniform(0, np.pi / 2, 4)
    period *= oversampling
    return Print(
        period=period,
        angles=tuple((classic + tilt).tolist()),
        shape=str(
            rng.choice(["round", "elliptic", "line", "stochastic"], p=[0.55, 0.25, 0.08, 0.12])
        ),
        gain=float(rng.uniform(0, 0.2)),
        black=float(rng.uniform(0.2, 0.9)),
        monochrome=bool(rng.random() < 0.3),
        register=rng.normal(0, 0.5 * oversampling, (4, 2)),
        softness=float(np.clip(2.2 / period, 0.12, 0.7)),
        quality=float(rng.uniform(1.25, 2.5)) if rng.random() < 0.8 else np.inf,
    )


def _as_supplied(scene: Picture, side: int, process: Print) -> Picture:
    """The picture with the samples that prepress gives it, on a (side, side) grid."""
    samples = round(min(scene.shape[0], side * process.quality / process.period))
    fewer = cv2.resize(scene, (samples, samples), interpolation=cv2.INTER_AREA)
    return cv2.resize(fewer, (side, side), interpolation=cv2.INTER_CUBIC)


def _separate(scene: Picture, process: Print) -> list[Plane]:
    """Ink amounts 0..1 for cyan, magenta, yellow, black, with the dot gain in them."""
    ink = 1 - scene.astype(np.float32) / 255
    if process.monochrome:
        grey = ink @ np.array([0.3, 0.59, 0.11], np.float32)
        planes = [np.zeros_like(grey)] * 3 + [grey]
    else:
        colours = cv2.split(ink)
        common = np.float32(process.black) * np.minimum(
            np.minimum(colours[0], colours[1]), colours[2]
        )
        rest = 1 / np.maximum(1 - common, np.float32(1e-3))
        planes = [(colour - common) * rest for colour in colours] + [common]
    gain = np.float32(4 * process.gain)
    return [np.clip(plane + gain * plane * (1 - plane), 0, 1) for plane in planes]


def _inked(amount: Plane, threshold: Plane, softness: float) -> tuple[Plane, Plane]:
    """Ink coverage with soft-edged dots, and its mean over all thresholds; both 0..1.

    The amount is stretched so that white paper prints no dot and solid ink leaves no hole.
    """
    full = amount * np.float32(1 + softness)
    dots = np.clip((full - threshold) * np.float32(1 / softness), 0, 1)
    levels = np.linspace(0, 1 + softness, _LEVELS)
    rising, beyond = np.minimum(levels, softness), np.maximum(levels - 1, 0)
    mean = (rising**2 - beyond**2) / (2 * softness) + np.maximum(levels - softness, 0)
    return dots, mean.astype(np.float32)[
        (amount * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.int32)
    ]


def _text(side: int, oversampling: int, rng: np.random.Generator) -> Plane:
    """Solid black lettering, coverage 0..1: it is printed without a screen and has to stay
    sharp.
    """
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    height = int(rng.integers(10, 34)) * oversampling
    font = ImageFont.load_default(height)
    top = int(rng.integers(0, side // 2))
    for line in range(int(rng.integers(1, 7))):
        letters = "".join(
            chr(c) for c in rng.choice([*range(97, 123), *range(65, 91), 32, 32, 32, 44, 46], 48)
        )
        draw.text(
            (int(rng.integers(-20, 40)), top + int(line * height * 1.3)),
            letters,
            fill=255,
            font=font,
        )
    return np.divide(np.asarray(canvas), 255, dtype=np.float32)


def _paper(side: int, rng: np.random.Generator) -> Planes:
    """Reflectance of the sheet: tint, grain, and the reverse side showing through."""
    tint = np.array([0.9, 0.88, 0.82], np.float32) * rng.uniform(0.85, 1.05) + rng.normal(
        0, 0.02, 3
    )
    grain = cv2.GaussianBlur(
        rng.standard_normal((side, side), dtype=np.float32), (0, 0), rng.uniform(1, 4)
    )
    sheet = (
        1
        + np.float32(rng.uniform(0, 0.02) / max(float(cv2.meanStdDev(grain)[1][0, 0]), 1e-6))
        * grain
    )
    return np.clip(tint, 0, 1).astype(np.float32)[:, None, None] * sheet


def _show_through(scene: Picture, side: int, rng: np.random.Generator) -> Plane:
    back = (
        cv2.resize(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[::-1, ::-1], (side, side)).astype(
            np.float32
        )
        / 255
    )
    return 1 - np.float32(rng.uniform(0.02, 0.1)) * (1 - cv2.GaussianBlur(back, (0, 0), side / 80))


def scan_print(
    scene: Picture, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Print `scene` as a halftone and scan it.

    Returns the light on the sensor with dots and with the same inks in continuous tone, each (S, S,
    3) sRGB-encoded, S >= size, and the drawn settings for `capture.develop`.
    """
    development = draw_development(rng, scanner=True)
    shrink = draw_shrink(rng)
    side = 2 * round(size / shrink / 2)
    oversampling = 2 if shrink > 0.75 else 1
    fine = side * oversampling
    process = _draw_print(oversampling, rng)
    original = _as_supplied(crop_scene(scene, side, rng), fine, process)
    dots = _paper(fine, rng)
    if rng.random() < 0.3:
        dots *= _show_through(scene, fine, rng)
    tone = dots.copy()
    for number, amount in enumerate(_separate(original, process)):
        if process.monochrome and number < 3:
            continue
        dx, dy = process.register[number]
        amount = cv2.warpAffine(
            amount,
            np.array([[1, 0, dx], [0, 1, dy]], np.float32),
            (fine, fine),
            borderMode=cv2.BORDER_REPLICATE,
        )
        if process.shape == "stochastic":
            threshold = _fm_screen(fine, 0.4 * process.period, rng)
        else:
            threshold = _am_screen(fine, process.period, process.angles[number], process.shape, rng)
        covered, mean = _inked(amount, threshold, process.softness)
        for channel, absorbed in enumerate(1 - _INKS[number]):
            dots[channel] *= 1 - absorbed * covered
            tone[channel] *= 1 - absorbed * mean
    if rng.random() < 0.35:
        lettering = 1 - np.float32(0.87) * _text(fine, oversampling, rng)
        dots, tone = dots * lettering, tone * lettering
    blur = rng.uniform(0.3, 0.8) * oversampling  # the scanner's lens

    def gather(planes: Planes) -> Light:
        light = cv2.GaussianBlur(cv2.merge(tuple(planes)), (0, 0), blur)
        return (
            cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
            if oversampling > 1
            else light
        )

    return gather(dots), gather(tone), development
