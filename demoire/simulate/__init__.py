"""Moiré by its physics: pairs with and without, for training and for tests.

`simulate` is the one call. A pair depends on the scene, the size and the generator alone, so any
pair can be made again. The kinds are those the detector tells apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from demoire.errors import UsageError
from demoire.simulate.capture import (
    Development,
    Light,
    crop_scene,
    develop,
    draw_development,
    expose,
    pattern_strength,
    to_linear,
)
from demoire.simulate.halftone import scan_print
from demoire.simulate.screen import photograph_screen
from demoire.simulate.texture import photograph_texture

Kind = Literal["none", "screen", "halftone", "texture"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# strength from which a pattern is plain to see at 1:1; fainter ones drown in noise and compression
VISIBLE = 2.0
_TRIES = 20

_SIMULATORS: dict[
    str, Callable[[NDArray[np.uint8], int, np.random.Generator], tuple[Light, Light, Development]]
] = {
    "screen": photograph_screen,
    "halftone": scan_print,
    "texture": photograph_texture,
}


@dataclass(frozen=True)
class Pair:
    """A picture with moiré and its exact twin without; for the kind "none" the two are the same."""

    moire: NDArray[np.uint8]  # (size, size, 3) sRGB
    clean: NDArray[np.uint8]  # (size, size, 3) sRGB
    kind: Kind
    strength: float  # RMS of what the pattern alone changes, in 1/255 sRGB; see VISIBLE


def _take_clean(scene: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A clean picture as archives hold them: as it is, or through the same cameras that the moiré
    went through.
    """
    crop = crop_scene(scene, size, rng)
    if rng.random() < 0.4:
        return crop
    return expose(
        to_linear(crop), size, draw_development(rng, scanner=bool(rng.random() < 0.4)), rng
    )


@dataclass(frozen=True)
class Capture:
    """Light on a sensor with the pattern and without it, (S, S, 3), and what is to become of it;
    see `capture.py`.
    """

    with_moire: Light
    without: Light
    development: Development
    strength: float  # as in Pair


def draw_capture(
    kind: Kind, scene: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> Capture:
    """What `simulate` develops. Cameras and screens are drawn again until the pattern's strength is
    VISIBLE, twenty times at most. Raises UsageError for an unknown kind."""
    if kind not in _SIMULATORS:
        raise UsageError(
            f"No moiré of kind {kind!r} can be simulated; use one of {', '.join(_SIMULATORS)}."
        )
    for _ in range(_TRIES):
        with_moire, without, development = _SIMULATORS[kind](scene, size, rng)
        strength = pattern_strength(with_moire, without, size, development)
        if strength >= VISIBLE:
            break
    return Capture(with_moire, without, development, strength)


def simulate(kind: Kind, scene: NDArray[np.uint8], size: int, rng: np.random.Generator) -> Pair:
    """Make one pair of `size` x `size` px out of a clean scene.

    A pair of a kind with moiré shows it: cameras and screens are drawn again until the pattern's
    strength is VISIBLE, twenty times at most (on a black scene nothing ever shows). scene: (h, w,
    3) uint8 sRGB, at least 32 px on each side. size: px, even, at least 32. Raises UsageError for
    an unknown kind.
    """
    if kind == "none":
        clean = _take_clean(scene, size, rng)
        return Pair(clean, clean, kind, 0.0)
    capture = draw_capture(kind, scene, size, rng)
    moire, clean = develop(capture.with_moire, capture.without, size, capture.development, rng)
    return Pair(moire, clean, kind, capture.strength)


def simulate_exposed(
    kind: Kind, scene: NDArray[np.uint8], size: int, rng: np.random.Generator
) -> Pair:
    """As `simulate`, but the twin without the pattern is what the same camera makes of the scene.

    It has its own noise and JPEG, as every picture has. A detector that compared moiré with the
    restorer's noiseless targets would learn that noise is moiré.
    """
    if kind == "none":
        return simulate(kind, scene, size, rng)
    capture = draw_capture(kind, scene, size, rng)
    moire, _ = develop(capture.with_moire, capture.without, size, capture.development, rng)
    clean = expose(capture.without, size, capture.development, rng)
    return Pair(moire, clean, kind, capture.strength)
