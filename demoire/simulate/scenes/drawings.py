"""All drawings by name, and one of them at random.

They stand in where no clean images are at hand: the sample collection, the detector's hard
negatives, tests. Every drawing takes (rng, height, width), sides of at least 64 px, and gives
(height, width, 3) uint8 sRGB that depends on the generator alone; 10 to 60 ms at 512 px on one
core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from demoire.simulate.arrays import Scene
from demoire.simulate.scenes.interfaces import interface
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.scenes.pages import page
from demoire.simulate.scenes.photographs import photograph

Drawing: TypeAlias = Callable[[np.random.Generator, int, int], Scene]

SCENES: dict[str, Drawing] = {"photograph": photograph, "page": page, "interface": interface}

_LEAST_SIDE = 256  # px: drawings need room for their parts


@dataclass(frozen=True)
class NamedScene:
    """A scene, and what labels call it."""

    name: str  # of the drawing, or of the image file
    scene: Scene


def draw_scene(rng: np.random.Generator, side: int, *, lookalike_share: float = 0.0) -> NamedScene:
    """Draw a clean scene.

    Args:
        rng: Decides everything.
        side: px of the scene; at least 256 are drawn.
        lookalike_share: How often it is a look-alike of moiré, 0..1.
    """
    drawings = SCENES
    if lookalike_share > 0 and rng.random() < lookalike_share:
        drawings = LOOKALIKES
    names = sorted(drawings)
    name = names[int(rng.integers(len(names)))]
    side = max(side, _LEAST_SIDE)
    return NamedScene(name, drawings[name](rng, side, side))
