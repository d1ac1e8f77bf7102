"""Fine textures shot by a camera: cloth, blinds, brick and fine print, sampled too coarsely.

The texture is a sum of harmonics over a smoothly bent phase. A harmonic of local frequency f,
sampled once a pixel through an aperture, is `A(f) cos(phase)` at the pixel's centre: exact aliasing
without any oversampling. The camera has a small aperture and aliases. The target has an ideal
filter in front, so it keeps what a colour sensor can carry and averages the rest. Some 30 ms for a
patch of 256 px on one core.
"""

from dataclasses import dataclass

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

# Cycles per pixel that the target still shows at half contrast. Every second pixel of a Bayer
# sensor is red, and every second blue, so it carries colour up to 0.25 (what a camera's optical
# low-pass filter is there to keep). A target that kept finer weaves, as a green channel alone
# could, was a picture that nobody could tell from one with a pixel grid.
_CARRIED = 0.25
_FADE = 0.12  # cycles per pixel, over which the target's filter falls from one to nothing


@dataclass(frozen=True)
class Weave:
    """One set of threads."""

    phase: Plane  # radians at each pixel
    frequency: Plane  # cycles per pixel there


def photograph_texture(
    scene: Scene, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Photograph a scene as if parts of it were woven too finely for the camera.

    Args:
        scene: (h, w, 3).
        size: Side of the picture to be, px.
        rng: Decides everything else.

    Returns:
        The light on the sensor as sampled and as it should have been sampled, each (S, S, 3) linear
        with S >= size, and the drawn settings for `capture.develop`.
    """
    development = draw_development(rng)
    side = sensor_side(size, draw_shrink(rng))
    cloth = to_linear(crop_scene(scene, side, rng))
    patch = _draw_patch(side, rng)
    if rng.random() < 0.5:  # plain cloth rather than a printed scene
        plain = cv2.GaussianBlur(cloth, (0, 0), side / rng.uniform(8, 40))
        cloth = cloth + patch[..., None] * (plain - cloth)
    orders = np.arange(1, 4)
    harmonics = rng.uniform(0.15, 0.5) * rng.uniform(0.2, 1, 3) ** (orders - 1) / orders
    aperture = rng.uniform(0.3, 0.95)
    weaves = _draw_weaves(side, rng)
    # Threads are of another colour than what lies between them.
    thread = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    exposure = np.float32(rng.uniform(0.6, 1.0))
    lights: list[Light] = []
    for seen in (_sampled, _resolved):
        planes = [seen(weave, harmonics, aperture) for weave in weaves]
        relief = patch * sum(planes[1:], planes[0]) / len(planes)
        light = np.clip(cloth * (1 + relief[..., None] * thread), 0, 2)
        lights.append(np.multiply(exposure, light, dtype=np.float32))
    sampled, resolved = lights
    return sampled, resolved, development


def _draw_patch(side: int, rng: np.random.Generator) -> Plane:
    """Where the texture lies: everywhere, or on an area with a soft or a sharp edge, 0..1."""
    if rng.random() < 0.25:
        return np.ones((side, side), np.float32)
    edge = rng.uniform(0.02, 0.4)
    surface = _surface(side, int(rng.integers(1, 4)), rng)
    plane: Plane = np.clip(surface / edge + rng.uniform(0, 1.5) / edge + 0.5, 0, 1)
    return plane


def _draw_weaves(side: int, rng: np.random.Generator) -> list[Weave]:
    """One set of threads (blinds, corduroy, ruled print) or two that cross (cloth, brick, wire)."""
    period = log_uniform(rng, 0.9, 2.6)
    is_turned = rng.random() < 0.6
    if is_turned:
        angle = float(rng.uniform(0, np.pi))
    else:
        angle = float(rng.normal(0, 0.08) + rng.choice([0, np.pi / 2]))
    depth = rng.uniform(0, 0.012) * side
    folds = depth * _surface(side, int(rng.integers(1, 5)), rng)
    weaves = [_weave(side, period, angle, folds)]
    if rng.random() < 0.55:
        across = period * float(np.exp(rng.normal(0, 0.15)))
        weaves.append(_weave(side, across, angle + np.pi / 2 + rng.normal(0, 0.05), folds))
    return weaves


def _weave(side: int, period: float, angle: float, folds: Plane) -> Weave:
    axis = np.arange(side, dtype=np.float32)
    turns = (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None] + folds) / period
    down, along = np.gradient(turns)
    phase = (2 * np.pi * turns).astype(np.float32)
    frequency = np.hypot(down, along).astype(np.float32)
    return Weave(phase, frequency)


def _sampled(weave: Weave, harmonics: NDArray[np.float64], aperture: float) -> Plane:
    """The harmonics as a camera samples them.

    An aperture of `aperture` pixels, a box, weakens the frequency f by sinc(aperture * f).
    """
    total = np.zeros_like(weave.phase)
    for order, amplitude in enumerate(harmonics, start=1):
        if amplitude:
            contrast = amplitude * np.sinc(aperture * order * weave.frequency)
            total += contrast * np.cos(order * weave.phase)
    return total


def _resolved(weave: Weave, harmonics: NDArray[np.float64], aperture: float) -> Plane:
    """The harmonics that pixels can carry, seen by the same aperture behind an ideal filter."""
    total = np.zeros_like(weave.phase)
    for order, amplitude in enumerate(harmonics, start=1):
        frequency = order * weave.frequency
        passed = np.clip((_CARRIED - frequency) / _FADE + 0.5, 0, 1)
        if amplitude and passed.any():
            contrast = amplitude * passed * np.sinc(aperture * frequency)
            total += contrast * np.cos(order * weave.phase)
    return total


def _surface(side: int, roughness: int, rng: np.random.Generator) -> Plane:
    """A smooth random surface of about unit standard deviation, (side, side)."""
    coarse = rng.standard_normal((roughness + 3, roughness + 3)).astype(np.float32)
    plane: Plane = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return plane
