"""The honest rival: the best that a plain Gaussian blur could do, chosen by someone who knows.

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
_HOPELESS = 2  # times the least squared error so far, from which wider blurs are not tried


def oracle_blur(
    moire: NDArray[np.uint8], clean: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], float]:
    """The Gaussian blur of `moire` with the highest PSNR against `clean`.

    Sigma is sought from 0.3 to 8 px, first on a grid, then by golden section between the
    neighbours of the best one.

    Args:
        moire: (H, W, 3) uint8.
        clean: The same picture without moiré, of the same shape.

    Returns:
        The blurred picture, and its sigma in px; the picture as it came, and 0, where no blur
        brings it nearer.

    Raises:
        ValueError: The shapes differ.

    References:
        Kiefer, "Sequential minimax search for a maximum", Proceedings of the AMS 4, 1953 (golden
        section).
    """
    if moire.shape != clean.shape:
        raise ValueError(f"the pictures are of different shapes: {moire.shape} and {clean.shape}")
    errors = _grid_errors(moire, clean)
    tried = sorted(errors)
    best = tried.index(_best(errors))
    low = tried[max(best - 1, 0)]
    high = tried[min(best + 1, len(tried) - 1)]
    # Written out, since scipy's minimize_scalar stops elsewhere: figures on record would change.
    while high - low > _PRECISION:
        left = high - _GOLDEN * (high - low)
        right = low + _GOLDEN * (high - low)
        for sigma in (left, right):
            if sigma not in errors:
                errors[sigma] = _error(_blur(moire, sigma), clean)
        if errors[left] <= errors[right]:
            high = right
        else:
            low = left
    sigma = _best(errors)
    return _blur(moire, sigma), sigma


def _grid_errors(moire: NDArray[np.uint8], clean: NDArray[np.uint8]) -> dict[float, float]:
    """The error of each sigma on the grid, from narrow to wide, as far as it makes sense."""
    errors = {0.0: _error(moire, clean)}
    for sigma in _GRID:
        errors[sigma] = _error(_blur(moire, sigma), clean)
        if errors[sigma] > _HOPELESS * min(errors.values()):
            break  # wide blurs cost most
    return errors


def _best(errors: dict[float, float]) -> float:
    """The sigma with the least error."""
    return min(errors, key=errors.__getitem__)


def _blur(picture: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    if sigma == 0:
        return picture
    blurred: NDArray[np.uint8] = cv2.GaussianBlur(
        picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101
    )
    return blurred


def _error(picture: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Sum of squared differences, which sorts like PSNR but needs no logarithm."""
    return float(cv2.norm(picture, clean, cv2.NORM_L2SQR))
