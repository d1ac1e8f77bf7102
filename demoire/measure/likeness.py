"""How alike two pictures are: PSNR, SSIM and CIEDE2000.

All measures take two pictures (H, W, 1 or 3) of one shape, uint8 or uint16 over the full range of
their type. They run on every cleaned image beside the model, so they work in stripes that stay in
the cache, and only where the pictures differ: elsewhere SSIM is 1 and the difference in colour 0.
On one thread about 5000 (psnr), 100 (ssim) and 200 (colour_difference) MP/s of what differs.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.room import let_go_behind
from demoire.measure.ciede2000 import ciede2000

_COMPARED = 1 << 14  # px at a time: a stripe that differs ends the look
_STRIPE = 200_000  # px that are measured at a time
# Weights of red, green and blue in luma, as in JPEG: Rec. ITU-R BT.601, section 2.5.1.
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
# SSIM's window and constants, as Wang et al. chose them.
_SIGMA = 1.5  # px
_RADIUS = 5  # px: a window of 11 x 11
_K1 = 0.01
_K2 = 0.03
_BLOCK = 8  # px, of which colour_difference compares the averages
_ROWS_OF_BLOCKS = 4  # that are averaged at a time
_COLOURS = 1 << 14  # that are compared at a time


def are_equal(a: Pixels, b: Pixels) -> bool:
    """Whether two pictures have the same pixels; one of the first that differs ends the look."""
    _check(a, b)
    height, width = a.shape[:2]
    rows = in_stripes(Box(0, 0, height, width), _COMPARED, columns=width)
    for stripe in let_go_behind(rows, a, b):
        if not np.array_equal(a[stripe.slices], b[stripe.slices]):
            return False
    return True


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio over all samples.

    10 log10(peak^2 / MSE), where the peak is the full range of the type (255 or 65535) and MSE is
    the mean squared difference over pixels and channels.

    Args:
        a: (H, W, 1 or 3) uint8 or uint16.
        b: Likewise.

    Returns:
        dB, usually 20 to 60; infinite where the pictures are equal.

    Raises:
        ValueError: The pictures differ in shape or type.
    """
    _check(a, b)
    error = 0.0
    height, width = a.shape[:2]
    rows = in_stripes(Box(0, 0, height, width), _STRIPE, columns=width)
    for stripe in let_go_behind(rows, a, b):
        stripe_a = np.ascontiguousarray(a[stripe.slices])
        stripe_b = np.ascontiguousarray(b[stripe.slices])
        error += cv2.norm(stripe_a, stripe_b, cv2.NORM_L2) ** 2
    if error == 0:
        return math.inf
    return 10 * math.log10(_full_range(a) ** 2 * a.size / error)


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of the luma.

    The mean over windows of

        (2 ma mb + C1) (2 cov + C2) / ((ma^2 + mb^2 + C1) (va + vb + C2))

    with the windows' means m, variances v and covariance, C1 = (0.01 L)^2, C2 = (0.03 L)^2, L the
    full range of the type. Windows are Gaussian, of sigma 1.5 and 11 x 11 px. Averaged are those
    that lie within the picture; all of them where the picture is smaller than a window.

    Args:
        a: (H, W, 1 or 3) uint8 or uint16.
        b: Likewise.

    Returns:
        -1..1; 1 where the luma is equal.

    Raises:
        ValueError: The pictures differ in shape or type.

    References:
        Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
        Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    _check(a, b)
    height, width = a.shape[:2]
    inset = _RADIUS if min(height, width) > 2 * _RADIUS else 0
    windows = Box(inset, inset, height - inset, width - inset)
    loss = 0.0  # of the windows' sum, whose highest is 1 each
    for stripe in let_go_behind(in_stripes(windows, _STRIPE), a, b):
        # The windows of the stripe's pixels reach over its edges.
        seen = stripe.grown(_RADIUS, height, width)
        left, right = _differing_columns(a[seen.slices], b[seen.slices])
        if left == right:
            continue
        # Those that reach a pixel that differs, and what they see.
        differing = Box(seen.top, seen.left + left, seen.bottom, seen.left + right)
        reaching = stripe.common(differing.grown(_RADIUS, height, width))
        assert reaching is not None
        seen = reaching.grown(_RADIUS, height, width)
        likeness = _ssim_map(_luma(a[seen.slices]), _luma(b[seen.slices]), _full_range(a))
        inner = likeness[reaching.within(seen)]
        loss += inner.size - float(inner.sum(dtype=np.float64))
    return float(1 - loss / (windows.height * windows.width))


def _differing_columns(a: Pixels, b: Pixels) -> tuple[int, int]:
    """The first column in which two stripes differ, and the one after the last; 0, 0 for none."""
    height, width, channels = a.shape
    if not (np.array_equal(a[:, 0], b[:, 0]) or np.array_equal(a[:, -1], b[:, -1])):
        return 0, width
    difference = cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b))
    largest = difference.reshape(height, width * channels).max(axis=0)
    differing = np.flatnonzero(largest)
    if len(differing) == 0:
        return 0, 0
    return int(differing[0]) // channels, int(differing[-1]) // channels + 1


def _ssim_map(
    a: NDArray[np.float32], b: NDArray[np.float32], full_range: float
) -> NDArray[np.float32]:
    """SSIM of the window around each pixel, (H, W). In place, for the cache's sake."""
    c1 = (_K1 * full_range) ** 2
    c2 = (_K2 * full_range) ** 2
    mean_a = _smooth(a)
    mean_b = _smooth(b)
    covariance = _smooth(a * b)
    variances = _smooth(a * a + b * b)
    product = mean_a * mean_b
    squares = mean_a * mean_a
    squares += mean_b * mean_b
    covariance -= product
    variances -= squares
    for doubled, constant in ((product, c1), (covariance, c2)):
        doubled *= 2
        doubled += constant
    squares += c1
    variances += c2
    product *= covariance
    squares *= variances
    product /= squares
    return product


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the Gaussian window around each pixel."""
    side = 2 * _RADIUS + 1
    smooth: NDArray[np.float32] = cv2.GaussianBlur(
        values, (side, side), _SIGMA, borderType=cv2.BORDER_REFLECT
    )
    return smooth


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    """(H, W) of (H, W, 1 or 3), in the range of the pixels."""
    floats = np.ascontiguousarray(pixels, dtype=np.float32)
    if pixels.shape[2] == 1:
        return floats[:, :, 0]
    luma: NDArray[np.float32] = cv2.transform(floats, _LUMA)
    return luma


def colour_difference(a: Pixels, b: Pixels) -> float:
    """Mean CIEDE2000 between the averages of blocks of 8 x 8 px, read as sRGB.

    The question is whether colours stayed. Fine moiré has colours of its own in every pixel, so
    pixels would say no whenever moiré was taken away; averages of blocks do not.

    Args:
        a: (H, W, 1 or 3) uint8 or uint16.
        b: Likewise.

    Returns:
        0 for equal colours; about 1 is just visible.

    Raises:
        ValueError: The pictures differ in shape or type.

    References:
        Sharma, Wu, Dalal, "The CIEDE2000 Color-Difference Formula: Implementation Notes,
        Supplementary Test Data, and Mathematical Observations", Color Research & Application 30(1),
        2005.
    """
    _check(a, b)
    colours_a = _block_colours(a)
    colours_b = _block_colours(b)
    differ = (colours_a != colours_b).any(axis=1)
    if not differ.any():
        return 0.0
    differing_a = colours_a[differ]
    differing_b = colours_b[differ]
    total = 0.0
    for first in range(0, len(differing_a), _COLOURS):
        some = slice(first, first + _COLOURS)
        total += float(ciede2000(differing_a[some], differing_b[some]).sum(dtype=np.float64))
    return total / len(differ)


def _block_colours(pixels: Pixels) -> Pixels:
    """The average colour of each block, (blocks, 3) in the pixels' type.

    Where the sides are no multiples of a block, blocks are a little larger, and share pixels. Rows
    are averaged first, as products of matrices: OpenCV takes half as long again for both at once.
    """
    height, width, channels = pixels.shape
    down = max(1, height // _BLOCK)
    across = max(1, width // _BLOCK)
    colours = np.empty((down, across, channels), pixels.dtype)
    row_of_blocks = _BLOCK * width  # px
    blocks = in_stripes(
        Box(0, 0, down, row_of_blocks), _ROWS_OF_BLOCKS * row_of_blocks, columns=row_of_blocks
    )
    for stripe in let_go_behind(blocks, pixels):
        first = stripe.top
        last = stripe.bottom
        top, weights = _row_weights(first, last, height, down)
        rows = pixels[top : top + weights.shape[1]].reshape(weights.shape[1], -1)
        averages = np.matmul(weights, rows.astype(np.float32)).reshape(-1, width, channels)
        # Each row by itself already: what is left is to average along it.
        small = cv2.resize(averages, (across, last - first), interpolation=cv2.INTER_AREA)
        colours[first:last] = np.rint(small).reshape(last - first, across, channels)
    colours = colours.reshape(down * across, channels)
    return colours if channels > 1 else np.repeat(colours, 3, axis=1)


def _row_weights(first: int, last: int, height: int, down: int) -> tuple[int, NDArray[np.float32]]:
    """How much each row of pixels counts in the averages of some rows of blocks.

    Args:
        first: The first row of blocks.
        last: The one after the last.
        height: Of the picture, px.
        down: Rows of blocks in it.

    Returns:
        The first row of pixels that counts, and the weights (blocks, pixels) from there on.
    """
    side = height / down
    top = int(first * side)
    bottom = min(height, math.ceil(last * side))
    starts = np.arange(first, last)[:, None] * side
    pixels = np.arange(top, bottom)[None, :]
    covered = np.minimum(starts + side, pixels + 1) - np.maximum(starts, pixels)
    weights: NDArray[np.float32] = (np.clip(covered, 0, 1) / side).astype(np.float32)
    return top, weights


def _full_range(pixels: Pixels) -> float:
    return float(np.iinfo(pixels.dtype).max)


def _check(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != b.dtype or a.ndim != 3:
        raise ValueError(
            f"pictures of {a.shape} {a.dtype} and {b.shape} {b.dtype} cannot be compared"
        )
