"""What JPEG does to pictures, as far as it can be seen: quantised blocks and coarse colour.

Nothing is written. The steps are those of libjpeg at its defaults, so the pixels are within a few
in 255 of what it makes; they differ where it rounds in between.

References:
    ITU-T T.81 (JPEG), annexes A and K; JFIF 1.02 for the colours.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 8  # px

# ITU-T T.81, tables K.1 and K.2.
_OF_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_OF_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
_TO_RGB = (
    (1.0, 0.0, 1.402),
    (1.0, -0.344136, -0.714136),
    (1.0, 1.772, 0.0),
)


def compress(pictures: Tensor, qualities: Tensor, has_half_chroma: Tensor) -> Tensor:
    """Take each picture to JPEG and back.

    Args:
        pictures: (N, 3, H, W) RGB in whole numbers 0..255, of a floating type; H and W even.
        qualities: (N,) 1..100.
        has_half_chroma: (N,) bool, colour at half the size in both directions.

    Returns:
        The same shape, in whole numbers 0..255.
    """
    height, width = pictures.shape[-2:]
    below = -height % (2 * _BLOCK)
    beside = -width % (2 * _BLOCK)
    padded = F.pad(pictures, (0, beside, 0, below), "replicate")
    coloured = _coloured(padded, _TO_YCC).round()
    chroma = coloured[:, 1:]
    luma = _quantised(coloured[:, :1] - 128, _OF_LUMA, qualities)
    whole = _quantised(chroma, _OF_CHROMA, qualities)
    half = _quantised(F.avg_pool2d(chroma, 2).round(), _OF_CHROMA, qualities)
    half = F.interpolate(half, scale_factor=2, mode="bilinear")
    chroma = torch.where(has_half_chroma[:, None, None, None], half, whole)
    pixels = _coloured(torch.cat([luma + 128, chroma], dim=1), _TO_RGB)
    return pixels[..., :height, :width].round().clamp(0, 255)


def _coloured(pictures: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("ij,njhw->nihw", pictures.new_tensor(matrix), pictures)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], qualities: Tensor) -> Tensor:
    """Planes (N, C, H, W) with the coefficients of their blocks rounded to whole steps."""
    count, channels, height, width = planes.shape
    steps = _steps(planes.new_tensor(table), qualities.to(planes.dtype))
    basis = _basis().to(planes.device, planes.dtype)
    blocks = planes.reshape(count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = blocks.transpose(3, 4)
    coefficients = basis @ blocks @ basis.T
    rounded = (coefficients / steps).round() * steps
    back = (basis.T @ rounded @ basis).transpose(3, 4)
    return back.reshape(planes.shape).round().clamp(-128, 127)


def _steps(table: Tensor, qualities: Tensor) -> Tensor:
    """The steps of each quality, (N, 1, 1, 1, 8, 8): as libjpeg scales the tables of the norm."""
    percent = torch.where(qualities < 50, (5000 / qualities).floor(), 200 - 2 * qualities)
    scaled = ((table * percent[:, None, None] + 50) / 100).floor()
    return scaled.clamp(1, 255)[:, None, None, None]


@cache
def _basis() -> Tensor:
    """The orthonormal cosine transform of eight values, (8, 8)."""
    rows = []
    for frequency in range(_BLOCK):
        scale = math.sqrt((1 if frequency == 0 else 2) / _BLOCK)
        angles = (torch.arange(_BLOCK, dtype=torch.float64) + 0.5) * math.pi * frequency / _BLOCK
        rows.append(scale * angles.cos())
    return torch.stack(rows)
