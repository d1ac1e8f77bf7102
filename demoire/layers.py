"""What the networks are built from: activations by name, the residual block, and the count of their cost.

Plain convolutions only: depthwise convolutions and normalisation layers cost more time on a CPU than their
multiplications say, and anything that averages over the whole picture would make a tile differ from the same place in
the whole.
"""

from dataclasses import dataclass
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
    """A fresh layer of this activation. `simple_gate` takes twice the channels that it gives: see `fan_out`."""
    return _ACTIVATIONS[name]()


def fan_out(width: int, activation: Activation) -> int:
    """Channels that a convolution has to give so that `width` remain after the activation."""
    return 2 * width if activation == "simple_gate" else width


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))) at one width, (N, width, H, W) -> the same.

    The second convolution starts at a tenth of its usual size, so that a deep stack starts near the identity and needs
    no normalisation.
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


def channels_last(network: nn.Module) -> nn.Module:
    """Lay the convolutions' weights out channels last, in place: the faster way on CPUs and GPUs alike."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    macs_per_pixel: float  # multiply-accumulates of all convolutions, linear layers and attention, per input pixel
    parameters: int


def network_cost(network: nn.Module, side: int = 256) -> Cost:
    """Count by running the layers' shapes alone, without data, on an input (1, 3, side, side).

    side: px, a multiple of what the network asks for. Biases, activations and pooling are not counted, as is usual;
    attention's two products are.
    """
    parameters = {name: torch.empty_like(value, device="meta") for name, value in network.state_dict().items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(network, parameters, (torch.empty(1, 3, side, side, device="meta"),))
    # A floating-point operation is a multiplication or an addition: two of them are one multiply-accumulate.
    return Cost(counter.get_total_flops() / 2 / side**2, sum(value.numel() for value in network.parameters()))
