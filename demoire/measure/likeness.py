"""How alike two pictures are: PSNR, SSIM and CIEDE2000.

All measures take two pictures (H, W, 1 or 3) of one shape, uint8 or uint16 over the full range of
their type. They work in stripes that stay in the cache, and only where the pictures differ:
elsewhere SSIM is 1 and the difference in colour 0.

SSIM is there twice. `ssim` has the windows of the paper, for what is held against other work.
`block_ssim` has those of video encoders, at a third of the cost, and is what every cleaned picture
is measured by. On one thread about 5000 (psnr), 100 (ssim), 300 (block_ssim) and 350
(colour_difference) MP/s of what differs.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from demoire.imaging.boxes import Box, in_stripes
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.room import are_equal, let_go_behind
from demoire.measure.ciede2000 import ciede2000

_Plane = NDArray[np.float32]  # (H, W)
_STRIPE = 200_000  # px that are measured at a time
# Weights of red, green and blue in luma, as in JPEG: Rec. ITU-R BT.601, section 2.5.1.
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
# SSIM's window and constants, as Wang et al. chose them.
_SIGMA = 1.5  # px
_RADIUS = 5  # px: a window of 11 x 11
_K1 = 0.01
_K2 = 0.03
# The windows of block_ssim, and how far apart they are.
_WINDOW = 8  # px
_STEP = 4  # px
_BLOCK = 8  # px, of which colour_difference compares the averages
_SUMMED = 1 << 18  # px at a time; with fewer calls take longer than the cache saves
_COLOURS = 1 << 13  # that are compared at a time


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
        if are_equal(a[seen.slices], b[seen.slices]):
            continue
        likeness = _ssim_map(_luma(a[seen.slices]), _luma(b[seen.slices]), _full_range(a))
        inner = likeness[stripe.within(seen)]
        loss += inner.size - float(inner.sum(dtype=np.float64))
    return float(1 - loss / (windows.height * windows.width))


def _ssim_map(a: _Plane, b: _Plane, full_range: float) -> _Plane:
    """SSIM of the window around each pixel, (H, W). In place, for the cache's sake."""
    mean_a = _smooth(a)
    mean_b = _smooth(b)
    covariance = _smooth(a * b)
    variances = _smooth(a * a + b * b)
    product = mean_a * mean_b
    squares = mean_a * mean_a
    squares += mean_b * mean_b
    covariance -= product
    variances -= squares
    return _similarity(product, squares, covariance, variances, full_range)


def _similarity(
    product: _Plane, squares: _Plane, covariance: _Plane, variances: _Plane, full_range: float
) -> _Plane:
    """SSIM by the formula of `ssim`, of the product and the sum of squares of both pictures' means,
    their covariance, and the sum of their variances, all of which are written over.
    """
    c1 = (_K1 * full_range) ** 2
    c2 = (_K2 * full_range) ** 2
    for doubled, constant in ((product, c1), (covariance, c2)):
        doubled *= 2
        doubled += constant
    squares += c1
    variances += c2
    product *= covariance
    squares *= variances
    product /= squares
    return product


def _smooth(values: _Plane) -> _Plane:
    """The mean of the Gaussian window around each pixel."""
    side = 2 * _RADIUS + 1
    smooth: _Plane = cv2.GaussianBlur(values, (side, side), _SIGMA, borderType=cv2.BORDER_REFLECT)
    return smooth


def _luma(pixels: Pixels) -> _Plane:
    """(H, W) of (H, W, 1 or 3), in the range of the pixels."""
    floats = np.ascontiguousarray(pixels, dtype=np.float32)
    if pixels.shape[2] == 1:
        return floats[:, :, 0]
    luma: _Plane = cv2.transform(floats, _LUMA)
    return luma


def block_ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of the luma in windows of 8 x 8 px, one at every fourth px.

    The formula is that of `ssim`, with plain means over the windows, variances and covariance
    as unbiased estimates, and luma in the type of the pixels. A picture whose sides are no
    multiples of 4, or less than 8, is continued by its last row and column.

    Args:
        a: (H, W, 1 or 3) uint8 or uint16.
        b: Likewise.

    Returns:
        -1..1; 1 where the luma is equal.

    Raises:
        ValueError: The pictures differ in shape or type.

    References:
        The filter "ssim" of ffmpeg (libavfilter/vf_ssim.c) and x264, which compute it so.
    """
    _check(a, b)
    height, width = a.shape[:2]
    down = max(2, math.ceil(height / _STEP)) - 1
    across = max(2, math.ceil(width / _STEP)) - 1
    loss = 0.0  # of the windows' sum, whose highest is 1 each
    row_of_windows = _STEP * width  # px
    windows = in_stripes(Box(0, 0, down, row_of_windows), _SUMMED, columns=row_of_windows)
    for stripe in let_go_behind(windows, a, b):
        rows = slice(_STEP * stripe.top, _STEP * (stripe.bottom + 1))
        if are_equal(a[rows], b[rows]):
            continue
        size = (_STEP * (stripe.height + 1), _STEP * (across + 1))
        likeness = _block_ssim_map(
            _whole_luma(a[rows], size), _whole_luma(b[rows], size), _full_range(a)
        )
        loss += likeness.size - float(likeness.sum(dtype=np.float64))
    return float(1 - loss / (down * across))


def _whole_luma(pixels: Pixels, size: tuple[int, int]) -> _Plane:
    """The luma of pixels (h, w, 1 or 3), continued to this height and width."""
    luma = pixels[:, :, 0]
    if pixels.shape[2] == 3:
        luma = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    below = size[0] - luma.shape[0]
    beside = size[1] - luma.shape[1]
    if below or beside:
        luma = cv2.copyMakeBorder(luma, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    floats: _Plane = luma.astype(np.float32)
    return floats


def _block_ssim_map(a: _Plane, b: _Plane, full_range: float) -> _Plane:
    """SSIM of each window, (H / 4 - 1, W / 4 - 1) of luma (H, W)."""
    height, width = a.shape
    rows_of_4 = (height // _STEP, _STEP, width)
    a = a.reshape(rows_of_4)
    b = b.reshape(rows_of_4)
    mean_a = _window_means(np.add.reduce(a, axis=1))
    mean_b = _window_means(np.add.reduce(b, axis=1))
    mean_of_products = _window_means(_summed_products(a, b))
    mean_of_squares = _window_means(_summed_products(a, a) + _summed_products(b, b))
    unbiased = np.float32(_WINDOW**2 / (_WINDOW**2 - 1))
    product = mean_a * mean_b
    squares: _Plane = mean_a * mean_a + mean_b * mean_b
    covariance = (mean_of_products - product) * unbiased
    variances: _Plane = (mean_of_squares - squares) * unbiased
    return _similarity(product, squares, covariance, variances, full_range)


def _summed_products(a: NDArray[np.float32], b: NDArray[np.float32]) -> _Plane:
    """Sums over four rows each, (n, W) of (n, 4, W). The products are never written."""
    sums: _Plane = np.einsum("nrw,nrw->nw", a, b)
    return sums


def _window_means(sums: _Plane) -> _Plane:
    """The mean of each window, from sums over four rows each, (n, W): two by two blocks."""
    height, width = sums.shape
    # OpenCV takes means along a row in a tenth of numpy's time.
    means = cv2.resize(sums, (width // _STEP, height), interpolation=cv2.INTER_AREA)
    pairs = means[:-1] + means[1:]
    windows: _Plane = pairs[:, :-1] + pairs[:, 1:]
    windows /= 2 * _WINDOW
    return windows


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
    total = 0.0
    for first in range(0, len(colours_a), _COLOURS):
        some_a = colours_a[first : first + _COLOURS]
        some_b = colours_b[first : first + _COLOURS]
        if not np.array_equal(some_a, some_b):
            total += float(ciede2000(some_a, some_b).sum(dtype=np.float64))
    return total / len(colours_a)


def _block_colours(pixels: Pixels) -> Pixels:
    """The average colour of each block, (blocks, 3) in the pixels' type.

    Where a side is no multiple of a block, the last one is longer, by up to 7 px.
    """
    height, width, channels = pixels.shape
    down = max(1, height // _BLOCK)
    across = max(1, width // _BLOCK)
    colours = np.empty((down, across, channels), pixels.dtype)
    row_of_blocks = _BLOCK * width  # px
    blocks = in_stripes(Box(0, 0, down, row_of_blocks), _SUMMED, columns=row_of_blocks)
    for stripe in let_go_behind(blocks, pixels):
        top = _BLOCK * stripe.top
        bottom = height if stripe.bottom == down else _BLOCK * stripe.bottom
        averages = _column_averages(_row_sums(pixels[top:bottom], stripe.height), across)
        averages[:-1] /= _BLOCK
        averages[-1] /= bottom - top - _BLOCK * (stripe.height - 1)
        colours[stripe.top : stripe.bottom] = np.rint(averages)
    colours = colours.reshape(down * across, channels)
    return colours if channels > 1 else np.repeat(colours, 3, axis=1)


def _row_sums(pixels: Pixels, blocks: int) -> NDArray[np.float32]:
    """(rows, width, C) -> (blocks, width, C): of 8 rows each, the last one of all that are left."""
    height, width, channels = pixels.shape
    rows = pixels.reshape(height, width * channels)
    sums = np.zeros((blocks, width * channels), np.float32)
    whole = height - height % _BLOCK
    for row in range(min(whole, _BLOCK)):
        cv2.accumulate(rows[row:whole:_BLOCK], sums)
    for row in range(whole, height):
        cv2.accumulate(rows[row : row + 1], sums[-1:])
    return sums.reshape(blocks, width, channels)


def _column_averages(rows: NDArray[np.float32], blocks: int) -> NDArray[np.float32]:
    """(rows, width, C) -> (rows, blocks, C): means of 8 px each, the last one of all left."""
    height, width, channels = rows.shape
    whole = np.ascontiguousarray(rows[:, : _BLOCK * blocks])
    # OpenCV takes means along a row in a tenth of numpy's time.
    resized = cv2.resize(whole, (blocks, height), interpolation=cv2.INTER_AREA)
    averages: NDArray[np.float32] = resized.reshape(height, blocks, channels)
    if width > _BLOCK * blocks:
        averages[:, -1] = rows[:, _BLOCK * (blocks - 1) :].mean(axis=1)
    return averages


def _full_range(pixels: Pixels) -> float:
    return float(np.iinfo(pixels.dtype).max)


def _check(a: Pixels, b: Pixels) -> None:
    if a.shape != b.shape or a.dtype != b.dtype or a.ndim != 3:
        raise ValueError(
            f"pictures of {a.shape} {a.dtype} and {b.shape} {b.dtype} cannot be compared"
        )
