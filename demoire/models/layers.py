"""What the networks are built from: activations by name, the residual block, and the count of their
cost.

Plain convolutions only: depthwise convolutions and normalisation layers cost more time on a CPU
than their multiplications say, and anything that averages over the whole picture would make a tile
differ from the same place in the whole.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Activation = Literal["relu", "gelu", "sigmoid", "tanh", "simple_gate"]


class SimpleGate(nn.Module):
    """Multiplies one half of the channels by the other: (N, 2C, H, W) -> (N, C, H, W).

    From "Simple Baselines for Image Restoration" (Chen et al., 2022).
    """

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return left * right


_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "simple_gate": SimpleGate,
}


def activation_layer(name: Activation) -> nn.Module:
    """A fresh layer of this activation. `simple_gate` takes twice the channels that it gives: see
    `fan_out`.
    """
    return _ACTIVATIONS[name]()


def fan_out(width: int, activation: Activation) -> int:
    """Channels that a convolution has to give so that `width` remain after the activation."""
    return 2 * width if activation == "simple_gate" else width


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))) at one width, (N, width, H, W) -> the same.

    The second convolution starts at a tenth of its usual size, so that a deep stack starts near the
    identity and needs no normalisation.
    """

    def __init__(self, width: int, kernel_size: int, activation: Activation) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.first = nn.Conv2d(width, fan_out(width, activation), kernel_size, padding=padding)
        self.activation = activation_layer(activation)
        self.second = nn.Conv2d(width, width, kernel_size, padding=padding)
        with torch.no_grad():
            self.second.weight.mul_(0.1)
            self.second.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.activation(self.first(x)))


def starting_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, which gives zero until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def down_layers(widths: Sequence[int]) -> nn.ModuleList:
    """From each width to the next at half the size: (N, widths[i], H, W) -> (N, widths[i + 1], H/2,
    W/2).
    """
    return nn.ModuleList(nn.Conv2d(wide, deep, 2, stride=2) for wide, deep in pairwise(widths))


def up_layers(widths: Sequence[int]) -> nn.ModuleList:
    """The way back: (N, widths[i + 1], H, W) -> (N, widths[i], 2H, 2W)."""
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(deep, 4 * wide, 1), nn.PixelShuffle(2))
        for wide, deep in pairwise(widths)
    )


def down_and_up(
    features: Tensor,
    encoders: nn.ModuleList,
    downs: nn.ModuleList,
    middle: nn.Module,
    ups: nn.ModuleList,
    decoders: nn.ModuleList,
) -> Tensor:
    """The way of a U-shaped network: encode and halve, level by level, and back, adding what each
    level had: one shape.

    All lists go from fine to coarse.
    """
    skips: list[Tensor] = []
    for encoder, down in zip(encoders, downs, strict=True):
        features = encoder(features)
        skips.append(features)
        features = down(features)
    features = middle(features)
    for up, decoder, skip in zip(reversed(ups), reversed(decoders), reversed(skips), strict=True):
        features = decoder(up(features) + skip)
    return features


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Within it, layers compute as their weights are stored, whatever `torch.autocast` around it
    says.
    """
    # it is not on "meta", where costs are counted
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def exact_float32(device: torch.device) -> None:
    """From now on float32 means float32 on this device: by default a GPU's convolutions round it to
    ten bits (TF32).
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False


def channels_last(network: nn.Module) -> nn.Module:
    """Lay the convolutions' weights out channels last, in place: the faster way on CPUs and GPUs
    alike.
    """
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    # multiply-accumulates of all convolutions, linear layers and attention, per input pixel
    macs_per_pixel: float
    parameters: int


def network_cost(network: nn.Module, side: int = 256) -> Cost:
    """Count by running the layers' shapes alone, without data, on an input (1, 3, side, side).

    side: px, a multiple of what the network asks for. Biases, activations and pooling are not
    counted, as is usual; attention's two products are.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    parameters = {name: torch.empty_like(value, device="meta") for name, value in tensors.items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(
            network, parameters, (torch.empty(1, 3, side, side, device="meta"),)
        )
    # A floating-point operation is a multiplication or an addition: two of them are one
    # multiply-accumulate.
    return Cost(
        counter.get_total_flops() / 2 / side**2,
        sum(value.numel() for value in network.parameters()),
    )
