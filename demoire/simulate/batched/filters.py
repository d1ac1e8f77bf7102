"""Filters of a batch of pictures, each by its own width or method: as OpenCV has them, in torch."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def blur_each(pictures: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Blur each picture by a Gaussian of its own.

    Args:
        pictures: (N, C, H, W), H and W above `radius`.
        sigmas: (N,) px; 0 leaves a picture as it is.
        radius: px, of all kernels: four times the largest sigma is as far as OpenCV goes.
    """
    count, channels, height, width = pictures.shape
    offsets = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    widths = sigmas.clamp_min(1e-3)[:, None]
    weights = torch.exp(-(offsets**2) / (2 * widths**2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    kernels = weights.repeat_interleave(channels, dim=0)[:, None, None, :]
    # One group a plane: a convolution has the same weights for all that it takes as one batch.
    planes = pictures.reshape(1, count * channels, height, width)
    across = F.conv2d(
        F.pad(planes, (radius, radius, 0, 0), "reflect"), kernels, groups=len(kernels)
    )
    padded = F.pad(across, (0, 0, radius, radius), "reflect")
    down = F.conv2d(padded, kernels.transpose(2, 3), groups=len(kernels))
    return down.reshape(pictures.shape)


def resize_each(pictures: Tensor, size: int, methods: Sequence[int]) -> Tensor:
    """Resize square pictures, each by an interpolation of OpenCV of its own.

    Resizing is linear and the same in both directions, so it is two products with a matrix, and
    OpenCV makes the matrix: it is what becomes of the unit matrix.

    Args:
        pictures: (N, C, S, S).
        size: px, of the results.
        methods: N times one of `cv2.INTER_AREA` and so on.

    Returns:
        (N, C, size, size).
    """
    side = pictures.shape[-1]
    if side == size:
        return pictures
    weights = torch.stack([_resizing(side, size, method) for method in methods])
    weights = weights.to(pictures.device, pictures.dtype)[:, None]
    return weights @ pictures @ weights.transpose(2, 3)


@cache
def _resizing(side: int, size: int, method: int) -> Tensor:
    """How much each of `side` px counts in each of `size` px, (size, side)."""
    unit = np.eye(side, dtype=np.float32)
    return torch.from_numpy(cv2.resize(unit, (side, size), interpolation=method))
