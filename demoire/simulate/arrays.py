"""The kinds of arrays that the simulators pass on, and how light becomes bytes."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

SrgbPixels: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) sRGB."""

Scene: TypeAlias = SrgbPixels
"""What a simulated camera or scanner looks at: a picture without moiré."""

Light: TypeAlias = NDArray[np.float32]
"""(H, W, 3) RGB, 0..1 unless it clips. It is linear, but for the scanner's (see `halftone`)."""

Plane: TypeAlias = NDArray[np.floating[Any]]
"""(H, W), float32 in truth: numpy's types widen what they cannot follow."""


def to_bytes(levels: Plane) -> SrgbPixels:
    """Levels 0..255 of any shape as rounded bytes; what is beyond clips."""
    rounded: SrgbPixels = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
    return rounded


def srgb_bytes(picture: Plane) -> SrgbPixels:
    """sRGB 0..1 of any shape as rounded bytes; what is beyond clips."""
    return to_bytes(picture * 255)
