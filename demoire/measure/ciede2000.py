"""The difference between two colours as an eye sees it: CIEDE2000, of sRGB.

scikit-image has it too, in 64 bits and slower, and its import is a large part of the start of a
command. It is the measure that the tests hold this one against.

References:
    Sharma, Wu, Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary
    Test Data, and Mathematical Observations", Color Research & Application 30(1), 2005; equations
    (2) to (22). IEC 61966-2-1 for sRGB, CIE 15:2004 for CIELAB under D65.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.codecs.raster import Pixels

_Floats = NDArray[np.floating]

# Linear sRGB to XYZ, each row divided by the white D65.
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_FULL_TURN = np.float32(2 * np.pi)
_HALF_TURN = np.float32(np.pi)


def ciede2000(a: Pixels, b: Pixels) -> _Floats:
    """The difference of each pair of colours.

    Args:
        a: (N, 3) sRGB, uint8 or uint16 over the full range of the type.
        b: Likewise.

    Returns:
        (N,); 0 for equal colours, about 1 where a difference is just visible.
    """
    return _difference(*_lab(a), *_lab(b))


@cache
def _linear(dtype: np.dtype[np.unsignedinteger]) -> _Floats:
    """The light that each value of an sRGB sample stands for, 0..1."""
    full = int(np.iinfo(dtype).max)
    samples = np.arange(full + 1) / full
    light = np.where(samples > 0.04045, ((samples + 0.055) / 1.055) ** 2.4, samples / 12.92)
    return light.astype(np.float32)


def _lab(colours: Pixels) -> tuple[_Floats, _Floats, _Floats]:
    """CIELAB: L* 0..100, a*, b*."""
    xyz = _linear(colours.dtype)[colours] @ _TO_XYZ.T.astype(np.float32)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), np.float32(7.787) * xyz + np.float32(16 / 116))
    x, y, z = np.ascontiguousarray(root.T)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _difference(
    l1: _Floats, a1: _Floats, b1: _Floats, l2: _Floats, a2: _Floats, b2: _Floats
) -> _Floats:
    """The formula, in the paper's names; its weights kL, kC and kH are 1."""
    grey_shift = 1.5 - 0.5 * _chroma_weight((_chroma(a1, b1) + _chroma(a2, b2)) / 2)
    a1 = a1 * grey_shift
    a2 = a2 * grey_shift
    c1 = _chroma(a1, b1)
    c2 = _chroma(a2, b2)
    h1 = _hue(a1, b1)
    h2 = _hue(a2, b2)

    # A grey has no hue: then there is no difference in hue, and the mean is that of the other.
    has_hues = c1 * c2 != 0
    turn = h2 - h1
    is_far = np.abs(turn) > _HALF_TURN
    shortest = np.where(is_far, turn - np.copysign(_FULL_TURN, turn), turn)
    hue_step = 2 * np.sqrt(c1 * c2) * np.sin(np.where(has_hues, shortest, 0) / 2)
    both = h1 + h2
    across = np.where(both < _FULL_TURN, both + _FULL_TURN, both - _FULL_TURN)
    hue = np.where(has_hues, np.where(is_far, across, both) / 2, both)

    lightness = (l1 + l2) / 2 - 50
    chroma = (c1 + c2) / 2
    t = (
        1
        - 0.17 * np.cos(hue - _radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + _radians(6))
        - 0.20 * np.cos(4 * hue - _radians(63))
    )
    blueness = np.exp(-np.square((hue - _radians(275)) / _radians(25)))
    rotation = -np.sin(_radians(60) * blueness) * 2 * _chroma_weight(chroma)
    in_lightness = (l2 - l1) / (1 + 0.015 * lightness**2 / np.sqrt(20 + lightness**2))
    in_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    in_hue = hue_step / (1 + 0.015 * chroma * t)
    squared = in_lightness**2 + in_chroma**2 + in_hue**2 + rotation * in_chroma * in_hue
    difference: _Floats = np.sqrt(np.maximum(squared, 0))
    return difference


# numpy has vector instructions for what these two are made of, and none for `hypot`, `%` and `**`.
def _chroma(a: _Floats, b: _Floats) -> _Floats:
    chroma: _Floats = np.sqrt(a * a + b * b)
    return chroma


def _hue(a: _Floats, b: _Floats) -> _Floats:
    """The angle, 0 to a full turn."""
    angle = np.arctan2(b, a)
    return np.where(angle < 0, angle + _FULL_TURN, angle)


def _chroma_weight(chroma: _Floats) -> _Floats:
    square = chroma * chroma
    seventh = square * square * square * chroma
    weight: _Floats = np.sqrt(seventh / (seventh + np.float32(25.0**7)))
    return weight


def _radians(degrees: float) -> float:
    return degrees * np.pi / 180
