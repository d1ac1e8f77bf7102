"""The default restorer: a U-shaped CNN on four scales, 1/4 to 1/32 of the picture.

A 4 x 4 convolution of stride 4 takes in every pixel. (It is a pixel unshuffle and its first mixing
in one, on a CPU five times as fast as the two apart.) Fine moiré is told from texture at 1/4; bands
that are hundreds of pixels wide are seen at 1/32. The network says how much of each band of its
input to take away where (`demoire.models.bands`), and what to add besides. Both start at zero: what
the network does not know it leaves alone. There is no normalisation and nothing global, so a window
with a halo comes out as the same part of the whole picture does, to within 1 in 255. That takes 192
px, and 224 of `restorer-large`, which is deeper; with 96 px pixels were off by up to 17 and 35.

The default costs 24.1 kMAC a pixel and has 2.6 M parameters; `FAST` costs 5.8 kMAC and has 0.7 M.
The shipped weights of the default have fewer channels within their blocks: 20.1 kMAC and 1.5 M.
"""

from collections.abc import Sequence
from dataclasses import field
from math import ceil
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, PositiveInt, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from demoire.imaging.boxes import Box
from demoire.models.bands import CHANNELS, SQUARE, Bands, energies
from demoire.models.layers import (
    Activation,
    ResidualBlock,
    down_and_up,
    down_layers,
    starting_at_zero,
    up_layers,
)
from demoire.models.picture_bands import CHANNEL_ORDER, as_channels, in_squares, split_picture
from demoire.models.precision import full_precision

# Of all that could matter to a pixel, what lies farther away changes no sample by more than 1 in
# 255: measured on photographs and a newspaper (tests/benchmarks/halo.py), by steps of 32 px.
_REACH_THAT_COUNTS = 0.7

_MEMORY = 0.84e9  # bytes that a window may take
_MOST = 7_200_000  # pixels of a window
_STRIPE = 16  # rows of squares whose bands are weighed together, so that they stay in the cache


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class UNetConfig:
    """The structure of a U-Net.

    Networks of equal configurations can load each other's weights.
    """

    widths: tuple[int, int, int, int] = (56, 96, 144, 160)  # channels at 1/4, 1/8, 1/16, 1/32
    # Residual blocks on the way down at 1/4, 1/8, 1/16.
    encoder_depths: tuple[int, int, int] = (1, 1, 1)
    middle_depth: int = 2  # residual blocks at 1/32
    # Residual blocks on the way up at 1/4, 1/8, 1/16.
    decoder_depths: tuple[int, int, int] = (2, 1, 1)
    kernel_size: int = 3
    activation: Activation = "relu"
    # Into how many bands the picture is split; see `demoire.models.bands`.
    bands: int = 3
    # Channels between the two convolutions of a residual block, by its name ("encoders.1.0"), where
    # they are not as many as around it; see `demoire.training.pruning`.
    hidden: dict[str, PositiveInt] = field(default_factory=dict)
    architecture: Literal["unet"] = "unet"

    @model_validator(mode="after")
    def _check(self) -> "UNetConfig":
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError("kernel_size has to be odd")
        if self.bands < 1:
            raise ValueError("bands has to be positive")
        depths = (*self.encoder_depths, self.middle_depth, *self.decoder_depths)
        if min(self.widths) < 1 or min(depths) < 0:
            raise ValueError("widths have to be positive and depths not negative")
        strangers = self.hidden.keys() - self.hidden_channels().keys()
        if strangers:
            raise ValueError(f"hidden names blocks that are not there: {', '.join(strangers)}")
        return self

    @property
    def reach(self) -> int:
        """px to the farthest that the convolutions of residual blocks see, on each side."""
        fine_levels = zip(self.encoder_depths, self.decoder_depths, strict=True)
        depths = [down + up for down, up in fine_levels] + [self.middle_depth]
        radius = self.kernel_size // 2
        return sum(2 * depth * radius * (SQUARE << level) for level, depth in enumerate(depths))

    def hidden_channels(self) -> dict[str, int]:
        """Channels between the two convolutions of each residual block, by the block's name."""
        groups = {"middle": (self.middle_depth, self.widths[-1])}
        for way, depths in (("encoders", self.encoder_depths), ("decoders", self.decoder_depths)):
            for level, (depth, width) in enumerate(zip(depths, self.widths[:-1], strict=True)):
                groups[f"{way}.{level}"] = (depth, width)
        channels = {}
        for group, (depth, width) in groups.items():
            for number in range(depth):
                name = f"{group}.{number}"
                channels[name] = self.hidden.get(name, width)
        return channels


FAST = UNetConfig(widths=(32, 48, 64, 96), encoder_depths=(0, 1, 1), decoder_depths=(1, 1, 1))
"""The structure of the weights `restorer-fast`."""


class UNet(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without.

    The result may leave 0..1 a little. H and W have to be multiples of `multiple`. A window cut on
    that grid needs `halo` px of its surroundings on each side.
    """

    multiple: ClassVar[int] = 32  # px

    @property
    def halo(self) -> int:
        """px: a part of the farthest that the convolutions see, up to the restorer's multiple."""
        return ceil(_REACH_THAT_COUNTS * self.config.reach / self.multiple) * self.multiple

    @property
    def most(self) -> int:
        """Pixels of the largest window: as many as take some 0.8 GB on a CPU.

        The picture and its bands take 60 bytes a pixel, and each channel at 1/4 one: seven arrays
        of it in bfloat16. Halves of a photograph of 12 MP fit; still larger windows, which narrow
        networks could have, gain less by smaller halos than fresh memory costs.
        """
        return min(_MOST, int(_MEMORY / (60 + self.config.widths[0])))

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], SQUARE, stride=SQUARE)
        self.encoders = nn.ModuleList(
            _blocks(f"encoders.{level}", depth, widths[level], config)
            for level, depth in enumerate(config.encoder_depths)
        )
        self.downs = down_layers(widths)
        self.middle = _blocks("middle", config.middle_depth, widths[-1], config)
        self.ups = up_layers(widths)
        self.decoders = nn.ModuleList(
            _blocks(f"decoders.{level}", depth, widths[level], config)
            for level, depth in enumerate(config.decoder_depths)
        )
        last = nn.Conv2d(widths[0], CHANNELS, config.kernel_size, padding=config.kernel_size // 2)
        self.head = nn.Sequential(starting_at_zero(last), nn.PixelShuffle(SQUARE))
        self.bands = Bands(config.bands)
        self.energies = nn.Conv2d(3 * config.bands, widths[0], 3, padding=1)
        self.gains = starting_at_zero(nn.Conv2d(widths[0], CHANNELS * config.bands, 1))
        # Kernels of a convolution that lays the squares of the picture out as channels, faster
        # than `pixel_unshuffle` does.
        squares = torch.eye(CHANNELS).view(CHANNELS, 3, SQUARE, SQUARE)
        self.register_buffer("squares", squares, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The picture without moiré; see the class."""
        if _is_for_cpu(x):
            return self._part_on_cpu(x, Box(0, 0, *x.shape[2:]))
        with full_precision(x.device):  # pixels need more than the eight bits of bfloat16
            squares = F.conv2d(x, self.get_buffer("squares"), stride=SQUARE)
            bands = self.bands(squares)
            strengths = energies(bands)
        features = down_and_up(self, self.stem(x - 0.5) + self.energies(strengths))
        to_channels, to_picture = self.head
        restored = squares + to_channels(features)
        for number, band in enumerate(bands):
            gain = self._gain(features, number)
            restored.addcmul_(gain.to(band.dtype), band, value=-1)
        picture: Tensor = to_picture(restored)
        return picture

    def _gain(self, features: Tensor, number: int) -> Tensor:
        """How much of a band to take away where, (N, 48, h, w).

        A convolution for each band: the chunks of a single one would lie scattered in memory
        (channels last), and arithmetic on them takes up to a third of the network's time on a CPU.
        """
        part = slice(number * CHANNELS, (number + 1) * CHANNELS)
        bias = self.gains.bias
        assert bias is not None
        return F.conv2d(features, self.gains.weight[part], bias[part])

    def restored_part(self, x: Tensor, part: Box) -> Tensor:
        """As `forward`, but a part of the picture alone.

        What lies around it has to be seen, but on the way up, where half of the multiplications
        are, only as far as the layers that follow reach. Only a CPU makes use of that: elsewhere
        pictures go through the network in batches, and each has another part.

        Args:
            x: (N, 3, H, W) float32 sRGB 0..1.
            part: What is wanted of it, px.

        Returns:
            (N, 3, h, w) over the part.
        """
        if _is_for_cpu(x):
            return self._part_on_cpu(x, part)
        whole: Tensor = self(x)
        return whole[:, :, *part.slices]

    def _part_on_cpu(self, x: Tensor, part: Box) -> Tensor:
        """As `restored_part`, where nothing is to be differentiated."""
        if len(x) > 1:
            return torch.cat([self._part_on_cpu(picture[None], part) for picture in x])
        parts = self._decoded_parts(part, Box(0, 0, *x.shape[2:]))
        restored = self._restored_picture(x[0].permute(1, 2, 0).contiguous().numpy(), parts)
        made = parts[0].scaled(up=SQUARE)
        return restored[None].permute(0, 3, 1, 2)[:, :, *part.within(made)]

    def _decoded_parts(self, part: Box, whole: Box) -> list[Box]:
        """What each level decodes for a part of a picture, px of the finest level.

        That is what its layers and those of finer levels reach, on the coarsest level's grid.
        """
        radius = self.config.kernel_size // 2
        margin = SQUARE * radius  # of the last layer
        parts = []
        for level, depth in enumerate(self.config.decoder_depths):
            margin += 2 * depth * radius * (SQUARE << level)
            seen = part.grown(margin, whole.height, whole.width)
            on_grid = seen.on_grid(self.multiple, whole.height, whole.width)
            parts.append(on_grid.scaled(down=SQUARE))
        return parts

    def _restored_picture(self, picture: NDArray[np.float32], parts: Sequence[Box]) -> Tensor:
        """The first of the parts of a picture (H, W, 3), (h, w, 3).

        Channels that stand for pixels are in the order of `demoire.models.picture_bands`.

        Args:
            picture: The picture.
            parts: What each level decodes.
        """
        part = parts[0]
        split = split_picture(picture, self.bands.count, part)
        features = _stem_of(picture, self.stem).add_(self.energies(split.strengths))
        features = down_and_up(self, features, parts)
        last = self.head[0]
        assert isinstance(last, nn.Conv2d)
        added = F.conv2d(features, *_in_picture_order(last), padding=last.padding)
        gains = [_in_picture_order(self.gains, number) for number in range(self.bands.count)]
        restored = torch.empty(SQUARE * part.height, SQUARE * part.width, 3)
        restored_squares = torch.from_numpy(in_squares(restored.numpy()))
        squares = torch.from_numpy(in_squares(picture))[part.slices]
        for top in range(0, len(squares), _STRIPE):
            rows = slice(top, top + _STRIPE)
            of_rows = features[:, :, rows]
            of_part = squares[rows].contiguous().add_(_as_squares(added[:, :, rows]))
            for band, kernels_and_bias in zip(split.bands, gains, strict=True):
                gain = _as_squares(F.conv2d(of_rows, *kernels_and_bias))
                of_part.addcmul_(gain.to(band.dtype), band[rows], value=-1)
            restored_squares[rows] = of_part
        return restored


def _stem_of(picture: NDArray[np.float32], stem: nn.Conv2d) -> Tensor:
    """What the first layer makes of a picture (H, W, 3)."""
    squares = np.ascontiguousarray(in_squares(picture))
    channels = as_channels(squares.reshape(*squares.shape[:2], CHANNELS))
    kernels = stem.weight.permute(0, 2, 3, 1).reshape(-1, CHANNELS, 1, 1)
    return F.conv2d(channels.sub_(0.5), kernels, stem.bias)


def _is_for_cpu(x: Tensor) -> bool:
    """Whether a picture lies on a CPU, and nothing is to be differentiated."""
    return x.device.type == "cpu" and not torch.is_grad_enabled()


def _in_picture_order(layer: nn.Conv2d, number: int = 0) -> tuple[Tensor, Tensor]:
    """Kernels and bias of a layer's channels for one band, as `picture_bands` orders them."""
    channels = number * CHANNELS + torch.tensor(CHANNEL_ORDER)
    assert layer.bias is not None
    return layer.weight[channels], layer.bias[channels]


def _as_squares(channels: Tensor) -> Tensor:
    """(1, 48, h, w) channels last -> a view (h, w, 4, 12)."""
    _, _, height, width = channels.shape
    return channels[0].permute(1, 2, 0).reshape(height, width, SQUARE, -1)


def _blocks(group: str, count: int, width: int, config: UNetConfig) -> nn.Sequential:
    """The residual blocks of one level; the group and a block's number make its name."""
    channels = config.hidden_channels()
    blocks = nn.Sequential()
    for number in range(count):
        hidden = channels[f"{group}.{number}"]
        blocks.append(ResidualBlock(width, hidden, config.kernel_size, config.activation))
    return blocks
