"""What a camera or scanner does to light on its way to a file: sensor, tone, resizing, compression.

The three simulators differ in how moiré arises; what happens afterwards is shared and lives here.
`develop` takes the light with and without the pattern through one and the same drawn `Development`,
so that the target differs from the input by the moiré, the noise and the compression alone, never
by geometry or tone.

About 12 ms for a patch of 256 px on one core.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.simulate.arrays import Light, Plane, Scene, SrgbPixels, srgb_bytes
from demoire.simulate.bayer import BAYER_CHANNELS, bayer_mosaic, demosaicing_code
from demoire.simulate.jpeg import through_jpeg

_LUT_SIZE = 4096  # entries of the tone curve
MOST_ENLARGED = 2.0  # times, of a scene smaller than its crop
_RAW_WHITE = 32768  # in 16 bits: what the sensor gives for light 1, with one stop above it

# IEC 61966-2-1, "sRGB": a straight line near black, and a power above it.
_CODES = np.arange(256) / 255
_SRGB_TO_LINEAR = np.where(
    _CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4
).astype(np.float32)


@dataclass(frozen=True)
class Development:
    """One drawn set of camera and software settings."""

    # Which of the four Bayer layouts; None for a sensor with three colours at each pixel.
    bayer: int | None
    edge_aware: bool  # demosaic by OpenCV's edge-aware method, else bilinear
    shot_noise: float  # variance per unit of light
    read_noise: float  # standard deviation in the dark
    denoise: float  # Gaussian width in px of chroma smoothing after demosaicing; 0 for none
    vignette: float  # light lost in the corners, 0..1
    gains: tuple[float, float, float]  # white balance error
    tone: NDArray[np.float32]  # light to sRGB 0..1, table of 4096
    sharpen: float  # unsharp mask amount
    sharpen_sigma: float
    # OpenCV's interpolation for the picture with moiré; the target is always area-averaged.
    resampling: int
    jpeg: tuple[tuple[int, bool], ...]  # (quality, chroma at half size) of each JPEG on the way


def to_linear(scene: Scene) -> Light:
    """sRGB bytes (H, W, 3) to linear light 0..1.

    References:
        IEC 61966-2-1.
    """
    return _SRGB_TO_LINEAR[scene]


def draw_development(rng: np.random.Generator, *, scanner: bool = False) -> Development:
    """Draw the settings of a phone or camera, or of a flatbed scanner.

    A scanner sees three colours at each pixel, has little noise, and gets light that is
    sRGB-encoded already (see `halftone`).
    """
    # Every call draws from the generator, so their order is part of what a seed means.
    contrast = rng.uniform(-0.12, 0.3)
    gamma = float(np.exp(rng.normal(0, 0.12)))
    black = rng.uniform(0, 0.03)
    jpeg_count = int(rng.choice([0, 1, 1, 1, 2]))
    qualities = [int(rng.integers(55, 98)) for _ in range(jpeg_count)]
    return Development(
        bayer=_draw_mosaic(rng, scanner=scanner),
        edge_aware=bool(rng.random() < 0.5),
        shot_noise=float(rng.uniform(0, 2e-4 if scanner else 8e-4)),
        read_noise=float(rng.uniform(0, 0.002 if scanner else 0.005)),
        denoise=0.0 if scanner else float(rng.choice([0, 0, 0.6, 1.0, 1.6])),
        vignette=0.0 if scanner else float(rng.choice([0, rng.uniform(0, 0.35)])),
        gains=_draw_gains(rng),
        tone=_tone_curve(contrast, gamma, black, is_encoded=scanner),
        sharpen=float(rng.choice([0, rng.uniform(0.1, 1.2)])),
        sharpen_sigma=float(rng.uniform(0.6, 1.5)),
        resampling=int(
            rng.choice([cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
        ),
        jpeg=tuple((quality, bool(rng.random() < 0.7)) for quality in qualities),
    )


def draw_shrink(rng: np.random.Generator) -> float:
    """How much smaller than the sensor the file is: 1 for half of all, else 0.4 to 1.

    Many a picture is stored smaller than it was taken.
    """
    if rng.random() < 0.5:
        return 1.0
    return float(rng.uniform(0.4, 1.0))


def sensor_side(size: int, shrink: float) -> int:
    """Side of the sensor's picture, px, that a file of `size` px is made of; an even number."""
    return 2 * round(size / shrink / 2)


def pattern_strength(
    with_moire: Light, without: Light, size: int, development: Development
) -> float:
    """What the pattern alone changes after the same sensor without noise.

    Args:
        with_moire: As for `develop`.
        without: As for `develop`.
        size: px.
        development: The camera.

    Returns:
        RMS difference in units of 1/255 sRGB.
    """
    pictures = []
    for light in (with_moire, without):
        seen = _sensor(light, development, noise=None)
        picture = _finish(seen, development, size, development.resampling)
        pictures.append(np.clip(picture, 0, 1))
    pattern, plain = pictures
    return 255 * float(np.sqrt(np.mean((pattern - plain) ** 2)))


def develop(
    with_moire: Light, without: Light, size: int, development: Development, rng: np.random.Generator
) -> tuple[SrgbPixels, SrgbPixels]:
    """Take the light of one scene, with the pattern and without it, to two pictures.

    Args:
        with_moire: (S, S, 3) with S >= size.
        without: The same shape.
        size: Side of the pictures, px.
        development: The camera.
        rng: Draws the noise.

    Returns:
        The picture with moiré (sensor, noise, JPEG) and the target (no mosaic, no noise, no JPEG;
        the same tone, geometry and sharpening), each (size, size, 3).
    """
    noise = rng.standard_normal(with_moire.shape, dtype=np.float32)
    seen = _sensor(with_moire, development, noise)
    picture = _finish(seen, development, size, development.resampling)
    target = _finish(without, development, size, cv2.INTER_AREA)
    return _compress(srgb_bytes(picture), development), srgb_bytes(target)


def seen_without_noise(light: Light, development: Development) -> Light:
    """What the sensor alone makes of light: mosaic, demosaicing and denoising."""
    return _sensor(light, development, noise=None)


def expose(
    without: Light, size: int, development: Development, rng: np.random.Generator
) -> SrgbPixels:
    """Photograph light that holds no pattern: a clean picture from the same camera."""
    noise = rng.standard_normal(without.shape, dtype=np.float32)
    seen = _sensor(without, development, noise)
    picture = _finish(seen, development, size, cv2.INTER_AREA)
    return _compress(srgb_bytes(picture), development)


def crop_scene(
    scene: Scene, side: int, rng: np.random.Generator, *, least: float = 0.4
) -> SrgbPixels:
    """A square crop of `side` px out of a scene of any size.

    The crop shows `least` to 1 of the scene's shorter side, or the scene at 1:1. A scene that is
    smaller than the crop is enlarged up to twofold, and what is missing then is mirrored. Enlarged
    to any size it would be so soft that a blur could do no harm, which no camera's picture is.
    """
    short = min(scene.shape[:2])
    # At least `side` px where the scene has as many, so that nothing is enlarged without need.
    wanted = max(int(short * rng.uniform(least, 1.0)), min(side, short))
    extent = min(short, wanted)
    if extent < side:
        extent = round(side / rng.uniform(1, MOST_ENLARGED))
        below = max(0, extent - scene.shape[0])
        beside = max(0, extent - scene.shape[1])
        scene = cv2.copyMakeBorder(scene, 0, below, 0, beside, cv2.BORDER_REFLECT)
    height, width = scene.shape[:2]
    top = int(rng.integers(height - extent + 1))
    left = int(rng.integers(width - extent + 1))
    crop = scene[top : top + extent, left : left + extent]
    if extent == side:
        return crop
    interpolation = cv2.INTER_AREA if extent > side else cv2.INTER_CUBIC
    picture: SrgbPixels = cv2.resize(crop, (side, side), interpolation=interpolation)
    return picture


def _draw_mosaic(rng: np.random.Generator, *, scanner: bool) -> int | None:
    if scanner or rng.random() < 0.1:
        return None
    return int(rng.integers(len(BAYER_CHANNELS)))


def _draw_gains(rng: np.random.Generator) -> tuple[float, float, float]:
    red, green, blue = np.exp(rng.normal(0, 0.04, 3)).tolist()
    return red, green, blue


def _tone_curve(
    contrast: float, gamma: float, black: float, *, is_encoded: bool
) -> NDArray[np.float32]:
    """A table from light 0..1 to sRGB 0..1: gamma, an S-shaped contrast, and a raised black."""
    light = np.linspace(0, 1, _LUT_SIZE)
    if is_encoded:
        srgb = light
    else:
        # The inverse of `_SRGB_TO_LINEAR`.
        srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    encoded = srgb**gamma
    curve = encoded + contrast * (encoded - 0.5) * encoded * (1 - encoded) * 4
    return np.clip(black + (1 - black) * curve, 0, 1).astype(np.float32)


def _sensor(light: Light, development: Development, noise: NDArray[np.float32] | None) -> Light:
    """What the sensor's pixels make of light, in three colours at each pixel.

    Args:
        light: What falls on it.
        development: The camera.
        noise: Of unit variance, of the light's shape; None for a sensor without noise.
    """
    if development.bayer is None:
        seen: NDArray[np.float32] = light
    else:
        seen = bayer_mosaic(light, development.bayer)
        if noise is not None:
            noise = noise[..., 0]
    if noise is not None:
        # The variance of shot noise grows with the light; that of read noise is always there.
        variance = development.shot_noise * np.maximum(seen, 0) + development.read_noise**2
        seen = np.add(seen, np.sqrt(variance) * noise, dtype=np.float32)
    if development.bayer is not None:
        seen = _demosaic(seen, development)
    if development.denoise:
        seen = _smooth_chroma(seen, development.denoise)
    return seen


def _demosaic(raw: Plane, development: Development) -> Light:
    assert development.bayer is not None
    code = demosaicing_code(development.bayer, "_EA" if development.edge_aware else "")
    bits = np.clip(raw * _RAW_WHITE + 0.5, 0, 65535).astype(np.uint16)
    light: Light = cv2.demosaicing(bits, code).astype(np.float32) / _RAW_WHITE
    return light


def _smooth_chroma(light: Light, sigma: float) -> Light:
    luma = ((light[..., 0] + light[..., 1] + light[..., 2]) / 3)[..., None]
    smooth: Light = luma + cv2.GaussianBlur(light - luma, (0, 0), sigma)
    return smooth


def _finish(light: Light, development: Development, size: int, resampling: int) -> Light:
    """Vignetting, white balance, tone, resizing and sharpening: light to sRGB 0..1.

    Returns:
        (size, size, 3); sharpening may leave 0..1.
    """
    if development.vignette:
        axis = np.linspace(-1, 1, light.shape[0], dtype=np.float32) ** 2
        far = axis[:, None] + axis[None, :]  # squared distance from the centre, 2 in the corners
        light = light * (1 - development.vignette * 0.5 * far)[..., None]
    index = light * (np.asarray(development.gains, np.float32) * np.float32(_LUT_SIZE - 1))
    np.clip(index, 0, _LUT_SIZE - 1, out=index)
    picture = development.tone[(index + np.float32(0.5)).astype(np.int32)]
    if picture.shape[0] != size:
        picture = cv2.resize(picture, (size, size), interpolation=resampling)
    if development.sharpen:
        blurred = cv2.GaussianBlur(picture, (0, 0), development.sharpen_sigma)
        picture = picture + development.sharpen * (picture - blurred)
    return picture


def _compress(picture: SrgbPixels, development: Development) -> SrgbPixels:
    """Write the picture as JPEG and read it again, as often as it was on its way."""
    for quality, has_half_chroma in development.jpeg:
        picture = through_jpeg(picture, quality, has_half_chroma=has_half_chroma)
    return picture
