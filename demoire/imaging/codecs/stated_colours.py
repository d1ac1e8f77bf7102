"""An ICC profile for colours that a file states by numbers, as HEIF, AVIF and JPEG XL may do.

Without one a picture in a wide space would be taken for sRGB: the networks would see it paler than
it is. Numbers that mean sRGB or something near it, or that say nothing, need no profile. The curves
of video (BT.709 and BT.2020) count as sRGB's, as viewers of still pictures show them.

References:
    ITU-T H.273, tables 2 and 3; IEC 61966-2-1 (sRGB) for the curve.
"""

from functools import cache

import imagecodecs
import numpy as np
from numpy.typing import NDArray

BT2020 = 9
DISPLAY_P3 = 12

_D65 = (0.3127, 0.3290, 1.0)
# x, y and Y of red, green and blue.
_WIDE = {
    BT2020: (0.708, 0.292, 1.0, 0.170, 0.797, 1.0, 0.131, 0.046, 1.0),
    DISPLAY_P3: (0.680, 0.320, 1.0, 0.265, 0.690, 1.0, 0.150, 0.060, 1.0),
}
_LIKE_SRGB = frozenset({1, 2, 6, 13, 14, 15})
_POWERS = {4: 2.2, 5: 2.8}
_STEPS = 4096  # of the curve


@cache
def stated_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile; None where the colours can be taken for sRGB, or are of a kind not known here.

    Args:
        primaries: Number of the colour primaries in H.273.
        transfer: Number of the transfer characteristics there.
    """
    if primaries not in _WIDE:
        return None
    curve: NDArray[np.uint16] | None = None
    if transfer in _LIKE_SRGB:
        curve = _srgb_curve()
    elif transfer not in _POWERS:
        return None
    profile = imagecodecs.cms_profile(
        "rgb",
        whitepoint=list(_D65),
        primaries=list(_WIDE[primaries]),
        transferfunction=curve,
        gamma=_POWERS.get(transfer),
    )
    return bytes(profile)


def _srgb_curve() -> NDArray[np.uint16]:
    """Light by level, both over the full range of 16 bits."""
    level = np.linspace(0, 1, _STEPS)
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    curve: NDArray[np.uint16] = np.rint(65535 * light).astype(np.uint16)
    return curve
