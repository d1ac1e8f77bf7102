"""The honest rival: the best that a plain Gaussian blur could do, by an oracle that knows the
truth.

Moiré is mostly finer than the picture, so blurring alone gains many decibels on it. A model that
does not beat the blur whose width was picked per image with the clean twin in hand has learnt
nothing worth its cost. Nobody could run this rival on an archive: there is no truth there to pick
the width by.

It costs about fifteen blurs, 0.15 s a megapixel on one core.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

WIDEST = 8.0  # px; beyond that pictures only get worse

_GRID = (0.3, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0, 6.0, WIDEST)
_GOLDEN = (5**0.5 - 1) / 2
_PRECISION = 0.02  # px; PSNR is flat at its top


def oracle_blur(
    moire: NDArray[np.uint8], clean: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], float]:
    """The Gaussian blur of `moire` with the highest PSNR against `clean`, and its sigma in px.

    moire, clean: (H, W, 3) uint8 of one shape. Sigma is sought from 0.3 to 8 px, first on a grid,
    then by golden section between the best one's neighbours; 0 and the picture as it came where no
    blur brings it nearer. Raises ValueError where the shapes differ.
    """
    if moire.shape != clean.shape:
        raise ValueError(f"the pictures are of different shapes: {moire.shape} and {clean.shape}")
    errors = {0.0: _error(moire, clean)}
    for sigma in _GRID:
        errors[sigma] = _error(_blur(moire, sigma), clean)
        if errors[sigma] > 2 * min(errors.values()):
            break  # far beyond the best; wider ones cost most
    tried = sorted(errors)
    best = tried.index(min(errors, key=errors.__getitem__))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    while high - low > _PRECISION:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        for sigma in (left, right):
            if sigma not in errors:
                errors[sigma] = _error(_blur(moire, sigma), clean)
        low, high = (low, right) if errors[left] <= errors[right] else (left, high)
    sigma = min(errors, key=errors.__getitem__)
    return _blur(moire, sigma), sigma


def _blur(picture: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    if sigma == 0:
        return picture
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _error(picture: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Sum of squared differences: the order of PSNR without its logarithm."""
    return cv2.norm(picture, clean, cv2.NORM_L2SQR)
