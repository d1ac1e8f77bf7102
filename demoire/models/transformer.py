"""A U-shaped restorer with transformer blocks: convolutions at 1/4, attention within windows at
1/8, 1/16 and 1/32.

Attention compares every place of a window with every other, so a beat is recognised by its
repetition, however far apart; a convolution learns that only as far as its kernel reaches. The
blocks are those of Restormer (Zamir et al., 2022), attention and then a gated feed-forward layer;
but Restormer attends over the channels of the whole picture, and a tile would differ from the same
place in the whole. So attention stays within fixed windows, as in Uformer (Wang et al., 2022): 128
px square at every scale, 16 x 16, 8 x 8 and 4 x 4 places. They lie on the grid that tiles are cut
on: a tile has the whole picture's windows. They are never shifted: a convolution before each
attention looks across their edges, and gives every place what lies around it in place of an
embedding of positions. Layer normalisation is over the channels of one place.

The default costs 19.2 kMAC a pixel, 1.7 of them for the products of attention, and has 2.5 M
parameters.
"""

from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from demoire.models.layers import (
    ResidualBlock,
    down_and_up,
    down_layers,
    starting_at_zero,
    up_layers,
)

_WINDOW = 128  # px of the picture, at every scale


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TransformerConfig:
    """The structure of a transformer. Equal configurations make networks that can load each other's
    weights.
    """

    widths: tuple[int, int, int, int] = (48, 64, 96, 128)  # channels at 1/4, 1/8, 1/16, 1/32
    # residual blocks at 1/4, on the way down and on the way up
    outer_depths: tuple[int, int] = (1, 2)
    encoder_depths: tuple[int, int] = (1, 2)  # transformer blocks on the way down at 1/8, 1/16
    middle_depth: NonNegativeInt = 4  # transformer blocks at 1/32
    decoder_depths: tuple[int, int] = (2, 2)  # transformer blocks on the way up at 1/8, 1/16
    head_width: PositiveInt = 32  # channels of one attention head; divides the widths from 1/8 on
    expansion: PositiveInt = 2  # inner channels of a feed-forward layer, in widths
    architecture: Literal["transformer"] = "transformer"

    @model_validator(mode="after")
    def _check(self) -> "TransformerConfig":
        if (
            min(self.widths) < 1
            or min(*self.outer_depths, *self.encoder_depths, *self.decoder_depths) < 0
        ):
            raise ValueError("widths have to be positive and depths not negative")
        if any(width % self.head_width for width in self.widths[1:]):
            raise ValueError("head_width has to divide the widths from 1/8 on")
        return self


class _WindowAttention(nn.Module):
    """Self-attention among the places of each window of side x side places, (N, H, W, width) -> the
    same.
    """

    def __init__(self, width: int, side: int, head_width: int) -> None:
        super().__init__()
        self.side, self.head_width = side, head_width
        self.mix = nn.Linear(width, 3 * width)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        N, H, W, width = x.shape
        side, rows, columns = self.side, H // self.side, W // self.side
        heads = width // self.head_width
        mixed = self.mix(x).view(N, rows, side, columns, side, 3, heads, self.head_width)
        windows = mixed.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(
            3, N * rows * columns, heads, side**2, self.head_width
        )
        attended = F.scaled_dot_product_attention(*windows.unbind())
        attended = attended.view(N, rows, columns, heads, side, side, self.head_width)
        return self.last(attended.permute(0, 1, 4, 2, 5, 3, 6).reshape(N, H, W, width))


class _FeedForward(nn.Module):
    """One half of the inner channels gates the other, place by place: (N, H, W, width) -> the
    same.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 2 * expansion * width)
        self.last = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, passed = self.widen(x).chunk(2, dim=-1)
        return self.last(F.gelu(gate) * passed)


class _Block(nn.Module):
    """Convolution, attention, feed-forward layer, each added to its input: (N, width, H, W) -> the
    same.

    The last layer of each starts at a tenth of its usual size, so that a deep stack starts near the
    identity.
    """

    def __init__(self, width: int, side: int, config: TransformerConfig) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, padding=1)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _WindowAttention(width, side, config.head_width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(width, config.expansion)
        with torch.no_grad():
            for layer in (self.around, self.attention.last, self.feed_forward.last):
                layer.weight.mul_(0.1)
                layer.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        places = (x + self.around(x)).permute(0, 2, 3, 1)
        places = places + self.attention(self.attention_norm(places))
        places = places + self.feed_forward(self.feed_forward_norm(places))
        return places.permute(0, 3, 1, 2)


class Transformer(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without; the result may leave
    0..1 a little.

    H and W have to be multiples of `multiple`, the side of a window. A tile cut on that grid needs
    `halo` px of its surroundings on each side.
    """

    multiple: ClassVar[int] = _WINDOW
    halo: ClassVar[int] = _WINDOW

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        widths = config.widths

        def residual(count: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(widths[0], 3, "relu") for _ in range(count)))

        def attentive(count: int, level: int) -> nn.Sequential:
            side = _WINDOW // 4 // 2**level
            return nn.Sequential(*(_Block(widths[level], side, config) for _ in range(count)))

        down, up = config.outer_depths
        self.stem = nn.Conv2d(3, widths[0], 4, stride=4)
        self.encoders = nn.ModuleList(
            [residual(down), *(attentive(config.encoder_depths[i - 1], i) for i in (1, 2))]
        )
        self.downs = down_layers(widths)
        self.middle = attentive(config.middle_depth, 3)
        self.ups = up_layers(widths)
        self.decoders = nn.ModuleList(
            [residual(up), *(attentive(config.decoder_depths[i - 1], i) for i in (1, 2))]
        )
        last = starting_at_zero(nn.Conv2d(widths[0], 48, 3, padding=1))
        self.head = nn.Sequential(last, nn.PixelShuffle(4))

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x - 0.5)
        features = down_and_up(
            features, self.encoders, self.downs, self.middle, self.ups, self.decoders
        )
        return x + self.head(features)
