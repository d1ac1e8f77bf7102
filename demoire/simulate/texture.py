"""Fine textures shot by a camera: cloth, blinds, brick and fine print, sampled more coarsely than
they are woven.

The texture is a sum of harmonics over a smoothly bent phase. A harmonic of local frequency f,
sampled once a pixel through an aperture, is `A(f) cos(phase)` at the pixel's centre: exact aliasing
without any oversampling. The camera has a small aperture and aliases; the target has an ideal
filter in front, so it keeps what a colour sensor can carry and averages the rest. Some 30 ms for a
patch of 256 px on one core.
"""

from dataclasses import dataclass

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

Plane = NDArray[np.float32]

# Cycles per pixel that the target still shows at half contrast. Every second pixel of a Bayer
# sensor is red, and every second blue, so it carries colour up to 0.25 (what a camera's optical
# low-pass filter is there to keep). A target that kept finer weaves, as a green channel alone
# could, was a picture that nobody could tell from one with a pixel grid.
_CARRIED = 0.25


def _field(side: int, roughness: int, rng: np.random.Generator) -> Plane:
    """A smooth random surface of unit standard deviation, (side, side)."""
    coarse = rng.standard_normal((roughness + 3, roughness + 3)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Weave:
    """One set of threads: its phase in radians at each pixel, and the frequency there in cycles per
    pixel.
    """

    phase: Plane
    frequency: Plane


def _weave(side: int, period: float, angle: float, folds: Plane) -> Weave:
    axis = np.arange(side, dtype=np.float32)
    turns = (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None] + folds) / period
    down, along = np.gradient(turns)
    return Weave((2 * np.pi * turns).astype(np.float32), np.hypot(down, along).astype(np.float32))


def _sampled(weave: Weave, harmonics: NDArray[np.float64], aperture: float) -> Plane:
    """The harmonics as a camera with an aperture of that many pixels samples them."""
    total = np.zeros_like(weave.phase)
    for order, amplitude in enumerate(harmonics, start=1):
        if amplitude:
            total += (
                amplitude
                * np.sinc(aperture * order * weave.frequency)
                * np.cos(order * weave.phase)
            )
    return total


def _resolved(weave: Weave, harmonics: NDArray[np.float64], aperture: float) -> Plane:
    """The harmonics that pixels can carry, as the same aperture behind an ideal filter shows
    them.
    """
    total = np.zeros_like(weave.phase)
    for order, amplitude in enumerate(harmonics, start=1):
        frequency = order * weave.frequency
        passed = np.clip((_CARRIED - frequency) / 0.12 + 0.5, 0, 1)
        if amplitude and passed.any():
            total += (
                amplitude * passed * np.sinc(aperture * frequency) * np.cos(order * weave.phase)
            )
    return total


def _draw_weaves(side: int, rng: np.random.Generator) -> list[Weave]:
    """One set of threads (blinds, corduroy, ruled print) or two that cross (cloth, brick, wire)."""
    period = float(np.exp(rng.uniform(np.log(0.9), np.log(2.6))))
    angle = (
        rng.uniform(0, np.pi)
        if rng.random() < 0.6
        else rng.normal(0, 0.08) + rng.choice([0, np.pi / 2])
    )
    folds = rng.uniform(0, 0.012) * side * _field(side, int(rng.integers(1, 5)), rng)
    weaves = [_weave(side, period, float(angle), folds)]
    if rng.random() < 0.55:
        across = period * float(np.exp(rng.normal(0, 0.15)))
        weaves.append(_weave(side, across, float(angle) + np.pi / 2 + rng.normal(0, 0.05), folds))
    return weaves


def _draw_patch(side: int, rng: np.random.Generator) -> Plane:
    """Where the texture lies: everywhere, or on an area with a soft or a sharp edge, 0..1."""
    if rng.random() < 0.25:
        return np.ones((side, side), np.float32)
    edge = rng.uniform(0.02, 0.4)
    return np.clip(
        _field(side, int(rng.integers(1, 4)), rng) / edge + rng.uniform(0, 1.5) / edge + 0.5, 0, 1
    )


def photograph_texture(
    scene: Picture, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Photograph `scene` as if parts of it were woven too finely for the camera.

    Returns the light on the sensor as sampled and as it should have been sampled, each (S, S, 3)
    linear with S >= size, and the drawn settings for `capture.develop`.
    """
    development = draw_development(rng)
    side = 2 * round(size / draw_shrink(rng) / 2)
    cloth = to_linear(crop_scene(scene, side, rng))
    patch = _draw_patch(side, rng)
    if rng.random() < 0.5:  # plain cloth rather than a printed scene
        plain = cv2.GaussianBlur(cloth, (0, 0), side / rng.uniform(8, 40))
        cloth = cloth + patch[..., None] * (plain - cloth)
    orders = np.arange(1, 4)
    harmonics = rng.uniform(0.15, 0.5) * rng.uniform(0.2, 1, 3) ** (orders - 1) / orders
    aperture = rng.uniform(0.3, 0.95)
    weaves = _draw_weaves(side, rng)
    # threads of another colour than what lies between
    thread = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)

    def weave_in(planes: list[Plane]) -> Light:
        relief = patch * sum(planes[1:], planes[0]) / len(planes)
        return np.clip(cloth * (1 + relief[..., None] * thread), 0, 2)

    exposure = np.float32(rng.uniform(0.6, 1.0))
    sampled = weave_in([_sampled(weave, harmonics, aperture) for weave in weaves])
    resolved = weave_in([_resolved(weave, harmonics, aperture) for weave in weaves])
    return exposure * sampled, exposure * resolved, development
