"""Photographs of screens: a camera's pixel grid beats with the screen's.

Each screen pixel is a small texture of lit subpixels and black matrix. The camera looks at it
through a homography, lens distortion and curvature, at 0.3 to 3 camera pixels per screen pixel,
most often near whole-number ratios, where the beats grow into the wide coloured bands that real
photographs show.

The subpixel texture is blurred by the footprint of a sample before it is looked up, which gives the
camera's own aliasing and none of the simulation's. That is why two samples a pixel are enough. A
patch of 256 px takes some 40 ms on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.simulate.arrays import Light, Plane, Scene
from demoire.simulate.capture import (
    Development,
    crop_scene,
    draw_development,
    draw_shrink,
    sensor_side,
    to_linear,
)
from demoire.simulate.draws import log_uniform

TEXELS = 24  # across one screen pixel
# Camera pixels per screen pixel that beat slowly.
_RATIOS = (0.5, 2 / 3, 1.0, 1.0, 4 / 3, 1.5, 2.0, 2.0, 2.5, 3.0)
_RED, _GREEN, _BLUE = range(3)

# (texels, texels, 3): the light of one screen pixel, or of the few after which the layout repeats.
Mask: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Panel:
    """The subpixels of a drawn screen."""

    mask: Mask  # of mean 1 in each channel
    period: int  # screen pixels after which it repeats


@dataclass(frozen=True)
class Pose:
    """How the camera stands before the screen."""

    lens: float  # barrel or pincushion: how much the scale changes up to the middle of an edge
    tilt: tuple[float, float]  # perspective across the patch: to the right, and down
    angle: float  # radians, by which the camera is turned
    bend: float  # of curved monitors and tubes; 0 for flat ones
    shift: tuple[float, float]  # screen pixels


def photograph_screen(
    scene: Scene, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Photograph a scene that a screen shows.

    Args:
        scene: (h, w, 3).
        size: Side of the picture to be, px.
        rng: Decides everything else.

    Returns:
        The light on the sensor with and without the screen's subpixel structure, each (S, S, 3)
        linear with S >= size, and the drawn settings for `capture.develop`.
    """
    development = draw_development(rng)
    shrink = draw_shrink(rng)
    side = sensor_side(size, shrink)
    # What is shrunk afterwards needs no further samples against the simulation's own aliasing.
    oversampling = 2 if shrink > 0.75 else 1
    ratio = draw_ratio(rng)
    panel = draw_panel(rng, 0.35 / (oversampling * ratio))
    u, v = posed_coordinates(side, oversampling, ratio, draw_pose(rng))
    screen = to_linear(crop_scene(scene, max(32, int(side / ratio * 1.1)), rng))
    plain = _look_at(screen, u, v, ratio)
    lit = plain * _subpixels(panel, u, v)
    ambient = rng.uniform(0, 0.02)  # the room's light on the glass
    exposure = rng.uniform(0.6, 1.0)
    blur = rng.uniform(0.2, 0.65) * oversampling  # optics and anti-aliasing filter
    with_moire = _through_the_lens(exposure * lit + ambient, side, blur)
    without = _through_the_lens(exposure * plain + ambient, side, blur)
    return with_moire, without, development


def draw_ratio(rng: np.random.Generator) -> float:
    """Camera pixels per screen pixel.

    Near a whole-number ratio for two in three, else anything from 0.3 to 3.
    """
    if rng.random() < 0.65:
        ratio = float(rng.choice(_RATIOS))
        spread = rng.choice([0.01, 0.04, 0.1])
        return ratio * float(np.exp(rng.normal(0, spread)))
    return log_uniform(rng, 0.3, 3.0)


def draw_panel(rng: np.random.Generator, footprint: float) -> Panel:
    """A screen's subpixels, blurred by `footprint` screen pixels.

    The blur is done on three repetitions, of which the middle one is kept: its edges fit together.
    """
    weights = [weight for _, weight in _LAYOUTS]
    draw_layout, _ = _LAYOUTS[int(rng.choice(len(_LAYOUTS), p=weights))]
    mask = draw_layout(rng)
    # Light spreads in the panel's glass and fills the black matrix.
    glow = rng.uniform(0.0, 0.5)
    mask = glow * mask.mean(axis=(0, 1)) + (1 - glow) * mask
    side = mask.shape[0]
    repeated = np.tile(mask, (3, 3, 1))
    blurred = cv2.GaussianBlur(repeated, (0, 0), max(footprint * TEXELS, 0.3))
    middle = blurred[side : 2 * side, side : 2 * side]
    return Panel(mask=middle / middle.mean(axis=(0, 1)), period=side // TEXELS)


def draw_pose(rng: np.random.Generator) -> Pose:
    """A camera held by hand: mostly level, a few per cent of perspective."""
    lens = rng.normal(0, 0.012)
    right, down = rng.normal(0, 0.06, 2)
    is_level = rng.random() < 0.75
    angle = np.deg2rad(rng.normal(0, 4) if is_level else rng.uniform(-45, 45))
    is_bent = rng.random() < 0.3
    bend = rng.normal(0, 0.02) if is_bent else 0.0
    across, along = rng.uniform(0, 1, 2)
    # numpy's own scalars stay what they are: with Python's, coordinates would be float32 all along.
    return Pose(lens, (right, down), angle, bend, (across, along))


def posed_coordinates(
    side: int, oversampling: int, ratio: float, pose: Pose
) -> tuple[Plane, Plane]:
    """Which screen pixel each camera sample looks at: u, v of (side * oversampling,) * 2.

    Both count from the crop's centre. On the way from the camera to the screen lie the lens, the
    tilt of the camera and its turn, and at last the bend of the screen.
    """
    axis = (np.arange(side * oversampling, dtype=np.float32) + 0.5) / oversampling - side / 2
    x = axis[None, :]
    y = axis[:, None]
    far = (x**2 + y**2) / (side**2 / 2)  # squared distance from the centre
    lens = 1 + pose.lens * far
    x = x * lens
    y = y * lens
    right, down = pose.tilt
    depth = 1 + right / side * x + down / side * y
    cos = np.cos(pose.angle)
    sin = np.sin(pose.angle)
    u = (cos * x - sin * y) / depth / ratio
    v = (sin * x + cos * y) / depth / ratio
    if pose.bend:
        u = u + pose.bend * v**2 * ratio / side
    across, along = pose.shift
    return (u + across).astype(np.float32), (v + along).astype(np.float32)


def _look_at(screen: Light, u: Plane, v: Plane, ratio: float) -> Light:
    """The screen's pixels as the samples see them, without subpixels."""
    centre = screen.shape[0] / 2
    # From close by a camera sees the pixels' edges.
    interpolation = cv2.INTER_NEAREST if ratio > 1.2 else cv2.INTER_LINEAR
    light: Light = cv2.remap(
        screen,
        u + centre - 0.5,
        v + centre - 0.5,
        interpolation,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return light


def _subpixels(panel: Panel, u: Plane, v: Plane) -> Light:
    """The light of the subpixels under each sample."""
    texels = panel.period * TEXELS
    column = (u * TEXELS).astype(np.int32) % texels
    row = (v * TEXELS).astype(np.int32) % texels
    light: Light = panel.mask.reshape(-1, 3)[row * texels + column]
    return light


def _through_the_lens(light: Light, side: int, blur: float) -> Light:
    """The light on the sensor, (side, side, 3)."""
    light = cv2.GaussianBlur(light, (0, 0), blur)
    if len(light) == side:
        return light
    shrunk: Light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
    return shrunk


def _stripes(rng: np.random.Generator) -> Mask:
    """Three stripes, RGB or BGR, with a black matrix; the ordinary LCD."""
    mask = np.zeros((TEXELS, TEXELS, 3), np.float32)
    gap = rng.uniform(0.02, 0.08)
    lid = rng.uniform(0.03, 0.15)
    order = (_RED, _GREEN, _BLUE) if rng.random() < 0.75 else (_BLUE, _GREEN, _RED)
    for stripe, channel in enumerate(order):
        _light_box(mask, channel, (stripe / 3 + gap, (stripe + 1) / 3 - gap), (lid, 1 - lid))
    return mask


def _vertical(rng: np.random.Generator) -> Mask:
    """A screen on its side: stripes above one another."""
    return np.ascontiguousarray(_stripes(rng).transpose(1, 0, 2))


def _chevrons(rng: np.random.Generator) -> Mask:
    """IPS: slanted stripes whose slant alternates from row to row; the period is two rows."""
    mask = _stripes(rng)
    slant = rng.uniform(0.1, 0.3)
    rows = []
    for row in range(TEXELS):
        shift = round(slant * (row - TEXELS / 2))
        rows.append(np.roll(mask[row], shift, axis=0))
    upper = np.stack(rows)
    pair = np.concatenate([upper, upper[::-1]])
    return np.concatenate([pair, pair], axis=1)


def _pentile(rng: np.random.Generator) -> Mask:
    """Diamond PenTile: green at each pixel, red and blue at every other one.

    The period is two pixels.
    """
    side = 2 * TEXELS
    mask = np.zeros((side, side, 3), np.float32)
    small = rng.uniform(0.2, 0.28)
    large = rng.uniform(0.3, 0.4)
    for centre in ((0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)):
        _light_diamond(mask, _GREEN, centre, small)
    for centre in ((0, 0), (1, 1)):
        _light_diamond(mask, _RED, centre, large)
    for centre in ((1, 0), (0, 1)):
        _light_diamond(mask, _BLUE, centre, large)
    return mask


def _led_wall(rng: np.random.Generator) -> Mask:
    """Round lamps on black; the three colours sit in one package."""
    y, x = np.mgrid[0:TEXELS, 0:TEXELS].astype(np.float32) / TEXELS - 0.5
    spread = rng.uniform(0.0, 0.12)
    radius = rng.uniform(0.2, 0.4)
    lamps = []
    for centre_x, centre_y in ((-spread, 0.0), (0.0, spread), (spread, 0.0)):
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
        lamps.append(inside.astype(np.float32))
    return np.stack(lamps, axis=2)


def _paper_white(rng: np.random.Generator) -> Mask:
    """E-ink and monochrome panels: whole pixels with a thin dark grid."""
    mask = np.zeros((TEXELS, TEXELS, 3), np.float32)
    gap = rng.uniform(0.03, 0.12)
    for channel in range(3):
        _light_box(mask, channel, (gap, 1 - gap), (gap, 1 - gap))
    return mask


# How subpixels are laid out, and how often each layout is drawn.
_LAYOUTS: tuple[tuple[Callable[[np.random.Generator], Mask], float], ...] = (
    (_stripes, 0.4),
    (_chevrons, 0.15),
    (_vertical, 0.1),
    (_pentile, 0.15),
    (_led_wall, 0.12),
    (_paper_white, 0.08),
)


def _light_box(
    mask: Mask, channel: int, columns: tuple[float, float], rows: tuple[float, float]
) -> None:
    """Light one rectangular subpixel, given from where to where, in parts of the mask's side."""
    side = mask.shape[0]
    left, right = (round(x * side) for x in columns)
    top, bottom = (round(y * side) for y in rows)
    mask[top:bottom, left:right, channel] = 1


def _light_diamond(mask: Mask, channel: int, centre: tuple[float, float], radius: float) -> None:
    """Light one subpixel that stands on its corner, in screen pixels, on a mask of two by two.

    The distance is taken around the mask's edges, where the next repetition begins.
    """
    side = mask.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / TEXELS
    centre_x, centre_y = centre
    dx = np.abs((x - centre_x + 1) % 2 - 1)
    dy = np.abs((y - centre_y + 1) % 2 - 1)
    mask[..., channel][dx + dy < radius] = 1
