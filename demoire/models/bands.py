"""A picture as a sum of bands, from fine to coarse.

This is the undecimated wavelet that astronomers call starlet. Each step smooths by the B3 spline
(1, 4, 6, 4, 1) / 16 in both directions, with holes that double from step to step, and keeps what
the smoothing took away. The bands and the last smoothed picture add up to the picture.

Moiré is mostly finer than the picture. A network that says how much of which band to take away at
each pixel therefore starts from what descreening by blur can do, and need not learn that first.
After 800 steps on 128 px crops the fast restorer gained 1.7, 4.3 and 0.7 dB on screens, halftone
and textures, and 0.5, 1.2 and 0.4 dB without bands.

All of it runs on squares of 4 x 4 px as channels, (N, 48, H/4, W/4), since a CPU's convolutions are
fast where there are many channels: twice as fast as depthwise ones on the picture itself. Where no
gradients are wanted, a CPU has a faster way still (`demoire.models.picture_bands`).

References:
    Starck, Fadili, Murtagh: "The undecimated wavelet decomposition and its reconstruction", IEEE
    Transactions on Image Processing, 2007.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SQUARE = 4  # px, side of a square that becomes channels
CHANNELS = 3 * SQUARE**2

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # at -2, -1, 0, 1, 2 times the hole

# The holes of the first two steps (1 and 2 px) are smaller than a square, so their taps fall on
# other channels as well as on other squares. Later holes are whole squares: their taps stay on the
# same channel, and a dilated depthwise convolution does.
_STEPS_WITHIN_SQUARES = 2

_Direction = Literal["down", "across"]


class Bands(nn.Module):
    """Splits a picture into bands: (N, 48, h, w) -> a list of `count` tensors of that shape.

    The input is squares of a picture as channels, in the order of `pixel_unshuffle`. The widths
    (sigma) of the smoothings behind the bands are about 1, 2.2, 4.6 and 9.2 px. There is nothing to
    learn here, and the buffers are not part of any weights file.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        for step in range(min(count, _STEPS_WITHIN_SQUARES)):
            down = _weights_between_squares(2**step, "down")
            across = _weights_between_squares(2**step, "across")
            self.register_buffer(f"down{step}", down, persistent=False)
            self.register_buffer(f"across{step}", across, persistent=False)
        taps = torch.tensor(TAPS).expand(CHANNELS, 1, 5)
        self.register_buffer("down", taps[..., None].contiguous(), persistent=False)
        self.register_buffer("across", taps[:, :, None].contiguous(), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The bands, the finest first."""
        bands = []
        for step in range(self.count):
            smooth = self._smooth(self._smooth(x, step, "across"), step, "down")
            bands.append(x - smooth)
            x = smooth
        return bands

    def _smooth(self, x: Tensor, step: int, direction: _Direction) -> Tensor:
        if step < _STEPS_WITHIN_SQUARES:
            weights = self.get_buffer(f"{direction}{step}")
            groups = 3  # each colour for itself
            dilation = 1
            reach = 1
        else:
            weights = self.get_buffer(direction)
            groups = CHANNELS
            dilation = 2 ** (step - _STEPS_WITHIN_SQUARES)
            reach = 2 * dilation
        padding = (0, 0, reach, reach) if direction == "down" else (reach, reach, 0, 0)
        padded = F.pad(x, padding, mode="replicate")
        return F.conv2d(padded, weights, dilation=dilation, groups=groups)


def energies(bands: Sequence[Tensor]) -> Tensor:
    """How strong each band is in each square, colour by colour.

    This is what a Wiener filter weighs its bands by. A network can work it out for itself, but
    comes to it late.

    Args:
        bands: Tensors (N, 48, h, w), as `Bands` gives them.

    Returns:
        (N, 3 * bands, h, w): ten times the RMS, at most 4.
    """
    n, _, h, w = bands[0].shape
    powers = [band.square().view(n, 3, SQUARE**2, h, w).mean(dim=2) for band in bands]
    return bounded_strengths(torch.cat(powers, dim=1))


def bounded_strengths(powers: Tensor) -> Tensor:
    """What `energies` gives, of the mean squares of samples."""
    return (powers + 1e-6).sqrt().mul(10).clamp_max(4)


def _weights_between_squares(hole: int, direction: _Direction) -> Tensor:
    """Weights of a convolution that smooths within and between neighbouring squares.

    A pixel's channel is `SQUARE * row + column`. For each pixel of a square and each tap, the pixel
    that the tap reads lies in the same square or in a neighbouring one: which one says where in the
    kernel of three squares the tap goes.

    Returns:
        (48, 16, 3, 1) downwards or (48, 16, 1, 3) across, for a convolution in three groups.
    """
    weights = torch.zeros(SQUARE**2, SQUARE**2, 3)
    for pixel in range(SQUARE**2):
        row, column = divmod(pixel, SQUARE)
        for offset, tap in zip(range(-2, 3), TAPS, strict=True):
            if direction == "down":
                square, read_row = divmod(row + offset * hole, SQUARE)
                read_pixel = read_row * SQUARE + column
            else:
                square, read_column = divmod(column + offset * hole, SQUARE)
                read_pixel = row * SQUARE + read_column
            weights[pixel, read_pixel, 1 + square] += tap
    weights = weights.repeat(3, 1, 1)
    if direction == "down":
        return weights[..., None]
    return weights[:, :, None]
