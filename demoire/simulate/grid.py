"""Photographs of screens with a strong grid: stripes and lattices whose periods are a few pixels.

Where a camera stands close, or a screen's columns alias to a few pixels and a phone sharpens what
it sees, the grid takes up to half of the light away. In 115 windows of 128 px of real photographs
of screens one in five had a peak of more than 20 in 255 (RMS), at 2 to 10 px, nearly grey; of those
that `demoire.simulate.screen` draws one in 28.

The physics of one cause would not give them all, so this draws what is seen: waves along two
directions, through the pose and the bend of `screen`, whose contrast comes and goes in wide bands.
Along one direction there may be two waves, of columns and of the colours of which they are made.
The scene itself is as sharp as the picture. Some 20 ms for a patch of 256 px on one core.
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
from demoire.simulate.screen import draw_pose, posed_coordinates

PERIODS = (2.1, 10.0)  # px of the file
_COARSE = 4.0  # px, above which two grids in three have their first period
_CONTRASTS = (0.1, 0.9)  # of the first direction, in linear light
_ACROSS_SHARE = 0.7  # of grids that have a second direction
_TWO_WAVES_SHARE = 0.3  # of directions along which there are two
_GREY_SHARE = 0.75


@dataclass(frozen=True)
class Wave:
    """One wave of a grid. Its second harmonic makes stripes narrower than their gaps."""

    period: float  # px of the file
    contrasts: NDArray[np.float32]  # (3,), of each colour
    phases: NDArray[np.float32]  # (3,), radians
    second: float  # contrast of the second harmonic beside the first, 0..1


def photograph_grid(
    scene: Scene, size: int, rng: np.random.Generator
) -> tuple[Light, Light, Development]:
    """Photograph a scene that a screen shows through its grid.

    Args:
        scene: (h, w, 3).
        size: Side of the picture to be, px.
        rng: Decides everything else.

    Returns:
        The light on the sensor with and without the grid, each (S, S, 3) linear with S >= size, and
        the drawn settings for `capture.develop`.
    """
    development = draw_development(rng)
    side = sensor_side(size, draw_shrink(rng))
    light = to_linear(crop_scene(scene, side, rng)) * np.float32(rng.uniform(0.6, 1.0))
    u, v = posed_coordinates(side, 1, side / size, draw_pose(rng))
    along, across = draw_waves(rng)
    grid = _transmission(along, u) * _transmission(across, v)
    fading = _fading(side, rng)[..., None]
    seen = light * (1 + fading * (grid - 1))
    return seen, light, development


def draw_waves(rng: np.random.Generator) -> tuple[list[Wave], list[Wave]]:
    """The waves of a grid: along one direction, and across it, where there may be none."""
    shortest, longest = PERIODS
    if rng.random() < 2 / 3:
        period = log_uniform(rng, _COARSE, longest)
    else:
        period = log_uniform(rng, shortest, _COARSE)
    contrast = log_uniform(rng, *_CONTRASTS)
    spread = 0.2 if rng.random() < _GREY_SHARE else 1.2
    along = _draw_direction(period, contrast, spread, rng)
    if rng.random() >= _ACROSS_SHARE:
        return along, []
    is_square = rng.random() < 0.5
    other = period if is_square else log_uniform(rng, shortest, longest)
    across = _draw_direction(other, contrast * rng.uniform(0.2, 1.0), spread, rng)
    return along, across


def _draw_direction(
    period: float, contrast: float, spread: float, rng: np.random.Generator
) -> list[Wave]:
    """A wave of a period in px, and perhaps a weaker one of another period."""
    waves = [_draw_wave(period, contrast, spread, rng)]
    if rng.random() < _TWO_WAVES_SHARE:
        other = log_uniform(rng, *PERIODS)
        waves.append(_draw_wave(other, contrast * rng.uniform(0.2, 1.0), spread, rng))
    return waves


def _draw_wave(period: float, contrast: float, spread: float, rng: np.random.Generator) -> Wave:
    """`spread` is how far the colours' phases lie apart, in radians."""
    contrasts = contrast * np.exp(rng.normal(0, 0.15, 3))
    phases = rng.uniform(0, 2 * np.pi) + rng.normal(0, spread, 3)
    return Wave(
        period=period,
        contrasts=contrasts.astype(np.float32),
        phases=phases.astype(np.float32),
        second=float(rng.uniform(0, 0.4)),
    )


def _transmission(waves: list[Wave], place: Plane) -> Light:
    """What the waves of one direction leave of a light of 1, (H, W, 3)."""
    left = np.ones((*place.shape, 3), np.float32)
    for wave in waves:
        phase = (2 * np.pi / wave.period * place[..., None] + wave.phases).astype(np.float32)
        shown = np.cos(phase)
        if wave.period > 2 * PERIODS[0]:
            shown += np.float32(wave.second) * np.cos(2 * phase)
        left += wave.contrasts * shown
    return np.maximum(left, 0)


def _fading(side: int, rng: np.random.Generator) -> Plane:
    """How much of the grid is left at each pixel, 0..1: bands of a slow beat, or everything."""
    depth = np.float32(rng.choice([0.0, rng.uniform(0, 0.9)]))
    coarse = rng.normal(0, 2.0, (4, 4)).astype(np.float32)
    phase = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    plane: Plane = 1 - depth * (0.5 + 0.5 * np.cos(phase))
    return plane
