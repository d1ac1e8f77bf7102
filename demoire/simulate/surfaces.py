"""Clean photographs of patterned surfaces: what a detector must not take for moiré.

A roof, a carpet, a grille is as regular as moiré is, and a photograph of it is clean as long as its
structure is not too fine for the sensor. A texture is laid on a plane, seen at an angle, and drawn
with two or three samples to the pixel. Then an optical low-pass filter, as strong as this surface
needs, goes in front of the drawn camera: what the sensor makes of the light must agree with the
light itself wherever moiré would show: in all that is wider than some 8 px, and in colour.

Of a texture nothing is known but its pixels, so the agreement is measured and not derived from
periods. A picture of 512 px takes about 0.4 s on one core.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from demoire.simulate.arrays import Light, Plane, Scene, SrgbPixels
from demoire.simulate.capture import (
    Development,
    draw_development,
    draw_shrink,
    expose,
    pattern_strength,
    seen_without_noise,
    sensor_side,
    to_linear,
)
from demoire.simulate.draws import log_uniform
from demoire.simulate.scenes.canvas import noise
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.scenes.materials import MATERIALS
from demoire.simulate.simulator import VISIBLE, Pair

# RMS in 1/255 sRGB over the worst region: half of what can be seen (`simulator.VISIBLE`).
UNSEEN = 1.0

_ZOOM = (0.5, 10.0)  # texture px to a pixel of the sensor
_FAR_ZOOM = (3.0, 30.0)  # the same, where a drawn texture is to alias
_DISTANCES = 6  # of which one should show moiré
_SHARP = (0.2, 0.5)  # px, sigma of a lens that lets moiré through
_PLAIN = 3.0  # as UNSEEN: moiré that is plain to see
_TILT = 0.35  # by so much the scale at the edges differs from that in the middle, at most
_SOFT = (0.45, 0.8)  # px, sigma of the lens
_STRONGER = 1.35
_STEPS = 7  # of filters; the last is 2.7 to 4.8 px wide, and no structure is left
_WIDE = 2.0  # px, sigma of what moiré shows in
_FINE = 0.7  # px, sigma of what false colours show in
_REGION = 64  # px
_DRAWN_SIDE = 1024  # px of a drawn texture
_LOOKALIKE_SHARE = 0.25  # of drawn textures
# Of the look-alikes those that are surfaces, and not pictures or print already.
_SURFACES = (
    "blinds",
    "brick",
    "corduroy",
    "fence",
    "grille",
    "perforated_sheet",
    "rings",
    "woven_cloth",
)


@dataclass(frozen=True)
class _View:
    """From where a texture is seen, in texture px for each sample."""

    matrix: Plane  # (3, 3), from a sample to a texture px
    finest: float  # texture px from sample to sample, where that is most


def draw_surface(rng: np.random.Generator) -> Scene:
    """A drawn texture, (1024, 1024, 3)."""
    drawings = MATERIALS
    names = sorted(MATERIALS)
    if rng.random() < _LOOKALIKE_SHARE:
        drawings = LOOKALIKES
        names = sorted(_SURFACES)
    name = names[int(rng.integers(len(names)))]
    return drawings[name](rng, _DRAWN_SIDE, _DRAWN_SIDE)


def photograph_surface(texture: Scene, size: int, rng: np.random.Generator) -> SrgbPixels:
    """Photograph a texture so that nothing of it aliases.

    Args:
        texture: (h, w, 3); it goes on beyond its edges, mirrored.
        size: Side of the picture to be, px.
        rng: Decides everything else.

    Returns:
        (size, size, 3), with noise, sharpening and compression as the camera had it.
    """
    shot = _point_camera(texture, size, _ZOOM, rng)
    softness = float(rng.uniform(*_SOFT))
    return expose(_filtered(shot, softness), size, shot.development, rng)


def photograph_aliased(texture: Scene, size: int, rng: np.random.Generator) -> Pair | None:
    """Photograph a texture from too far away, with a filter before the sensor and without one.

    Args:
        texture: As for `photograph_surface`; a regular one, or what aliases is no pattern.
        size: Side of the pictures to be, px.
        rng: Decides everything else.

    Returns:
        The photograph with moiré, and the same camera's photograph without; None where the moiré
        cannot be seen from any of a few distances.
    """
    for _ in range(_DISTANCES):
        shot = _point_camera(texture, size, _FAR_ZOOM, rng)
        softness = float(rng.uniform(*_SHARP))
        light = _through_lens(shot, softness)
        aliased = _on_pixels(light, shot.side)
        if moire_of(aliased, light, shot.development) < _PLAIN:
            continue
        filtered = _filtered(shot, softness)
        strength = pattern_strength(aliased, filtered, size, shot.development)
        if strength < VISIBLE:
            continue
        seed = int(rng.integers(2**31))
        moire = expose(aliased, size, shot.development, np.random.default_rng(seed))
        clean = expose(filtered, size, shot.development, np.random.default_rng(seed))
        return Pair(moire, clean, "texture", strength)
    return None


def moire_of(seen: Light, light: Light, development: Development) -> float:
    """How much moiré the sensor makes.

    Args:
        seen: (S, S, 3), what falls on each of its pixels.
        light: (n S, n S, 3), the same, finer.
        development: The camera.

    Returns:
        RMS over the worst region, in 1/255 sRGB: of what differs in all that is wide, or of false
        colours, whichever is more.
    """
    sensed = seen_without_noise(seen, development)
    wide_sensed = cv2.GaussianBlur(sensed, (0, 0), _WIDE)
    # Blurred before it is sampled: samples one to a pixel would alias here, too.
    wide_light = cv2.GaussianBlur(light, (0, 0), _WIDE * len(light) / len(seen))
    bands = _encoded(wide_sensed) - _encoded(_on_pixels(wide_light, len(seen)))
    # What a mosaic makes of fine stripes has colour, and is as fine as they are.
    off = _encoded(sensed) - _encoded(seen)
    false_colour = off - off.mean(axis=2, keepdims=True)
    false_colour = cv2.GaussianBlur(false_colour, (0, 0), _FINE)
    return 255 * max(_worst(bands), _worst(false_colour))


def _encoded(light: Light) -> Light:
    """sRGB, near enough."""
    return np.sqrt(np.maximum(light, 0))


def _worst(difference: Light) -> float:
    """The RMS of a difference in that region where it is most."""
    mean_square = cv2.blur(np.square(difference).mean(axis=2), (_REGION, _REGION))
    return float(np.sqrt(mean_square.max()))


@dataclass(frozen=True)
class _Shot:
    """The light of a texture in front of a camera."""

    light: Light  # (n side, n side, 3) linear, n samples for each pixel of the sensor
    side: int  # px of the sensor
    development: Development


def _point_camera(
    texture: Scene, size: int, zooms: tuple[float, float], rng: np.random.Generator
) -> _Shot:
    """Draw a camera, and the texture before it from a distance between two."""
    development = draw_development(rng)
    shrink = draw_shrink(rng)
    side = sensor_side(size, shrink)
    samples = 3 if shrink > 0.75 else 2
    surface = to_linear(_seen_at_an_angle(texture, side * samples, samples, zooms, rng))
    lighting = _lighting(side * samples, rng)[..., None]
    light = np.multiply(surface, lighting, dtype=np.float32)
    return _Shot(light, side, development)


def _through_lens(shot: _Shot, softness: float) -> Light:
    """The light behind a lens and filter of this softness in px, sigma."""
    soft: Light = cv2.GaussianBlur(shot.light, (0, 0), softness * len(shot.light) / shot.side)
    return soft


def _on_pixels(light: Light, side: int) -> Light:
    """What falls on each pixel of a sensor, (side, side, 3)."""
    seen: Light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
    return seen


def _filtered(shot: _Shot, softness: float) -> Light:
    """The light on each pixel of the sensor, (side, side, 3), behind a filter that is enough."""
    for _ in range(_STEPS):
        light = _through_lens(shot, softness)
        seen = _on_pixels(light, shot.side)
        if moire_of(seen, light, shot.development) <= UNSEEN:
            break
        softness *= _STRONGER
    return seen


def _seen_at_an_angle(
    texture: Scene,
    side: int,
    samples: int,
    zooms: tuple[float, float],
    rng: np.random.Generator,
) -> SrgbPixels:
    """The texture on a plane before the camera, (side, side, 3)."""
    zoom = log_uniform(rng, *zooms) / samples
    view = _draw_view(zoom, side, texture.shape[:2], rng)
    if view.finest > 1:
        # Samples further apart than the texture's own px would alias.
        shrink = 1 / view.finest
        height = max(8, round(texture.shape[0] * shrink))
        width = max(8, round(texture.shape[1] * shrink))
        texture = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)
        view = _View(np.diag([shrink, shrink, 1.0]) @ view.matrix, 1.0)
    seen: SrgbPixels = cv2.warpPerspective(
        texture,
        view.matrix,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return seen


def _draw_view(zoom: float, side: int, extent: tuple[int, int], rng: np.random.Generator) -> _View:
    """Straight or turned, and one in two tilted away from the camera."""
    is_turned = rng.random() < 0.4
    angle = rng.uniform(0, 2 * np.pi) if is_turned else rng.normal(0, 0.06)
    tilt = np.zeros(2)
    if rng.random() < 0.5:
        tilt = rng.uniform(-_TILT, _TILT, 2) / np.sqrt(2)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    height, width = extent
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [2 * tilt[0] / side, 2 * tilt[1] / side, 1]])
    to_middle = np.array([[1, 0, -side / 2], [0, 1, -side / 2], [0, 0, 1]])
    x, y = rng.uniform(0, 1, 2) * (width, height)
    to_texture = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    steepest = (1 - float(np.abs(tilt).sum())) ** 2
    return _View(to_texture @ turn @ to_middle, zoom / steepest)


def _lighting(side: int, rng: np.random.Generator) -> Plane:
    """Light that falls off, and for some a soft shadow: 0.3 to 1."""
    fall = rng.uniform(0, 0.5) * noise(rng, side, side, 1.5)
    exposure = np.float32(rng.uniform(0.6, 1.0))
    plane: Plane = exposure * np.clip(1 - fall, 0.3, 1).astype(np.float32)
    return plane
