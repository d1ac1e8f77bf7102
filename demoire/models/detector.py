"""The moiré classifier: does this cell hold moiré, and of which kind?

It looks twice. Strided convolutions down to 1/64 see what the cell shows, and tell cloth, blinds
and print from moiré. The first of them looks at 8 x 8 px in steps of 4, which keeps the finest dots
visible at a sixteenth of the positions. Further convolutions see the cell's power spectra
(`demoire.models.spectrum`), in which a pattern too faint for the first ones is a peak. The mean and
the maximum of each channel of both go through two fully connected layers.

It sees every pixel of an archive, so it costs 0.9 kMAC a pixel, a seventeenth of what the restorer
costs; the spectra take about as much time again as these convolutions. 0.5 M parameters.

A cell's logits become probabilities by one temperature, fitted after training, so that "0.9" is
right nine times in ten. `image_score` makes one score for an image out of its cells'.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from demoire.models.layers import Activation, activation_layer, channels_last, fan_out
from demoire.models.spectrum import PLANES, WINDOW, log_spectra
from demoire.moire import KINDS, MoireKind

# Which cells count for an image's score, and how they are averaged: see `image_score`.
_TOP_SHARE = 0.1
_LEAST_CELLS = 4
_EXPONENT = 0.25


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DetectorConfig:
    """The structure of a detector.

    Networks of equal configurations can load each other's weights.
    """

    # Channels at 1/4, 1/8, 1/16, 1/32, 1/64.
    widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    # Further 3 x 3 convolutions on each of these scales.
    depths: tuple[int, int, int, int, int] = (0, 1, 1, 1, 1)
    hidden: int = 64  # units between the two fully connected layers
    # Channels of the convolutions over the cell's spectra; empty for a detector without them.
    spectrum: tuple[int, ...] = (16, 32, 48)
    activation: Activation = "relu"


@plain_dataclass(frozen=True)
class Calibration:
    """What is set after training and travels with the weights.

    Attributes:
        temperature: What logits are divided by, so that probabilities are true.
        threshold: Image score from which an image has moiré and is cleaned.
        cell_threshold: P(moiré) from which a cell of such an image is restored. It is lower: where
            some of a picture certainly has moiré, a neighbouring cell needs less evidence
            (hysteresis).
        sure: Image score from which the score alone says so. Below it, what was taken away from
            the image has to look like moiré too.
        free_of_doubt: Image score up to which such an image, once it is restored, has lost what
            the detector took for moiré.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    cell_threshold: float = 0.3
    sure: float = 0.96
    free_of_doubt: float = 0.3


class Detector(nn.Module):
    """(N, 3, 256, 256) float32 sRGB 0..1 -> logits (N, 4) in the order of `KINDS`.

    Sides other than 256 px work when they are multiples of `multiple` and at least `minimum`; the
    caller pads what is smaller by reflection.
    """

    multiple: ClassVar[int] = 4  # px
    minimum: ClassVar[int] = WINDOW  # px, one window of the spectra

    def __init__(
        self, config: DetectorConfig | None = None, calibration: Calibration | None = None
    ) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        self.calibration = calibration or Calibration()
        self.features = _feature_stages(self.config)
        self.spectrum: _SpectrumStages | None = None
        pooled_channels = self.config.widths[-1]
        if self.config.spectrum:
            self.spectrum = _SpectrumStages(self.config.spectrum, self.config.activation)
            pooled_channels += self.config.spectrum[-1]
        self.classify = nn.Sequential(
            nn.Linear(2 * pooled_channels, self.config.hidden),
            nn.ReLU(),
            nn.Linear(self.config.hidden, len(KINDS)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits; see the class."""
        views = [self.features(x)]
        if self.spectrum is not None:
            views.append(self.spectrum(x))
        pooled = []
        for view in views:
            pooled.append(view.mean(dim=(2, 3)))
            pooled.append(view.amax(dim=(2, 3)))
        logits: Tensor = self.classify(torch.cat(pooled, dim=1))
        return logits

    def probabilities(self, x: Tensor) -> Tensor:
        """Calibrated probabilities (N, 4) in the order of `KINDS`, each row of sum 1.

        P(moiré) is 1 - the first.
        """
        logits: Tensor = self(x)
        return (logits / self.calibration.temperature).softmax(dim=1)


class _ZeroMeanConv(nn.Conv2d):
    """A convolution whose kernels sum to zero.

    Brightness and colour say nothing of moiré, and would drown what does.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class _SpectrumStages(nn.Module):
    """Convolutions over the log spectra of a cell.

    (N, 3, H, W) sRGB 0..1 -> (N, channels[-1], h, w): 64 x 33 frequencies, halved by each
    convolution but the first. A photograph's spectrum falls smoothly; what repeats is a peak in it,
    wherever in the cell it lies.
    """

    def __init__(self, channels: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(PLANES)
        first = nn.Conv2d(PLANES, fan_out(channels[0], activation), 5, padding=2, bias=False)
        self.stages = nn.Sequential(_stage(first, activation))
        for before, width in pairwise(channels):
            halving = nn.Conv2d(
                before, fan_out(width, activation), 3, stride=2, padding=1, bias=False
            )
            self.stages.append(_stage(halving, activation))

    def forward(self, x: Tensor) -> Tensor:
        spectra = log_spectra(x).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.stages(self.normalise(spectra))
        return features


def _feature_stages(config: DetectorConfig) -> nn.Sequential:
    """Convolutions over the pixels, (N, 3, H, W) -> (N, widths[-1], H/64, W/64)."""
    stages = nn.Sequential()
    before = 3
    conv: nn.Conv2d
    for width, depth in zip(config.widths, config.depths, strict=True):
        channels = fan_out(width, config.activation)
        if len(stages) == 0:
            conv = _ZeroMeanConv(before, channels, 8, stride=4, padding=3, bias=False)
        else:
            conv = nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False)
        stages.append(_stage(conv, config.activation))
        for _ in range(depth):
            conv = nn.Conv2d(width, channels, 3, padding=1, bias=False)
            stages.append(_stage(conv, config.activation))
        before = width
    return stages


def _stage(conv: nn.Conv2d, activation: Activation) -> nn.Sequential:
    """A convolution with its first weights, batch normalisation and activation.

    Once trained, the normalisation is a fixed factor: what else is in the batch does not matter.
    """
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), activation_layer(activation))


def fused(detector: Detector) -> Detector:
    """A copy for inference, with every batch normalisation folded into the convolution before it.

    It gives the same probabilities to within rounding, 1.4 times as fast, and can be neither
    trained nor saved.
    """
    detector = copy.deepcopy(detector).eval()
    stages = list(detector.features)
    if detector.spectrum is not None:
        stages += detector.spectrum.stages
    for stage in stages:
        assert isinstance(stage, nn.Sequential)
        conv = stage[0]
        normalisation = stage[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d)
        # Folding scales whole kernels, so that those of mean 0 stay so.
        stage[0] = fuse_conv_bn_eval(conv, normalisation)
        stage[1] = nn.Identity()
        if isinstance(stage[2], nn.ReLU):
            stage[2] = nn.ReLU(inplace=True)  # nothing else reads what the convolution gave
    channels_last(detector).requires_grad_(False)
    return detector


def image_score(cell_probabilities: ArrayLike, threshold: float = 0.5) -> tuple[float, MoireKind]:
    """One score for an image from the probabilities of its cells, and the kind of moiré.

    The cells that count are the tenth with the highest odds of moiré, at least four: an image of
    which a small part is a screen is found, and one doubtful cell in a large clean image is
    outvoted. Their odds are averaged by the power mean with the exponent 1/4. That lies between the
    geometric mean, which one sure cell beside three clean ones would not move, and the maximum,
    which makes four clean cells four times as likely to be taken for moiré as one.

    Args:
        cell_probabilities: (cells, 4) in the order of `KINDS`.
        threshold: The score from which an image has moiré.

    Returns:
        The score, 0..1, and the likeliest of the three kinds over the same cells, or "none" where
        the score is below the threshold.

    Raises:
        ValueError: There is no cell.
    """
    probabilities = np.asarray(cell_probabilities, dtype=np.float64)
    top = deciding_cells(probabilities)
    odds = np.mean(np.exp(_log_odds(probabilities)[top] * _EXPONENT)) ** (1 / _EXPONENT)
    score = float(odds / (1 + odds))
    if score < threshold:
        return score, "none"
    likeliest = int(probabilities[top, 1:].mean(axis=0).argmax())
    return score, KINDS[1 + likeliest]


def deciding_cells(cell_probabilities: ArrayLike) -> NDArray[np.intp]:
    """The cells that an image's score is made of, the least likely moiré first.

    Args:
        cell_probabilities: (cells, 4) in the order of `KINDS`.

    Raises:
        ValueError: There is no cell.
    """
    probabilities = np.asarray(cell_probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or len(probabilities) == 0:
        raise ValueError("an image has at least one cell")
    count = max(_LEAST_CELLS, math.ceil(_TOP_SHARE * len(probabilities)))
    return np.argsort(_log_odds(probabilities))[-count:]


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of moiré in each cell."""
    clean = np.clip(probabilities[:, 0], 1e-6, 1 - 1e-6)
    log_odds: NDArray[np.float64] = np.log1p(-clean) - np.log(clean)
    return log_odds
