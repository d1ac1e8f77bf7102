"""What training makes small.

The restorer's loss looks at the pixels and, averaged over 4 and 16 px, at what is left of wide bands: these are faint
in every single pixel and would hardly count otherwise. Both losses take the sRGB values that people see, 0..1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from demoire.training.config import DetectorLossConfig, RestorerLossConfig

_CHARBONNIER_EPSILON = 1e-3
_WIDE_SCALES = (4, 16)


def charbonnier(difference: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2), an L1 that is round at zero (Charbonnier et al., 1994)."""
    return (difference.square() + _CHARBONNIER_EPSILON**2).sqrt().mean()


def wide_loss(difference: Tensor) -> Tensor:
    """Mean absolute difference of (N, 3, H, W) averaged over squares of 4 and of 16 px, summed over the two scales."""
    return torch.stack([F.avg_pool2d(difference, scale).abs().mean() for scale in _WIDE_SCALES]).sum()


def frequency_loss(difference: Tensor) -> Tensor:
    """Mean magnitude of the spectrum of the difference (N, 3, H, W), orthonormal: its peaks count, however narrow."""
    return torch.fft.rfft2(difference.contiguous(), norm="ortho").abs().mean()


def restorer_loss(restored: Tensor, clean: Tensor, config: RestorerLossConfig) -> Tensor:
    """Scalar loss of (N, 3, H, W) sRGB 0..1 against the truth."""
    difference = restored - clean
    if config.pixel == "l2":
        loss = difference.square().mean()
    elif config.pixel == "l1":
        loss = difference.abs().mean()
    else:
        loss = charbonnier(difference)
    if config.wide:
        loss = loss + config.wide * wide_loss(difference)
    if config.frequency:
        loss = loss + config.frequency * frequency_loss(difference)
    return loss


def detector_loss(logits: Tensor, kinds: Tensor, config: DetectorLossConfig) -> Tensor:
    """Cross entropy of (N, 4) logits against (N,) kind indexes; focal (Lin et al., 2017) where gamma is above 0."""
    each = F.cross_entropy(logits, kinds, reduction="none", label_smoothing=config.label_smoothing)
    if not config.focal_gamma:
        return each.mean()
    right = logits.softmax(dim=1).gather(1, kinds[:, None])[:, 0]
    return ((1 - right) ** config.focal_gamma * each).mean()
