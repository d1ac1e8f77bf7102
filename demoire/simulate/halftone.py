"""Scans of halftone print: dots of ink that beat with each other and with the scanner's grid.

A scene is separated into cyan, magenta, yellow and black. Each is screened at its own angle and
ruling (or by a stochastic screen), printed with dot gain and misregistration on paper with grain
and show-through, and scanned at 150 to 600 dpi.

The target is what the same inks would give with no dots at all. Where the screens of the inks are
independent, the areas of their overprints are products of their coverages (Demichel), and the mean
reflectance is the mean over these areas (Neugebauer). Together these say that the mean of the print
is the product of the inks' mean transmissions, so tone and colour agree by construction.
Reflectance is kept in sRGB's encoding throughout: light scatters in paper, and means of reflectance
to the power 1/n with n about 2 are what prints really show (Yule and Nielsen). So a cleaned scan
keeps the scan's local mean.

Prepress gives a picture one and a half to two samples for each period of the screen (the "quality
factor"). A coarse screen therefore seldom shows a fine picture, and the target of such a scan is as
soft as what was printed. Some 25 ms for a patch of 256 px on one core.

References:
    Demichel: "Le procédé", 1924. Neugebauer: "Die theoretischen Grundlagen des
    Mehrfarbenbuchdrucks", Zeitschrift für wissenschaftliche Photographie, 1937.
    Yule, Nielsen: "The penetration of light into paper and its effect on halftone reproduction",
    TAGA Proceedings, 1951.
    Ulichney: "Digital Halftoning", MIT Press, 1987 (spot functions, blue noise).
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from demoire.simulate.arrays import Light, Plane, Scene, SrgbPixels
from demoire.simulate.capture import (
    Development,
    crop_scene,
    draw_development,
    draw_shrink,
    sensor_side,
)
from demoire.simulate.print_process import Print, PrintStyle, draw_prints

_LEVELS = 1024  # entries of tables over tones

_LUMA = np.array([0.3, 0.59, 0.11], np.float32)
_LETTERS = (*range(97, 123), *range(65, 91), 32, 32, 32, 44, 46)  # codes; spaces are frequent
_NOISE_SIDE = 192  # samples, of the patch that a stochastic screen repeats

# (3, H, W): with the colours apart, each pass over one plane stays in the cache.
_Planes: TypeAlias = NDArray[np.float32]


def scan_print(
    scene: Scene, size: int, rng: np.random.Generator, style: PrintStyle = "mixed"
) -> tuple[Light, Light, Development]:
    """Print a scene as a halftone and scan it.

    Args:
        scene: (h, w, 3).
        size: Side of the picture to be, px.
        rng: Decides everything else.
        style: What kind of print; see `demoire.simulate.print_process`.

    Returns:
        The light on the sensor with dots and with the same inks in continuous tone, each (S, S, 3)
        sRGB-encoded with S >= size, and the drawn settings for `capture.develop`.
    """
    development = draw_development(rng, scanner=True)
    shrink = draw_shrink(rng)
    side = sensor_side(size, shrink)
    # What is shrunk afterwards needs no further samples against the simulation's own aliasing.
    oversampling = 2 if shrink > 0.75 else 1
    fine_side = side * oversampling
    process, *others = draw_prints(style, oversampling, rng)
    crop = crop_scene(scene, side, rng)
    original = _as_supplied(crop, fine_side, process)
    sheet = _paper(fine_side, rng)
    if rng.random() < 0.3:
        sheet *= _show_through(scene, fine_side, rng)
    paper = sheet.copy() if others else sheet
    dots, tone = _print_inks(sheet, original, process, rng)
    for other in others:
        area = _area(fine_side, rng)
        original = _as_supplied(crop, fine_side, other)
        other_dots, other_tone = _print_inks(paper.copy(), original, other, rng)
        dots[area] = other_dots[area]
        tone[area] = other_tone[area]
    if rng.random() < 0.35:
        lettering = 1 - np.float32(0.87) * _draw_lettering(fine_side, oversampling, rng)
        dots = dots * lettering
        tone = tone * lettering
    blur = rng.uniform(0.3, 0.8) * oversampling  # the scanner's lens
    return _scanned(dots, side, blur), _scanned(tone, side, blur), development


def _as_supplied(scene: Scene, side: int, process: Print) -> SrgbPixels:
    """The picture with the samples that prepress gives it, on a (side, side) grid."""
    samples = round(min(scene.shape[0], side * process.quality / process.period))
    fewer = cv2.resize(scene, (samples, samples), interpolation=cv2.INTER_AREA)
    picture: SrgbPixels = cv2.resize(fewer, (side, side), interpolation=cv2.INTER_CUBIC)
    return picture


def _print_inks(
    sheet: _Planes, original: SrgbPixels, process: Print, rng: np.random.Generator
) -> tuple[_Planes, _Planes]:
    """The sheet with the inks printed as dots, and with the same inks in continuous tone.

    An ink lets `1 - absorbed * coverage` of the light through, and inks one upon another multiply.
    In continuous tone the coverage is the dots' mean coverage.
    """
    side = len(original)
    dots = sheet
    tone = sheet.copy()
    for ink, amount in enumerate(_separate(original, process)):
        if ink not in process.printed:
            continue
        amount = _shifted(amount, process.register[ink])
        if process.shape == "stochastic":
            threshold = _fm_screen(side, 0.4 * process.period, rng)
        else:
            threshold = _am_screen(side, process.period, process.angles[ink], process.shape, rng)
        covered, mean = _inked(amount, threshold, process.softness)
        for channel, absorbed in enumerate(1 - process.inks[ink]):
            dots[channel] *= 1 - absorbed * covered
            tone[channel] *= 1 - absorbed * mean
    return dots, tone


def _separate(scene: SrgbPixels, process: Print) -> list[Plane]:
    """Ink amounts 0..1 for cyan, magenta, yellow and black, with the dot gain in them.

    Where all three colours would be printed, their common part is grey. Black takes a share of it
    (grey component replacement), and the colours then print what is left on what black leaves open.
    """
    ink = 1 - scene.astype(np.float32) / 255
    if process.is_grey:
        grey = ink @ _LUMA
        planes = [grey] * len(process.inks)
    else:
        cyan, magenta, yellow = cv2.split(ink)
        common = np.minimum(np.minimum(cyan, magenta), yellow)
        black = np.float32(process.black) * common
        rest = 1 / np.maximum(1 - black, np.float32(1e-3))
        planes = [(colour - black) * rest for colour in (cyan, magenta, yellow)]
        planes.append(black)
    # A parabola over the tint: no gain on white and solid, `gain` at one half.
    gain = np.float32(4 * process.gain)
    return [np.clip(plane + gain * plane * (1 - plane), 0, 1) for plane in planes]


def _area(side: int, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """A rectangle of the sheet, all colours: the place of another picture on the page."""
    top, left = rng.uniform(0, 0.7, 2) * side
    height, width = rng.uniform(0.3, 1.0, 2) * side
    rows = slice(int(top), int(top + height))
    columns = slice(int(left), int(left + width))
    return slice(None), rows, columns


def _shifted(plane: Plane, shift: NDArray[np.float64]) -> Plane:
    dx, dy = shift
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    height, width = plane.shape
    shifted: Plane = cv2.warpAffine(plane, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return shifted


def _inked(amount: Plane, threshold: Plane, softness: float) -> tuple[Plane, Plane]:
    """Ink coverage with soft-edged dots, and its mean over all thresholds; both 0..1.

    A sample is inked as far as the amount exceeds its threshold, over a ramp of the width
    `softness` s. The amount a is first stretched to f = a (1 + s), so that white paper prints no
    dot and solid ink leaves no hole. With thresholds t evenly spread over 0..1, the mean coverage
    is the integral of clip((f - t) / s, 0, 1) over t:

        (min(f, s)^2 - max(f - 1, 0)^2) / (2 s) + max(f - s, 0)

    The first term is the part of the ramp that lies within 0..1, the second what lies beyond it and
    is wholly covered.
    """
    full = amount * np.float32(1 + softness)
    dots = np.clip((full - threshold) * np.float32(1 / softness), 0, 1)
    levels = np.linspace(0, 1 + softness, _LEVELS)
    rising = np.minimum(levels, softness)
    beyond = np.maximum(levels - 1, 0)
    mean = (rising**2 - beyond**2) / (2 * softness) + np.maximum(levels - softness, 0)
    index = (amount * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.int32)
    return dots, mean.astype(np.float32)[index]


def _am_screen(
    side: int, period: float, angle: float, shape: str, rng: np.random.Generator
) -> Plane:
    """Thresholds 0..1 of an amplitude-modulated screen, whose dots grow on a fixed grid.

    Args:
        side: Samples along each side.
        period: Samples.
        angle: Radians.
        shape: Of the dots: a key of `_EQUALISERS`.
        rng: Draws the phase.
    """
    phase = rng.uniform(0, 2 * np.pi, 2)
    along = _wave(side, angle, period, phase[0])
    across = _wave(side, angle + np.pi / 2, period, phase[1])
    values = np.clip(_spot_values(along, across, shape), 0, 1)
    return _EQUALISERS[shape][(values * (_LEVELS - 1)).astype(np.int32)]


def _fm_screen(side: int, grain: float, rng: np.random.Generator) -> Plane:
    """Thresholds of a stochastic screen, whose dots are of one size and more or less frequent.

    The thresholds are noise without its low frequencies (a difference of two blurs), which the eye
    would see as graininess. Ranking makes them uniform: a tint of c then inks exactly c of the
    area. The noise is blurred on a patch that repeats, so that the screen has no seams.
    """
    patch = _NOISE_SIDE
    noise = rng.standard_normal((patch, patch)).astype(np.float32)
    wrapped = np.tile(noise, (2, 2))
    fine = cv2.GaussianBlur(wrapped, (0, 0), grain * 0.4)
    fine = fine - cv2.GaussianBlur(wrapped, (0, 0), grain * 1.2)
    middle = slice(patch // 2, patch // 2 + patch)
    order = np.argsort(fine[middle, middle], axis=None)
    rank = np.empty(patch * patch, np.float32)
    rank[order] = np.linspace(0, 1, patch * patch, dtype=np.float32)
    repeats = -(-side // patch)
    return np.tile(rank.reshape(patch, patch), (repeats, repeats))[:side, :side]


def _wave(side: int, angle: float, period: float, phase: float) -> Plane:
    """The cosine of a plane wave on a (side, side) grid.

    By the addition theorem cos(a + b) = cos a cos b - sin a sin b it is a product of (side, 2) and
    (2, side), with no cosine to be worked out for each sample.
    """
    step = 2 * np.pi / period
    along = step * np.cos(angle) * np.arange(side) + phase
    down = step * np.sin(angle) * np.arange(side)
    rows = np.stack([np.cos(down), -np.sin(down)], axis=1).astype(np.float32)
    columns = np.stack([np.cos(along), np.sin(along)]).astype(np.float32)
    wave: Plane = rows @ columns
    return wave


def _spot_values(cos_u: Plane, cos_v: Plane, shape: str) -> Plane:
    """The spot function, 0..1: the order in which a cell of the screen fills with ink."""
    if shape == "line":
        return np.divide(1 - cos_u, 2, dtype=np.float32)
    squeeze = 0.6 if shape == "elliptic" else 1.0
    return np.divide(1 + squeeze - cos_u - squeeze * cos_v, 2 + 2 * squeeze, dtype=np.float32)


def _equaliser(shape: str) -> Plane:
    """A table from spot value to the share of the cell below it.

    Thresholds made by it are uniform, so that a tint of c inks exactly c of the area.
    """
    phase = 2 * np.pi * (np.arange(128) + 0.5) / 128
    values = _spot_values(np.cos(phase)[None, :], np.cos(phase)[:, None], shape)
    values = np.broadcast_to(values, (128, 128)).astype(np.float64)
    levels = np.linspace(0, 1, _LEVELS)
    share = np.searchsorted(np.sort(values.ravel()), levels) / values.size
    return share.astype(np.float32)


_EQUALISERS = {shape: _equaliser(shape) for shape in ("round", "elliptic", "line")}


def _paper(side: int, rng: np.random.Generator) -> _Planes:
    """Reflectance of the sheet: tint and grain, (3, side, side)."""
    tint = np.array([0.9, 0.88, 0.82], np.float32) * rng.uniform(0.85, 1.05)
    tint = tint + rng.normal(0, 0.02, 3)
    grain = rng.standard_normal((side, side), dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(1, 4))
    _, deviation = cv2.meanStdDev(grain)
    strength = rng.uniform(0, 0.02) / max(float(deviation[0, 0]), 1e-6)
    sheet = 1 + np.float32(strength) * grain
    planes: _Planes = np.clip(tint, 0, 1).astype(np.float32)[:, None, None] * sheet
    return planes


def _show_through(scene: Scene, side: int, rng: np.random.Generator) -> Plane:
    """What the print on the other side of the sheet leaves of the light: the scene turned over."""
    turned = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[::-1, ::-1]
    back = cv2.resize(turned, (side, side)).astype(np.float32) / 255
    strength = np.float32(rng.uniform(0.02, 0.1))
    plane: Plane = 1 - strength * (1 - cv2.GaussianBlur(back, (0, 0), side / 80))
    return plane


def _draw_lettering(side: int, oversampling: int, rng: np.random.Generator) -> Plane:
    """Solid black lettering, coverage 0..1.

    It is printed without a screen, and has to stay sharp.
    """
    canvas = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(canvas)
    height = int(rng.integers(10, 34)) * oversampling
    font = ImageFont.load_default(height)
    top = int(rng.integers(0, side // 2))
    for line in range(int(rng.integers(1, 7))):
        codes = rng.choice(_LETTERS, 48)
        text = "".join(chr(code) for code in codes)
        left = int(rng.integers(-20, 40))
        draw.text((left, top + int(line * height * 1.3)), text, fill=255, font=font)
    plane: Plane = np.divide(np.asarray(canvas), 255, dtype=np.float32)
    return plane


def _scanned(planes: _Planes, side: int, blur: float) -> Light:
    """The sheet through the scanner's lens, (side, side, 3)."""
    light: Light = cv2.GaussianBlur(cv2.merge(tuple(planes)), (0, 0), blur)
    if len(light) == side:
        return light
    shrunk: Light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
    return shrunk
