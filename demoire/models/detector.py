"""The moiré classifier: does this tile hold moiré, and of which kind?

It looks twice. Strided convolutions down to 1/64 see what the tile shows and tell cloth, blinds and
print from moiré; the first looks at 8 x 8 px in steps of 4, which keeps the finest dots visible at
a sixteenth of the positions. Further convolutions see the tile's power spectra
(`demoire.models.spectrum`), in which a pattern too faint for the first ones is a peak. The mean and
the maximum of each channel of both go through two fully connected layers.

It sees every pixel of an archive, so it costs 0.9 kMAC a pixel, a seventeenth of the restorer's,
and the spectra about as much time again as those convolutions. 0.5 M parameters.

A tile's logits become probabilities by one temperature, fitted after training, so that "0.9" is
right nine times in ten. `image_score` makes one score for an image out of its tiles'.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from demoire.models.layers import Activation, activation_layer, channels_last, fan_out
from demoire.models.spectrum import PLANES, log_spectra
from demoire.moire import KINDS, MoireKind

TILE = 256

_TOP_SHARE = 0.1
_LEAST_TILES = 4
_EXPONENT = 0.25


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DetectorConfig:
    """The structure of a detector. Equal configurations make networks that can load each other's
    weights.
    """

    # channels at 1/4, 1/8, 1/16, 1/32, 1/64
    widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    # further 3 x 3 convolutions on each of these scales
    depths: tuple[int, int, int, int, int] = (0, 1, 1, 1, 1)
    hidden: int = 64  # units between the two fully connected layers
    # channels of the convolutions over the tile's spectra; none without
    spectrum: tuple[int, ...] = (16, 32, 48)
    activation: Activation = "relu"


@plain_dataclass(frozen=True)
class Calibration:
    """What is set after training, the first two by validation data, and travels in the weights'
    metadata.
    """

    temperature: float = 1.0
    threshold: float = 0.5  # an image whose score reaches this is cleaned
    tile_threshold: float = 0.3  # a tile of such an image that reaches this is restored


class _ZeroMeanConv(nn.Conv2d):
    """A convolution whose kernels sum to zero: brightness and colour say nothing of moiré, and
    drown what does.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def _stage(
    into: int,
    out: int,
    kernel: int,
    stride: int,
    activation: Activation,
    layer: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    """Convolution, batch normalisation (a fixed factor once trained, so a tile never sees its
    batch), activation.
    """
    channels = fan_out(out, activation)
    conv = layer(into, channels, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(channels), activation_layer(activation))


class _Spectrum(nn.Module):
    """Convolutions over the log spectra of a tile.

    (N, 3, H, W) sRGB 0..1 -> (N, channels[-1], h, w): 64 x 33 frequencies, halved by each
    convolution but the first. A photograph's spectrum falls smoothly; what repeats is a peak in it,
    wherever in the tile it lies.
    """

    def __init__(self, channels: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(PLANES)
        stages = [_stage(PLANES, channels[0], 5, 1, activation)]
        stages += [_stage(into, out, 3, 2, activation) for into, out in pairwise(channels)]
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        spectra = log_spectra(x).contiguous(memory_format=torch.channels_last)
        return self.stages(self.normalise(spectra))


class Detector(nn.Module):
    """(N, 3, 256, 256) float32 sRGB 0..1 -> logits (N, 4) in the order of `KINDS`.

    Sides other than 256 px work when they are multiples of 4 and at least 64; the caller pads what
    is smaller by reflection.
    """

    tile: ClassVar[int] = TILE

    def __init__(
        self, config: DetectorConfig | None = None, calibration: Calibration | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or DetectorConfig()
        self.calibration = calibration or Calibration()
        stages: list[nn.Module] = []
        into = 3
        for scale, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            if scale == 0:
                stages.append(_stage(into, width, 8, 4, config.activation, _ZeroMeanConv))
            else:
                stages.append(_stage(into, width, 3, 2, config.activation))
            stages += [_stage(width, width, 3, 1, config.activation) for _ in range(depth)]
            into = width
        self.features = nn.Sequential(*stages)
        self.spectrum = _Spectrum(config.spectrum, config.activation) if config.spectrum else None
        into += config.spectrum[-1] if config.spectrum else 0
        self.classify = nn.Sequential(
            nn.Linear(2 * into, fan_out(config.hidden, "relu")),
            nn.ReLU(),
            nn.Linear(config.hidden, len(KINDS)),
        )

    @property
    def threshold(self) -> float:
        """The image score from which an image counts as having moiré."""
        return self.calibration.threshold

    @property
    def tile_threshold(self) -> float:
        """P(moiré) from which a tile of such an image is restored; lower than `threshold`
        (hysteresis).
        """
        return self.calibration.tile_threshold

    def forward(self, x: Tensor) -> Tensor:
        found = [self.features(x)]
        if self.spectrum is not None:
            found.append(self.spectrum(x))
        pooled = [
            pool
            for features in found
            for pool in (features.mean(dim=(2, 3)), features.amax(dim=(2, 3)))
        ]
        return self.classify(torch.cat(pooled, dim=1))

    def probabilities(self, x: Tensor) -> Tensor:
        """Calibrated probabilities (N, 4) in the order of `KINDS`, each row of sum 1. P(moiré) is 1
        - the first.
        """
        return (self(x) / self.calibration.temperature).softmax(dim=1)


def fused(detector: Detector) -> Detector:
    """A copy for inference: every batch normalisation is folded into the convolution before it.

    The same probabilities to within rounding, 1.4 times as fast. The copy cannot be trained or
    saved.
    """
    detector = copy.deepcopy(detector).eval()
    for stage in (*detector.features, *(detector.spectrum.stages if detector.spectrum else ())):
        assert isinstance(stage, nn.Sequential)
        conv, normalisation = stage[0], stage[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d)
        # scales whole kernels, so that those of mean 0 stay so
        stage[0] = fuse_conv_bn_eval(conv, normalisation)
        stage[1] = nn.Identity()
    channels_last(detector).requires_grad_(False)
    return detector


def image_score(tile_probabilities: ArrayLike, threshold: float = 0.5) -> tuple[float, MoireKind]:
    """One score for an image from its tiles' probabilities (T, 4), and the kind of moiré.

    The tiles that count are the tenth with the highest odds of moiré, at least four: an image of
    which a small part is a screen is found, and one doubtful tile in a large clean image is
    outvoted. Their odds are averaged by the power mean with the exponent 1/4: between the geometric
    mean, which one sure tile beside three clean ones would not move, and the maximum, which makes
    four clean tiles four times as likely to be taken for moiré as one. The kind is the likeliest of
    the three over the same tiles, or "none" where the score stays below `threshold`. Raises
    ValueError when there is no tile.
    """
    probabilities = np.asarray(tile_probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or not len(probabilities):
        raise ValueError("an image has at least one tile")
    clean = np.clip(probabilities[:, 0], 1e-6, 1 - 1e-6)
    log_odds = np.log1p(-clean) - np.log(clean)
    top = np.argsort(log_odds)[-max(_LEAST_TILES, math.ceil(_TOP_SHARE * len(log_odds))) :]
    odds = np.mean(np.exp(log_odds[top] * _EXPONENT)) ** (1 / _EXPONENT)
    score = float(odds / (1 + odds))
    if score < threshold:
        return score, "none"
    return score, KINDS[1 + int(probabilities[top, 1:].mean(axis=0).argmax())]
