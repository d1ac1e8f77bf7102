"""DMCNN: plain stacks of convolutions on five scales side by side, 1/1 to 1/16, upsampled and
summed.

After "Moiré photo restoration using multiresolution convolutional neural networks" (Sun, Yu, Wang,
2018): each branch takes the first features of the branch above at half the size, thinks for itself,
and climbs back to full size by transposed convolutions; no branch sees what another one found. The
stack at full size is most of the cost. What differs from the paper: the sum is added to the input,
so that an untrained network gives its input back.

The default has the paper's widths: 1.2 M parameters, 286 kMAC a pixel. Nothing is global.
"""

from typing import ClassVar, Literal

from pydantic import ConfigDict, PositiveInt, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from demoire.models.layers import starting_at_zero


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DMCNNConfig:
    """The structure of a DMCNN. Equal configurations make networks that can load each other's
    weights.
    """

    # channels of the stacks at 1/1 to 1/16
    widths: tuple[int, int, int, int, int] = (64, 64, 64, 64, 64)
    depth: PositiveInt = 5  # convolutions of each stack
    outer_width: PositiveInt = 32  # channels before and after the stacks
    architecture: Literal["dmcnn"] = "dmcnn"

    @model_validator(mode="after")
    def _check(self) -> "DMCNNConfig":
        if min(self.widths) < 1:
            raise ValueError("widths have to be positive")
        return self


def _conv(into: int, out: int, stride: int = 1) -> nn.Sequential:
    """A convolution with its activation. Its first weights keep the size of what passes through a
    deep stack.
    """
    conv = nn.Conv2d(into, out, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.ReLU())


def _climb(width: int) -> nn.Sequential:
    """(N, width, H, W) -> (N, width, 2H, 2W)."""
    return nn.Sequential(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU())


class _Branch(nn.Module):
    """One scale's stack and its way back up: (N, outer_width, H, W) -> (N, 3, 2^level H, 2^level
    W).
    """

    def __init__(self, level: int, width: int, config: DMCNNConfig) -> None:
        super().__init__()
        outer = config.outer_width
        inner = (_conv(width, width) for _ in range(config.depth - 1))
        self.stack = nn.Sequential(_conv(outer, width), *inner, _conv(width, outer))
        self.climb = nn.Sequential(*(_climb(outer) for _ in range(level)))
        self.last = starting_at_zero(nn.Conv2d(outer, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.climb(self.stack(x)))


class DMCNN(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without; the result may leave
    0..1 a little.

    H and W have to be multiples of `multiple`. A tile cut on that grid needs `halo` px of its
    surroundings on each side.
    """

    multiple: ClassVar[int] = 16
    halo: ClassVar[int] = 128

    def __init__(self, config: DMCNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DMCNNConfig()
        outer = config.outer_width
        self.first = nn.Sequential(_conv(3, outer), _conv(outer, outer))
        self.downs = nn.ModuleList(
            nn.Sequential(_conv(outer, outer, stride=2), _conv(outer, outer)) for _ in range(4)
        )
        self.branches = nn.ModuleList(
            _Branch(level, width, config) for level, width in enumerate(config.widths)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x - 0.5)
        restored = x + self.branches[0](features)
        for down, branch in zip(self.downs, self.branches[1:], strict=True):
            features = down(features)
            restored = restored + branch(features)
        return restored
