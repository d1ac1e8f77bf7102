"""Bayer sensors: one colour at each pixel, and OpenCV's ways to make three of it.

A layout is a number below four, as what is drawn from a seed depends on it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.simulate.arrays import Plane

# The four layouts: the channel (R, G, B) of the sensor's pixels at (0, 0), (0, 1), (1, 0) and
# (1, 1).
BAYER_CHANNELS = ((0, 1, 1, 2), (1, 0, 2, 1), (2, 1, 1, 0), (1, 2, 0, 1))
# OpenCV names them after the second row's second and third pixel.
_NAMES = ("BG", "GB", "RG", "GR")


def bayer_mosaic(light: Plane, layout: int) -> NDArray[np.float32]:
    """What a sensor of this layout sees of (H, W, 3): one colour at each pixel, (H, W)."""
    raw = np.empty(light.shape[:2], np.float32)
    for number, channel in enumerate(BAYER_CHANNELS[layout]):
        row, column = divmod(number, 2)
        raw[row::2, column::2] = light[row::2, column::2, channel]
    return raw


def demosaicing_code(layout: int, method: str) -> int:
    """OpenCV's number for demosaicing to RGB.

    Args:
        layout: Of the mosaic.
        method: "" for bilinear, "_VNG" for a variable number of gradients, "_EA" for edge-aware.
    """
    code: int = getattr(cv2, f"COLOR_Bayer{_NAMES[layout]}2RGB{method}")
    return code
