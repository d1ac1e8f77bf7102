"""What the networks are built from: activations by name, the residual block, the U shape.

Plain convolutions only. Depthwise convolutions and normalisation layers cost more time on a CPU
than their multiplications say, and anything that averages over the whole picture would make a tile
differ from the same part of the whole.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from demoire.imaging.boxes import Box

Activation = Literal["relu", "gelu", "sigmoid", "tanh", "simple_gate"]


class SimpleGate(nn.Module):
    """Multiplies one half of the channels by the other: (N, 2C, H, W) -> (N, C, H, W).

    References:
        Chen et al.: "Simple Baselines for Image Restoration", ECCV 2022.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The product of the two halves."""
        left, right = x.chunk(2, dim=1)
        return left * right


_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "simple_gate": SimpleGate,
}


def activation_layer(name: Activation) -> nn.Module:
    """A fresh layer of this activation.

    `simple_gate` takes twice the channels that it gives: see `fan_out`.
    """
    return _ACTIVATIONS[name]()


def fan_out(width: int, activation: Activation) -> int:
    """Channels that a convolution has to give so that `width` remain after the activation."""
    if activation == "simple_gate":
        return 2 * width
    return width


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))), (N, width, H, W) -> the same; there are `hidden` channels between.

    The second convolution starts at a tenth of its usual size, so that a deep stack starts near the
    identity and needs no normalisation.
    """

    def __init__(self, width: int, hidden: int, kernel_size: int, activation: Activation) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.first = nn.Conv2d(width, fan_out(hidden, activation), kernel_size, padding=padding)
        self.activation = activation_layer(activation)
        self.second = nn.Conv2d(hidden, width, kernel_size, padding=padding)
        start_small(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the block adds to it."""
        change: Tensor = self.second(self.activation(self.first(x)))
        return change.add_(x)  # in place, since features are most of a network's memory


def start_small(layer: nn.Conv2d | nn.Linear) -> None:
    """Scale a fresh layer down to a tenth, in place, so that it adds little at first."""
    with torch.no_grad():
        layer.weight.mul_(0.1)
        if layer.bias is not None:
            layer.bias.zero_()


def starting_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, which gives zero until it has learnt something."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def down_layers(widths: Sequence[int]) -> nn.ModuleList:
    """Layers from each width to the next: (N, widths[i], H, W) -> (N, widths[i + 1], H/2, W/2)."""
    return nn.ModuleList(nn.Conv2d(wide, deep, 2, stride=2) for wide, deep in pairwise(widths))


def up_layers(widths: Sequence[int]) -> nn.ModuleList:
    """Layers for the way back: (N, widths[i + 1], H, W) -> (N, widths[i], 2H, 2W)."""
    layers = nn.ModuleList()
    for wide, deep in pairwise(widths):
        layers.append(nn.Sequential(nn.Conv2d(deep, 4 * wide, 1), nn.PixelShuffle(2)))
    return layers


class UShaped(Protocol):
    """A network that goes down to coarse scales and comes back.

    All lists go from fine to coarse.
    """

    encoders: nn.ModuleList
    downs: nn.ModuleList
    middle: nn.Sequential
    ups: nn.ModuleList
    decoders: nn.ModuleList


def down_and_up(network: UShaped, features: Tensor, parts: Sequence[Box] = ()) -> Tensor:
    """The way through a U-shaped network.

    On the way down each level encodes, keeps what it has, and halves. On the way up each level adds
    what the level of the same size kept, and decodes.

    Args:
        network: The network.
        features: (N, widths[0], H, W).
        parts: For each level what of it is decoded, in px of the finest level, where that is not
            all of it. Each lies within that of the next level, at multiples of its px.

    Returns:
        Features of the shape of the input, or of the first part alone.
    """
    whole = Box(0, 0, *features.shape[2:])
    kept: list[Tensor] = []
    for encoder, down in zip(network.encoders, network.downs, strict=True):
        features = encoder(features)
        kept.append(features)
        features = down(features)
    features = network.middle(features)
    before = whole
    for level in reversed(range(len(kept))):
        part = parts[level] if parts else whole
        features = network.ups[level](_part_of(features, part, before, level + 1))
        features = features.add_(_part_of(kept.pop(), part, whole, level))
        features = network.decoders[level](features)
        before = part
    return features


def _part_of(features: Tensor, part: Box, outer: Box, halvings: int) -> Tensor:
    """Cut a part, in px of the finest level, out of features of `outer` after some halvings."""
    rows, columns = part.within(outer)
    down = slice(rows.start >> halvings, rows.stop >> halvings)
    across = slice(columns.start >> halvings, columns.stop >> halvings)
    return features[:, :, down, across]


def channels_last(network: nn.Module) -> nn.Module:
    """Lay the convolutions' weights out channels last, in place.

    That is the faster way on CPUs and GPUs alike.
    """
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
