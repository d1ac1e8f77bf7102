"""The one call that makes a pair: `simulate`.

A pair depends on the scene, the size and the generator alone, so any pair can be made again. The
kinds are those that the detector tells apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import cv2
import numpy as np

from demoire.errors import UsageError
from demoire.moire import MoireKind
from demoire.simulate.arrays import Light, Scene, SrgbPixels, to_bytes
from demoire.simulate.capture import (
    Development,
    crop_scene,
    develop,
    draw_development,
    expose,
    pattern_strength,
    to_linear,
)
from demoire.simulate.grid import photograph_grid
from demoire.simulate.halftone import scan_print
from demoire.simulate.screen import photograph_screen
from demoire.simulate.texture import photograph_texture

# The strength from which a pattern is plain to see at 1:1. Fainter ones drown in noise and
# compression.
VISIBLE = 2.0

_TRIES = 20  # draws of a camera and a screen, of which one should show its moiré
_UNTOUCHED_SHARE = 0.4  # of clean pictures that are the scene itself
_SCANNED_SHARE = 0.4  # of the others
_REGION = 24.0  # px, sigma: far wider than any screen's period

_Simulator: TypeAlias = Callable[
    [Scene, int, np.random.Generator], tuple[Light, Light, Development]
]

# "mixed" is what the lab's pairs of every kind are; "press" prints as presses do, and "grid" shows
# screens through a strong grid of a few pixels.
Style = Literal["mixed", "press", "grid"]

_SIMULATORS: dict[tuple[MoireKind, Style], _Simulator] = {
    ("screen", "mixed"): photograph_screen,
    ("screen", "grid"): photograph_grid,
    ("halftone", "mixed"): scan_print,
    ("halftone", "press"): partial(scan_print, style="press"),
    ("texture", "mixed"): photograph_texture,
}


@dataclass(frozen=True)
class Pair:
    """A picture with moiré and its exact twin without; for the kind "none" the two are the same."""

    moire: SrgbPixels  # (size, size, 3)
    clean: SrgbPixels  # (size, size, 3)
    kind: MoireKind
    strength: float  # RMS of what the pattern alone changes, in 1/255 sRGB; see VISIBLE


@dataclass(frozen=True)
class Capture:
    """Light on a sensor with the pattern and without it, before its development."""

    with_moire: Light  # (S, S, 3)
    without: Light  # (S, S, 3)
    development: Development
    strength: float  # as in `Pair`


def simulate(
    kind: MoireKind,
    scene: Scene,
    size: int,
    rng: np.random.Generator,
    style: Style = "mixed",
) -> Pair:
    """Make one pair of `size` x `size` px out of a clean scene.

    A pair of a kind with moiré shows it: see `draw_capture`.

    Args:
        kind: What kind of moiré the pair is to have.
        scene: (h, w, 3), at least 32 px on each side.
        size: px, even, at least 32.
        rng: Decides everything else.
        style: "press" is for halftone and "grid" for screens.

    Raises:
        UsageError: There is no such kind, or it has no such style.
    """
    if kind == "none":
        clean = _take_clean(scene, size, rng)
        return Pair(clean, clean, kind, strength=0.0)
    capture = draw_capture(kind, scene, size, rng, style)
    moire, clean = develop(capture.with_moire, capture.without, size, capture.development, rng)
    if style != "mixed":
        clean = in_regional_tone(clean, moire)
    return Pair(moire, clean, kind, capture.strength)


def simulate_exposed(
    kind: MoireKind,
    scene: Scene,
    size: int,
    rng: np.random.Generator,
    style: Style = "mixed",
) -> Pair:
    """As `simulate`, but the twin without the pattern is what the same camera makes of the scene.

    It has its own noise and JPEG, as every picture has. A detector that compared moiré with the
    restorer's noiseless targets would learn that noise is moiré.
    """
    if kind == "none":
        return simulate(kind, scene, size, rng)
    capture = draw_capture(kind, scene, size, rng, style)
    moire, _ = develop(capture.with_moire, capture.without, size, capture.development, rng)
    clean = expose(capture.without, size, capture.development, rng)
    return Pair(moire, clean, kind, capture.strength)


def draw_capture(
    kind: MoireKind,
    scene: Scene,
    size: int,
    rng: np.random.Generator,
    style: Style = "mixed",
) -> Capture:
    """What `simulate` develops.

    Cameras and screens are drawn again until the pattern's strength is VISIBLE, twenty times at
    most: on a black scene nothing ever shows.

    Raises:
        UsageError: Moiré of this kind cannot be simulated.
    """
    simulator = _SIMULATORS.get((kind, style))
    if simulator is None:
        known = ", ".join(f"{name} ({of})" for name, of in _SIMULATORS)
        raise UsageError(
            f"No moiré of kind {kind!r} ({style}) can be simulated; use one of {known}."
        )
    for _ in range(_TRIES):
        with_moire, without, development = simulator(scene, size, rng)
        strength = pattern_strength(with_moire, without, size, development)
        if strength >= VISIBLE:
            break
    return Capture(with_moire, without, development, strength)


def in_regional_tone(clean: SrgbPixels, moire: SrgbPixels) -> SrgbPixels:
    """The target with the mean tone that each region of the picture has.

    Tone curves and clipping bend the mean of dots or stripes otherwise than that of a tint, by up
    to 5 in 255. A restorer that learnt to undo this would change the tone, on no evidence.
    """
    light = clean.astype(np.float32)
    off = cv2.GaussianBlur(moire.astype(np.float32) - light, (0, 0), _REGION)
    return to_bytes(light + off)


def _take_clean(scene: Scene, size: int, rng: np.random.Generator) -> SrgbPixels:
    """A clean picture as archives hold them.

    It is the scene as it is, or what the cameras and scanners that moiré goes through make of it.
    """
    crop = crop_scene(scene, size, rng)
    if rng.random() < _UNTOUCHED_SHARE:
        return crop
    is_scanned = rng.random() < _SCANNED_SHARE
    development = draw_development(rng, scanner=bool(is_scanned))
    return expose(to_linear(crop), size, development, rng)
