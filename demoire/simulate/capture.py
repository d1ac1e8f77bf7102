"""What a camera or scanner does to light on its way to a file: sensor, tone, resizing, compression.

The three simulators differ in how moiré arises; what happens afterwards is shared and lives here.
`develop` takes the light with and without the pattern through one and the same drawn `Development`,
so that the target differs from the input by the moiré, the noise and the compression alone, never
by geometry or tone.

All light is float32, (H, W, 3), RGB, 0..1 unless it clips; linear, but for the
scanner's. About 12 ms for a patch of 256 px on one core.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Picture = NDArray[np.uint8]

_LUT_SIZE = 4096
_MOST_ENLARGED = 2.0  # times, of a scene smaller than its crop

_SRGB_TO_LINEAR = np.where(
    np.arange(256) / 255 <= 0.04045,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
).astype(np.float32)

# OpenCV's name, taken from the second row's second pair, then the channel at (0, 0), (0, 1), (1,
# 0), (1, 1)
_BAYER = (
    ("BG", (0, 1, 1, 2)),
    ("GB", (1, 0, 2, 1)),
    ("RG", (2, 1, 1, 0)),
    ("GR", (1, 2, 0, 1)),
)


def to_linear(scene: Picture) -> Light:
    """sRGB bytes (H, W, 3) to linear light 0..1 by IEC 61966-2-1."""
    return _SRGB_TO_LINEAR[scene]


@dataclass(frozen=True)
class Development:
    """One drawn set of camera and software settings."""

    # which of the four Bayer layouts; None for a sensor with three colours at each pixel
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
    # OpenCV interpolation for the picture with moiré; the target is always area-averaged
    resampling: int
    jpeg: tuple[tuple[int, bool], ...]  # (quality, chroma at half size) of each JPEG on the way


def draw_development(rng: np.random.Generator, *, scanner: bool = False) -> Development:
    """Draw settings of a phone or camera, or of a flatbed scanner: three colours a pixel, little
    noise, and light that is sRGB-encoded already (see halftone.py)."""
    contrast = rng.uniform(-0.12, 0.3)
    gamma = float(np.exp(rng.normal(0, 0.12)))
    black = rng.uniform(0, 0.03)
    light = np.linspace(0, 1, _LUT_SIZE)
    srgb = (
        light
        if scanner
        else np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    )
    encoded = srgb**gamma
    curve = encoded + contrast * (encoded - 0.5) * encoded * (1 - encoded) * 4
    quality = [int(rng.integers(55, 98)) for _ in range(int(rng.choice([0, 1, 1, 1, 2])))]
    return Development(
        bayer=None if scanner or rng.random() < 0.1 else int(rng.integers(4)),
        edge_aware=bool(rng.random() < 0.5),
        shot_noise=float(rng.uniform(0, 2e-4 if scanner else 8e-4)),
        read_noise=float(rng.uniform(0, 0.002 if scanner else 0.005)),
        denoise=float(rng.choice([0, 0, 0.6, 1.0, 1.6])) if not scanner else 0.0,
        vignette=0.0 if scanner else float(rng.choice([0, rng.uniform(0, 0.35)])),
        gains=tuple(np.exp(rng.normal(0, 0.04, 3)).tolist()),
        tone=np.clip(black + (1 - black) * curve, 0, 1).astype(np.float32),
        sharpen=float(rng.choice([0, rng.uniform(0.1, 1.2)])),
        sharpen_sigma=float(rng.uniform(0.6, 1.5)),
        resampling=int(
            rng.choice([cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
        ),
        jpeg=tuple((q, bool(rng.random() < 0.7)) for q in quality),
    )


def draw_shrink(rng: np.random.Generator) -> float:
    """How much smaller than the sensor the file is: 1 for half of all, else 0.4 to 1 (nobody stores
    all pixels).
    """
    return 1.0 if rng.random() < 0.5 else float(rng.uniform(0.4, 1.0))


def _mosaic(light: Light, layout: int) -> NDArray[np.float32]:
    """What a Bayer sensor sees: one colour at each pixel, (H, W)."""
    raw = np.empty(light.shape[:2], np.float32)
    for place, channel in enumerate(_BAYER[layout][1]):
        raw[place // 2 :: 2, place % 2 :: 2] = light[place // 2 :: 2, place % 2 :: 2, channel]
    return raw


def _demosaic(raw: NDArray[np.float32], development: Development) -> Light:
    assert development.bayer is not None
    code = f"COLOR_Bayer{_BAYER[development.bayer][0]}2RGB" + (
        "_EA" if development.edge_aware else ""
    )
    bits = np.clip(raw * 32768 + 0.5, 0, 65535).astype(np.uint16)
    return cv2.demosaicing(bits, getattr(cv2, code)).astype(np.float32) / 32768


def _smooth_chroma(light: Light, sigma: float) -> Light:
    luma = ((light[..., 0] + light[..., 1] + light[..., 2]) / 3)[..., None]
    return luma + cv2.GaussianBlur(light - luma, (0, 0), sigma)


def _sensor(light: Light, development: Development, noise: NDArray[np.float32] | None) -> Light:
    seen = light if development.bayer is None else _mosaic(light, development.bayer)
    if noise is not None:
        spread: Light = np.sqrt(
            development.shot_noise * np.maximum(seen, 0) + development.read_noise**2
        )
        seen = np.add(
            seen, spread * (noise if development.bayer is None else noise[..., 0]), dtype=np.float32
        )
    colours = seen if development.bayer is None else _demosaic(seen, development)
    return _smooth_chroma(colours, development.denoise) if development.denoise else colours


def _finish(
    light: Light, development: Development, size: int, resampling: int
) -> NDArray[np.float32]:
    """Vignetting, white balance, tone, resizing and sharpening: linear light to sRGB 0..1, (size,
    size, 3).
    """
    if development.vignette:
        axis = np.linspace(-1, 1, light.shape[0], dtype=np.float32) ** 2
        light = (
            light * (1 - development.vignette * 0.5 * (axis[:, None] + axis[None, :]))[..., None]
        )
    index = light * (np.asarray(development.gains, np.float32) * np.float32(_LUT_SIZE - 1))
    np.clip(index, 0, _LUT_SIZE - 1, out=index)
    picture = development.tone[(index + np.float32(0.5)).astype(np.int32)]
    if picture.shape[0] != size:
        picture = cv2.resize(picture, (size, size), interpolation=resampling)
    if development.sharpen:
        picture = picture + development.sharpen * (
            picture - cv2.GaussianBlur(picture, (0, 0), development.sharpen_sigma)
        )
    return picture


def _to_bytes(picture: NDArray[np.float32]) -> Picture:
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def _compress(picture: Picture, development: Development) -> Picture:
    for quality, half_chroma in development.jpeg:
        sampling = (
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
            if half_chroma
            else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        )
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        _, encoded = cv2.imencode(".jpg", picture[..., ::-1], options)
        picture = np.ascontiguousarray(
            np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]
        )
    return picture


def pattern_strength(
    with_moire: Light, without: Light, size: int, development: Development
) -> float:
    """RMS difference that the pattern alone makes after the same sensor without noise, in units of
    1/255 sRGB.

    Light and size as for `develop`.
    """
    pattern, plain = (
        _finish(_sensor(light, development, None), development, size, development.resampling)
        for light in (with_moire, without)
    )
    difference = np.clip(pattern, 0, 1) - np.clip(plain, 0, 1)
    return 255 * float(np.sqrt(np.mean(difference**2)))


def develop(
    with_moire: Light, without: Light, size: int, development: Development, rng: np.random.Generator
) -> tuple[Picture, Picture]:
    """Take the same scene's light, with the pattern and without it, to two sRGB pictures of `size`
    px.

    Both inputs are (S, S, 3) linear light with S >= size. Returns the picture with moiré (sensor,
    noise, JPEG) and the target (no sensor mosaic, no noise, no JPEG; same tone, geometry and
    sharpening).
    """
    noise = rng.standard_normal(with_moire.shape, dtype=np.float32)
    picture = _finish(
        _sensor(with_moire, development, noise), development, size, development.resampling
    )
    target = _finish(without, development, size, cv2.INTER_AREA)
    return _compress(_to_bytes(picture), development), _to_bytes(target)


def expose(
    without: Light, size: int, development: Development, rng: np.random.Generator
) -> Picture:
    """Photograph light that holds no pattern: what a clean picture from the same camera looks
    like.
    """
    noise = rng.standard_normal(without.shape, dtype=np.float32)
    picture = _finish(_sensor(without, development, noise), development, size, cv2.INTER_AREA)
    return _compress(_to_bytes(picture), development)


def crop_scene(
    scene: Picture, side: int, rng: np.random.Generator, *, least: float = 0.4
) -> Picture:
    """A square crop of `side` px out of a scene of any size, shown at `least` to 1 of its full
    extent or 1:1.

    A scene that is smaller than the crop is enlarged up to twofold, and what is missing then is
    mirrored: enlarged to any size it would be so soft that a blur could do no harm, which no
    camera's picture is.
    """
    short = min(scene.shape[:2])
    extent = min(short, max(int(short * rng.uniform(least, 1.0)), min(side, short)))
    if extent < side:
        extent = round(side / rng.uniform(1, _MOST_ENLARGED))
        missing = [max(0, extent - length) for length in scene.shape[:2]]
        scene = cv2.copyMakeBorder(scene, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    height, width = scene.shape[:2]
    top = int(rng.integers(height - extent + 1))
    left = int(rng.integers(width - extent + 1))
    crop = scene[top : top + extent, left : left + extent]
    if extent == side:
        return crop
    return cv2.resize(
        crop, (side, side), interpolation=cv2.INTER_AREA if extent > side else cv2.INTER_CUBIC
    )
