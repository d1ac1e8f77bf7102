"""Photographs of screens: a camera's pixel grid beats with the screen's.

Each screen pixel is a small texture of lit subpixels and black matrix; the camera looks at it
through a homography, lens distortion and curvature, at 0.3 to 3 camera pixels per screen pixel,
most often near whole-number ratios, where the beats grow into the wide coloured bands that real
photographs show. The subpixel texture is blurred by the footprint of a sample before it is looked
up, which gives the camera's own aliasing and none of the simulation's; that is why two samples a
pixel are enough, and a patch of 256 px takes some 40 ms on one core.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.simulate.capture import (
    Development,
    Light,
    Picture,
    crop_scene,
    draw_development,
    draw_shrink,
    to_linear,
)

_TEXELS = 24  # texels across one screen pixel
# camera pixels per screen pixel with slow beats
_RATIOS = (0.5, 2 / 3, 1.0, 1.0, 4 / 3, 1.5, 2.0, 2.0, 2.5, 3.0)

Mask = NDArray[np.float32]


def _box(mask: Mask, channel: int, left: float, right: float, top: float, bottom: float) -> None:
    """Light one subpixel: the box in parts of the texture's side."""
    side = mask.shape[0]
    mask[
        round(top * side) : round(bottom * side), round(left * side) : round(right * side), channel
    ] = 1


def _stripes(rng: np.random.Generator) -> Mask:
    """Three stripes, RGB or BGR, with a black matrix; the ordinary LCD."""
    mask = np.zeros((_TEXELS, _TEXELS, 3), np.float32)
    gap, lid = rng.uniform(0.02, 0.08), rng.uniform(0.03, 0.15)
    for place, channel in enumerate((0, 1, 2) if rng.random() < 0.75 else (2, 1, 0)):
        _box(mask, channel, place / 3 + gap, (place + 1) / 3 - gap, lid, 1 - lid)
    return mask


def _vertical(rng: np.random.Generator) -> Mask:
    """A screen on its side: stripes above one another."""
    return np.ascontiguousarray(_stripes(rng).transpose(1, 0, 2))


def _chevrons(rng: np.random.Generator) -> Mask:
    """IPS: slanted stripes whose slant alternates from row to row; the period is two rows."""
    mask, slant = _stripes(rng), rng.uniform(0.1, 0.3)
    rows = [np.roll(mask[y], round(slant * (y - _TEXELS / 2)), axis=0) for y in range(_TEXELS)]
    upper = np.stack(rows)
    pair = np.concatenate([upper, upper[::-1]])
    return np.concatenate([pair, pair], axis=1)


def _pentile(rng: np.random.Generator) -> Mask:
    """Diamond PenTile: green at each pixel, red and blue at every other one; the period is two
    pixels.
    """
    side = 2 * _TEXELS
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / _TEXELS
    mask = np.zeros((side, side, 3), np.float32)

    def diamond(channel: int, cx: float, cy: float, radius: float) -> None:
        dx, dy = np.abs((x - cx + 1) % 2 - 1), np.abs((y - cy + 1) % 2 - 1)
        mask[..., channel][dx + dy < radius] = 1

    green, other = rng.uniform(0.2, 0.28), rng.uniform(0.3, 0.4)
    for cx, cy in ((0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)):
        diamond(1, cx, cy, green)
    for channel, place in ((0, ((0, 0), (1, 1))), (2, ((1, 0), (0, 1)))):
        for cx, cy in place:
            diamond(channel, cx, cy, other)
    return mask


def _led_wall(rng: np.random.Generator) -> Mask:
    """Round lamps on black; the three colours sit in one package."""
    y, x = np.mgrid[0:_TEXELS, 0:_TEXELS].astype(np.float32) / _TEXELS - 0.5
    spread = rng.uniform(0.0, 0.12)
    centres = ((-spread, 0.0), (0.0, spread), (spread, 0.0))
    radius = rng.uniform(0.2, 0.4)
    return np.stack(
        [((x - cx) ** 2 + (y - cy) ** 2 < radius**2).astype(np.float32) for cx, cy in centres],
        axis=2,
    )


def _paper_white(rng: np.random.Generator) -> Mask:
    """E-ink and monochrome panels: whole pixels with a thin dark grid."""
    mask = np.zeros((_TEXELS, _TEXELS, 3), np.float32)
    gap = rng.uniform(0.03, 0.12)
    for channel in range(3):
        _box(mask, channel, gap, 1 - gap, gap, 1 - gap)
    return mask


LAYOUTS: tuple[tuple[Callable[[np.random.Generator], Mask], float], ...] = (
    (_stripes, 0.4),
    (_chevrons, 0.15),
    (_vertical, 0.1),
    (_pentile, 0.15),
    (_led_wall, 0.12),
    (_paper_white, 0.08),
)


def _draw_mask(rng: np.random.Generator, footprint: float) -> tuple[Mask, int]:
    """A subpixel texture of mean 1 in each channel, blurred by `footprint` screen pixels; and its
    period in pixels.
    """
    weights = [weight for _, weight in LAYOUTS]
    mask = LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights))][0](rng)
    # light that spreads in the panel's glass and fills the black matrix
    glow = rng.uniform(0.0, 0.5)
    mask = glow * mask.mean(axis=(0, 1)) + (1 - glow) * mask
    side = mask.shape[0]
    blurred = np.tile(mask, (3, 3, 1))
    blurred = cv2.GaussianBlur(blurred, (0, 0), max(footprint * _TEXELS, 0.3))[
        side : 2 * side, side : 2 * side
    ]
    return blurred / blurred.mean(axis=(0, 1)), side // _TEXELS


def _draw_ratio(rng: np.random.Generator) -> float:
    """Camera pixels per screen pixel: near a whole-number ratio for two in three, anything from 0.3
    to 3 else.
    """
    if rng.random() < 0.65:
        return float(rng.choice(_RATIOS)) * float(
            np.exp(rng.normal(0, rng.choice([0.01, 0.04, 0.1])))
        )
    return float(np.exp(rng.uniform(np.log(0.3), np.log(3.0))))


def _coordinates(
    side: int, oversampling: int, ratio: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Screen pixel under each camera sample: u, v of shape (side * oversampling,) * 2, from the
    crop's centre.
    """
    axis = (np.arange(side * oversampling, dtype=np.float32) + 0.5) / oversampling - side / 2
    x, y = axis[None, :], axis[:, None]
    far = (x**2 + y**2) / (side**2 / 2)
    lens = 1 + rng.normal(0, 0.012) * far
    x, y = x * lens, y * lens
    tilt = rng.normal(0, 0.06, 2) / side  # perspective: a few per cent of scale across the patch
    depth = 1 + tilt[0] * x + tilt[1] * y
    angle = np.deg2rad(rng.normal(0, 4) if rng.random() < 0.75 else rng.uniform(-45, 45))
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (cos * x - sin * y) / depth / ratio, (sin * x + cos * y) / depth / ratio
    if rng.random() < 0.3:  # curved monitors, bent tubes
        u = u + rng.normal(0, 0.02) * v**2 * ratio / side
    shift = rng.uniform(0, 1, 2)
    return (u + shift[0]).astype(np.float32), (v + shift[1]).astype(np.float32)


def photograph_screen(
    scene: Picture, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Photograph `scene` shown on a screen.

    Returns the light on the sensor with and without the screen's subpixel structure, each (S, S, 3)
    linear with S >= size, and the drawn settings under which `capture.develop` turns both into
    pictures.
    """
    development = draw_development(rng)
    shrink = draw_shrink(rng)
    side = 2 * round(size / shrink / 2)
    oversampling = 2 if shrink > 0.75 else 1
    ratio = _draw_ratio(rng)
    mask, period = _draw_mask(rng, 0.35 / (oversampling * ratio))
    u, v = _coordinates(side, oversampling, ratio, rng)
    screen = to_linear(crop_scene(scene, max(32, int(side / ratio * 1.1)), rng))
    centre = screen.shape[0] / 2
    looks = cv2.INTER_NEAREST if ratio > 1.2 else cv2.INTER_LINEAR
    plain = cv2.remap(
        screen, u + centre - 0.5, v + centre - 0.5, looks, borderMode=cv2.BORDER_REFLECT_101
    )
    cells = period * _TEXELS
    column = (u * _TEXELS).astype(np.int32) % cells
    row = (v * _TEXELS).astype(np.int32) % cells
    lit = plain * mask.reshape(-1, 3)[row * cells + column]
    ambient = rng.uniform(0, 0.02)  # the room's light on the glass
    exposure = rng.uniform(0.6, 1.0)
    blur = rng.uniform(0.2, 0.65) * oversampling  # optics and anti-aliasing filter

    def gather(light: Light) -> Light:
        light = cv2.GaussianBlur(exposure * light + ambient, (0, 0), blur)
        return (
            cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
            if oversampling > 1
            else light
        )

    return gather(lit), gather(plain), development
