"""What training makes small.

The restorer's loss looks at the pixels and, averaged over 4 and 16 px, at what is left of wide
bands: these are faint in every single pixel and would hardly count otherwise. Parts for the
spectrum, for coloured bands, for the mean tone of regions and for the steepness of edges can be
added. All take the sRGB values that people see, 0..1. What a discriminator says is in
`demoire.training.adversarial`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from demoire.training.config import DetectorLossConfig, RestorerLossConfig

_CHARBONNIER_EPSILON = 1e-3
_PSNR_EPSILON = 1e-5  # 50 dB: what is better already is not worth a step
_TONE_EPSILON = (0.2 / 255) ** 2
_REGION = 32  # px, whose mean tone should stay
_EDGE_SHARE = 0.03  # of the picture, where the truth is steepest, as `measure.restoration` has it
_EDGE_SOFTNESS = 0.8  # px, sigma of the derivative
_EDGE_STRIDE = 13  # one pixel in so many tells what is steep: ranking all would cost half a step
_LEAST_STEEP = 4 / 255  # a pixel; what rises less steeply is grain or a slope, and no edge
# In CIELAB's units, of which two are just seen. It keeps the slope at zero finite.
_CHROMA_EPSILON = 0.5
# px. Coloured bands are wider; the dots and subpixels that also have colour are narrower.
_BLUR_SIGMA = 4.0
_BLUR_STRIDE = 4  # px; a picture that was blurred so much needs no more samples
# Linear RGB to CIE XYZ under D65 (IEC 61966-2-1), and the white point of D65.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def charbonnier(difference: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2), an L1 that is round at zero (Charbonnier et al., 1994)."""
    return (difference.square() + _CHARBONNIER_EPSILON**2).sqrt().mean()


def psnr_loss(difference: Tensor) -> Tensor:
    """Mean over the pictures of log10 of their mean squared error: minus a tenth of the PSNR.

    It is 0 at 50 dB and above. Every decibel counts the same, in a picture that is nearly right as
    in one that is far off (after "Simple Baselines for Image Restoration", Chen et al., 2022).
    """
    error = difference.square().mean(dim=(1, 2, 3))
    return ((error + _PSNR_EPSILON) / _PSNR_EPSILON).log10().mean()


def multi_scale_loss(difference: Tensor, scales: Sequence[int]) -> Tensor:
    """Mean absolute difference after averaging over squares, summed over the sizes of squares.

    Args:
        difference: (N, 3, H, W).
        scales: Sides of the squares, px.
    """
    parts = [F.avg_pool2d(difference, scale).abs().mean() for scale in scales]
    return torch.stack(parts).sum()


def frequency_loss(difference: Tensor) -> Tensor:
    """Mean magnitude of the orthonormal spectrum of a difference (N, 3, H, W).

    A pattern is a peak there, and counts however narrow it is.
    """
    spectrum: Tensor = torch.fft.rfft2(difference.contiguous(), norm="ortho")
    return spectrum.abs().mean()


def _linear(pictures: Tensor) -> Tensor:
    """sRGB 0..1 to linear light (IEC 61966-2-1); values beyond 0..1 follow the same curve."""
    # Clamped, since backward would take a power of a negative number.
    curve = ((pictures.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(pictures > 0.04045, curve, pictures / 12.92)


def _chroma(linear: Tensor) -> Tensor:
    """CIELAB's a* and b* (N, 2, H, W) of linear RGB (N, 3, H, W) under D65 (CIE 15:2004)."""
    matrix = linear.new_tensor(_RGB_TO_XYZ)
    white = linear.new_tensor(_WHITE).view(1, 3, 1, 1)
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear) / white
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(dim=1)
    return torch.stack([500 * (x - y), 200 * (y - z)], dim=1)


def _blurred(pictures: Tensor) -> Tensor:
    """Blur by a Gaussian of 4 px and keep every fourth pixel.

    (N, 3, H, W) -> (N, 3, ceil(H / 4), ceil(W / 4)).
    """
    radius = math.ceil(3 * _BLUR_SIGMA)
    offsets = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    weights = torch.exp(-offsets.square() / (2 * _BLUR_SIGMA**2))
    weights = (weights / weights.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights, stride=(1, _BLUR_STRIDE), groups=3)
    return F.conv2d(rows, weights.mT, stride=(_BLUR_STRIDE, 1), groups=3)


def colour_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean distance in CIELAB's plane of a* and b*, over 100, of pictures seen from afar.

    "From afar" means blurred in linear light, as S-CIELAB does: coloured bands count, and the
    coloured dots of halftone, which the eye mixes, do not. Lightness is left to the other parts of
    the loss.

    Args:
        restored: (N, 3, H, W) sRGB 0..1; H and W above 12 px.
        clean: The same, the truth.

    References:
        Zhang and Wandell, "A spatial extension of CIELAB", 1996.
    """
    chroma_restored = _chroma(_blurred(_linear(restored)))
    chroma_clean = _chroma(_blurred(_linear(clean)))
    squared = (chroma_restored - chroma_clean).square().sum(dim=1)
    distance = (squared + _CHROMA_EPSILON**2).sqrt() - _CHROMA_EPSILON
    return distance.mean() / 100


def tone_loss(difference: Tensor) -> Tensor:
    """How far the mean tone of regions of 32 px is off, as `psnr_loss` counts it.

    It is 0 where regions are off by a fifth of a step of 8 bits, which no file can show.

    Args:
        difference: (N, 3, H, W), H and W of at least 32 px.
    """
    error = F.avg_pool2d(difference, _REGION).square().mean(dim=(1, 2, 3))
    return ((error + _TONE_EPSILON) / _TONE_EPSILON).log10().mean()


def _gradients(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 2, H, W): the derivative of the mean of the colours, across and down."""
    radius = math.ceil(4 * _EDGE_SOFTNESS)
    offsets = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    smooth = torch.exp(-offsets.square() / (2 * _EDGE_SOFTNESS**2))
    smooth = smooth / smooth.sum()
    rising = offsets * smooth
    rising = rising / (rising * offsets).sum()
    kernels = torch.stack([torch.outer(smooth, rising), torch.outer(rising, smooth)])
    luma = F.pad(pictures.mean(dim=1, keepdim=True), (radius,) * 4, mode="reflect")
    return F.conv2d(luma, kernels[:, None])


def edge_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """By how much the truth's steepest edges became flatter, mean over the pictures.

    It is what `demoire.measure.restoration.edges_kept` lacks to 1, at the steepest 3 % of the truth
    as far as these are edges at all. Steeper ones cost nothing here: the pixels' part of the loss
    sees them.

    Args:
        restored: (N, 3, H, W) sRGB 0..1.
        clean: The same, the truth.
    """
    wanted = _gradients(clean)
    there = _gradients(restored)
    steepness = wanted.square().sum(dim=1).flatten(1)
    some = steepness[:, ::_EDGE_STRIDE]
    rank = max(1, round((1 - _EDGE_SHARE) * some.shape[1]))
    least = some.kthvalue(rank, dim=1, keepdim=True).values.clamp_min(_LEAST_STEEP**2)
    steep = steepness >= least
    along = (wanted * there).sum(dim=1).flatten(1)
    whole = (steepness * steep).sum(dim=1)
    slope = (along * steep).sum(dim=1) / whole.clamp_min(_LEAST_STEEP**2)
    has_edges = steep.any(dim=1)
    return torch.where(has_edges, (1 - slope).clamp_min(0), 0).mean()


def restorer_loss(
    restored: Tensor, clean: Tensor, known: Tensor, config: RestorerLossConfig
) -> Tensor:
    """The restorer's loss against the truth, without what a discriminator would add.

    Args:
        restored: (N, 3, H, W) sRGB, about 0..1.
        clean: The same, the truth.
        known: (N, 1, H, W) or (N, 1, 1, 1), 0..1: how far the truth is known. Where it is not, the
            loss does not look.
        config: Which parts, and how much each counts.

    Returns:
        A scalar.
    """
    difference = (restored - clean) * known
    if config.pixel == "l2":
        loss = difference.square().mean()
    elif config.pixel == "l1":
        loss = difference.abs().mean()
    elif config.pixel == "psnr":
        loss = psnr_loss(difference)
    else:
        loss = charbonnier(difference)
    if config.multi_scale:
        loss = loss + config.multi_scale * multi_scale_loss(difference, config.scales)
    if config.frequency:
        loss = loss + config.frequency * frequency_loss(difference)
    if config.colour:
        loss = loss + config.colour * colour_loss(clean + difference, clean)
    if config.tone:
        loss = loss + config.tone * tone_loss(difference)
    if config.edges:
        loss = loss + config.edges * edge_loss(clean + difference, clean)
    return loss


def detector_loss(logits: Tensor, kinds: Tensor, config: DetectorLossConfig) -> Tensor:
    """Cross entropy, focal where `config.focal_gamma` is above 0.

    Args:
        logits: (N, 4), one for each kind of `demoire.moire.KINDS`.
        kinds: (N,) indexes of the true kinds.
        config: Label smoothing and gamma.

    Returns:
        A scalar.

    References:
        Lin et al., "Focal loss for dense object detection", 2017.
    """
    each = F.cross_entropy(logits, kinds, reduction="none", label_smoothing=config.label_smoothing)
    if not config.focal_gamma:
        return each.mean()
    right = logits.softmax(dim=1).gather(1, kinds[:, None])[:, 0]
    return ((1 - right) ** config.focal_gamma * each).mean()
