"""Figures: how alike two pictures are, and how right a detector is.

All of a picture's figures take it as (H, W, 1 or 3) uint8 or uint16. They run on every cleaned
image beside the model, so they work in stripes that stay in the cache; on one thread about 1000
(psnr), 40 (ssim) and 80 (colour_difference) MP/s.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from demoire.imaging.codecs.raster import Pixels

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # BT.601, as in JPEG
_SIGMA, _RADIUS = 1.5, 5  # Wang et al. 2004: a Gaussian window of 11 x 11
_K1, _K2 = 0.01, 0.03
_STRIPE = 128  # rows
_BLOCK = 8  # px


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all samples, dB, the peak being the type's full range;
    infinite where equal.
    """
    _check(a, b)
    error = sum(
        cv2.norm(
            np.ascontiguousarray(a[i : i + _STRIPE]),
            np.ascontiguousarray(b[i : i + _STRIPE]),
            cv2.NORM_L2,
        )
        ** 2
        for i in range(0, len(a), _STRIPE)
    )
    return 10 * math.log10(_full(a) ** 2 * a.size / error) if error else math.inf


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of the luma (BT.601), -1..1: Wang et al., "Image Quality Assessment",
    2004.

    Gaussian window of sigma 1.5 and 11 x 11 px, K1 0.01, K2 0.03; averaged over the places where
    the window lies within the picture (over all places where it is smaller than the window).
    """
    _check(a, b)
    height, width = a.shape[:2]
    inset = _RADIUS if min(height, width) > 2 * _RADIUS else 0
    total = 0.0
    for top in range(inset, height - inset, _STRIPE):
        bottom = min(top + _STRIPE, height - inset)
        rows = slice(max(top - _RADIUS, 0), min(bottom + _RADIUS, height))
        likeness = _ssim_map(_luma(a[rows]), _luma(b[rows]), _full(a))
        kept = likeness[top - rows.start : bottom - rows.start, inset : width - inset]
        total += float(kept.sum(dtype=np.float64))
    return total / ((height - 2 * inset) * (width - 2 * inset))


def _ssim_map(a: NDArray[np.float32], b: NDArray[np.float32], full: float) -> NDArray[np.float32]:
    c1, c2 = (_K1 * full) ** 2, (_K2 * full) ** 2
    mean_a, mean_b = _smooth(a), _smooth(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = _smooth(a * b) - product
    variances = _smooth(a * a + b * b) - squares
    likeness = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return likeness.astype(np.float32, copy=False)


def _smooth(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.GaussianBlur(x, (2 * _RADIUS + 1,) * 2, _SIGMA, borderType=cv2.BORDER_REFLECT)


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    floats = np.ascontiguousarray(pixels, dtype=np.float32)
    return floats[:, :, 0] if pixels.shape[2] == 1 else cv2.transform(floats, _LUMA)


def colour_difference(a: Pixels, b: Pixels) -> float:
    """Mean CIEDE2000 between the averages of blocks of 8 x 8 px, read as sRGB; about 1 is just
    seen.

    Averages, because it is asked whether colours stayed, and fine moiré has colours of its own in
    every pixel.
    """
    _check(a, b)
    return float(np.mean(deltaE_ciede2000(_block_colours(a), _block_colours(b))))


def _block_colours(pixels: Pixels) -> NDArray[np.floating]:
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels, (max(1, width // _BLOCK), max(1, height // _BLOCK)), interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    small = np.atleast_3d(small) / _full(pixels)
    return rgb2lab(small if small.shape[2] == 3 else np.repeat(small, 3, axis=2))


def _full(pixels: Pixels) -> float:
    return float(np.iinfo(pixels.dtype).max)


def _check(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != b.dtype or a.ndim != 3:
        raise ValueError(
            f"pictures of {a.shape} {a.dtype} and {b.shape} {b.dtype} cannot be compared"
        )
