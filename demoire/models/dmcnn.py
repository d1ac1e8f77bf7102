"""DMCNN: plain stacks of convolutions on five scales side by side, 1/1 to 1/16, then summed.

Each branch takes the first features of the branch above at half the size, works on them alone, and
climbs back to full size by transposed convolutions; no branch sees what another one found. The
stack at full size is most of the cost. Unlike the paper's, the sum is added to the input, so that
an untrained network gives its input back.

The default has the paper's widths: 1.2 M parameters, 286 kMAC a pixel. Nothing is global.

References:
    Sun, Yu, Wang: "Moiré photo restoration using multiresolution convolutional neural networks",
    IEEE Transactions on Image Processing, 2018.
"""

from typing import ClassVar, Literal

from pydantic import ConfigDict, PositiveInt, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from demoire.models.layers import starting_at_zero


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DMCNNConfig:
    """The structure of a DMCNN.

    Networks of equal configurations can load each other's weights.
    """

    # Channels of the stacks at 1/1 to 1/16.
    widths: tuple[int, int, int, int, int] = (64, 64, 64, 64, 64)
    depth: PositiveInt = 5  # convolutions of each stack
    outer_width: PositiveInt = 32  # channels before and after the stacks
    architecture: Literal["dmcnn"] = "dmcnn"

    @model_validator(mode="after")
    def _check(self) -> "DMCNNConfig":
        if min(self.widths) < 1:
            raise ValueError("widths have to be positive")
        return self


class DMCNN(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without.

    The result may leave 0..1 a little. H and W have to be multiples of `multiple`. A tile cut on
    that grid needs `halo` px of its surroundings on each side.
    """

    multiple: ClassVar[int] = 16  # px
    halo: ClassVar[int] = 128  # px

    def __init__(self, config: DMCNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DMCNNConfig()
        outer = config.outer_width
        self.first = nn.Sequential(_conv(3, outer), _conv(outer, outer))
        self.downs = nn.ModuleList()
        for _ in config.widths[1:]:
            self.downs.append(nn.Sequential(_conv(outer, outer, stride=2), _conv(outer, outer)))
        self.branches = nn.ModuleList()
        for level, width in enumerate(config.widths):
            self.branches.append(_Branch(level, width, config))

    def forward(self, x: Tensor) -> Tensor:
        """The picture without moiré; see the class."""
        features = self.first(x - 0.5)
        restored: Tensor = x + self.branches[0](features)
        for down, branch in zip(self.downs, self.branches[1:], strict=True):
            features = down(features)
            restored = restored + branch(features)
        return restored


class _Branch(nn.Module):
    """One scale's stack and its way back up.

    (N, outer_width, H, W) -> (N, 3, 2^level H, 2^level W).
    """

    def __init__(self, level: int, width: int, config: DMCNNConfig) -> None:
        super().__init__()
        outer = config.outer_width
        self.stack = nn.Sequential(_conv(outer, width))
        for _ in range(config.depth - 1):
            self.stack.append(_conv(width, width))
        self.stack.append(_conv(width, outer))
        self.climb = nn.Sequential()
        for _ in range(level):
            self.climb.append(_climb(outer))
        self.last = starting_at_zero(nn.Conv2d(outer, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.last(self.climb(self.stack(x)))
        return change


def _conv(before: int, width: int, stride: int = 1) -> nn.Sequential:
    """A convolution with its activation.

    It starts with weights that keep the size of what passes through a deep stack.
    """
    conv = nn.Conv2d(before, width, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.ReLU())


def _climb(width: int) -> nn.Sequential:
    """(N, width, H, W) -> (N, width, 2H, 2W)."""
    return nn.Sequential(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU())
