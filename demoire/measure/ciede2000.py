"""The difference between two colours as an eye sees it: CIEDE2000, of sRGB.

scikit-image has it too, in 64 bits and slower, and its import is a large part of the start of a
command. It is the measure that the tests hold this one against.

References:
    Sharma, Wu, Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary
    Test Data, and Mathematical Observations", Color Research & Application 30(1), 2005; equations
    (2) to (22). IEC 61966-2-1 for sRGB, CIE 15:2004 for CIELAB under D65.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from demoire.imaging.codecs.raster import Pixels

_Floats = NDArray[np.floating]

# Linear sRGB to XYZ, each row divided by the white D65.
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_DARKEST_ROOT = np.float32(0.008856)  # what is darker is no cube root in CIELAB, but a line
_LEAST = np.float32(1e-30)  # a divisor for what has no length


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
    # numpy has vector instructions for both of these, and none for `cbrt`.
    root = np.exp(np.log(np.maximum(xyz, _DARKEST_ROOT)) * np.float32(1 / 3))
    line = np.float32(7.787) * xyz + np.float32(16 / 116)
    root = np.where(xyz > _DARKEST_ROOT, root, line)
    x, y, z = np.ascontiguousarray(root.T)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _difference(
    l1: _Floats, a1: _Floats, b1: _Floats, l2: _Floats, a2: _Floats, b2: _Floats
) -> _Floats:
    """The formula, in the paper's names; its weights kL, kC and kH are 1.

    Hues are unit vectors here. Two of them hold all that is asked of their angles: their sum points
    to the mean hue, and their difference is twice the sine of half the step. A grey has no hue, so
    its vector is zero: then there is no step, and the mean is the other hue.
    """
    grey_shift = 1.5 - 0.5 * _chroma_weight((_chroma(a1, b1) + _chroma(a2, b2)) / 2)
    a1 = a1 * grey_shift
    a2 = a2 * grey_shift
    c1 = _chroma(a1, b1)
    c2 = _chroma(a2, b2)
    cos1, sin1 = _direction(a1, b1, c1)
    cos2, sin2 = _direction(a2, b2, c2)
    step = np.copysign(_chroma(cos2 - cos1, sin2 - sin1), a1 * b2 - a2 * b1)
    hue_step = np.sqrt(c1 * c2) * step
    cos_sum = cos1 + cos2
    sin_sum = sin1 + sin2
    cos, sin = _direction(cos_sum, sin_sum, _chroma(cos_sum, sin_sum))

    lightness = (l1 + l2) / 2 - 50
    chroma = (c1 + c2) / 2
    in_lightness = (l2 - l1) / (1 + 0.015 * lightness**2 / np.sqrt(20 + lightness**2))
    in_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    in_hue = hue_step / (1 + 0.015 * chroma * _hue_weight(cos, sin))
    rotation = -np.sin(_radians(60) * _blueness(cos, sin)) * 2 * _chroma_weight(chroma)
    squared = in_lightness**2 + in_chroma**2 + in_hue**2 + rotation * in_chroma * in_hue
    difference: _Floats = np.sqrt(np.maximum(squared, 0))
    return difference


def _hue_weight(cos: _Floats, sin: _Floats) -> _Floats:
    """The paper's T of a hue."""
    cos2 = cos * cos - sin * sin
    sin2 = 2 * sin * cos
    cos3 = cos2 * cos - sin2 * sin
    sin3 = sin2 * cos + cos2 * sin
    cos4 = cos2 * cos2 - sin2 * sin2
    sin4 = 2 * sin2 * cos2
    weight: _Floats = (
        1
        - 0.17 * _cos_of_difference(cos, sin, 30)
        + 0.24 * cos2
        + 0.32 * _cos_of_difference(cos3, sin3, -6)
        - 0.20 * _cos_of_difference(cos4, sin4, 63)
    )
    return weight


def _cos_of_difference(cos: _Floats, sin: _Floats, degrees: float) -> _Floats:
    """The cosine of an angle less some degrees."""
    angle = _radians(degrees)
    return cos * math.cos(angle) + sin * math.sin(angle)


def _blueness(cos: _Floats, sin: _Floats) -> _Floats:
    """How near a hue is to blue, 275 degrees: 1 there, and e**-1 at 25 degrees from it."""
    from_blue = np.arctan2(
        _cos_of_difference(cos, sin, 275 + 90), _cos_of_difference(cos, sin, 275)
    )
    blueness: _Floats = np.exp(-np.square(from_blue / np.float32(_radians(25))))
    return blueness


def _direction(a: _Floats, b: _Floats, length: _Floats) -> tuple[_Floats, _Floats]:
    """Cosine and sine of the angle of (a, b); both 0 where there is no length."""
    divisor = np.maximum(length, _LEAST)
    return a / divisor, b / divisor


# numpy has vector instructions for what these two are made of, and none for `hypot` and `**`.
def _chroma(a: _Floats, b: _Floats) -> _Floats:
    chroma: _Floats = np.sqrt(a * a + b * b)
    return chroma


def _chroma_weight(chroma: _Floats) -> _Floats:
    square = chroma * chroma
    seventh = square * square * square * chroma
    weight: _Floats = np.sqrt(seventh / (seventh + np.float32(25.0**7)))
    return weight


def _radians(degrees: float) -> float:
    return degrees * math.pi / 180
