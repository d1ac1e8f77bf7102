"""A U-shaped restorer with convolutions at 1/4, and attention within windows at 1/8 to 1/32.

Attention compares every position of a window with every other, so a beat is recognised by its
repetition, however far apart; a convolution learns that only as far as its kernel reaches. The
blocks are those of Restormer, attention and then a gated feed-forward layer. But Restormer attends
over the channels of the whole picture, and a tile would differ from the same part of the whole. So
attention stays within fixed windows, as in Uformer: 128 px square at every scale, 16 x 16, 8 x 8
and 4 x 4 positions. They lie on the grid that tiles are cut on: a tile has the whole picture's
windows. They are never shifted. A convolution before each attention looks across their edges
instead, and tells every position what lies around it, in place of an embedding of positions. Layer
normalisation is over the channels of one position.

The default costs 19.2 kMAC a pixel, 1.7 of them for the products of attention, and has 2.5 M
parameters.

References:
    Zamir et al.: "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR
    2022.
    Wang et al.: "Uformer: A General U-Shaped Transformer for Image Restoration", CVPR 2022.
"""

from typing import ClassVar, Literal

from pydantic import ConfigDict, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from demoire.models.layers import (
    ResidualBlock,
    down_and_up,
    down_layers,
    start_small,
    starting_at_zero,
    up_layers,
)

_WINDOW = 128  # px of the picture, at every scale
_STEM = 4  # px, side of the square that becomes one position at the finest scale


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TransformerConfig:
    """The structure of a transformer.

    Networks of equal configurations can load each other's weights.
    """

    widths: tuple[int, int, int, int] = (48, 64, 96, 128)  # channels at 1/4, 1/8, 1/16, 1/32
    # Residual blocks at 1/4, on the way down and on the way up.
    outer_depths: tuple[int, int] = (1, 2)
    encoder_depths: tuple[int, int] = (1, 2)  # transformer blocks on the way down at 1/8, 1/16
    middle_depth: NonNegativeInt = 4  # transformer blocks at 1/32
    decoder_depths: tuple[int, int] = (2, 2)  # transformer blocks on the way up at 1/8, 1/16
    head_width: PositiveInt = 32  # channels of one attention head; divides the widths from 1/8 on
    expansion: PositiveInt = 2  # inner channels of a feed-forward layer, in widths
    architecture: Literal["transformer"] = "transformer"

    @model_validator(mode="after")
    def _check(self) -> "TransformerConfig":
        depths = (*self.outer_depths, *self.encoder_depths, *self.decoder_depths)
        if min(self.widths) < 1 or min(depths) < 0:
            raise ValueError("widths have to be positive and depths not negative")
        if any(width % self.head_width for width in self.widths[1:]):
            raise ValueError("head_width has to divide the widths from 1/8 on")
        return self


class Transformer(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without.

    The result may leave 0..1 a little. H and W have to be multiples of `multiple`, the side of a
    window. A tile cut on that grid needs `halo` px of its surroundings on each side.
    """

    multiple: ClassVar[int] = _WINDOW  # px
    halo: ClassVar[int] = _WINDOW  # px

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        widths = config.widths
        outer_down, outer_up = config.outer_depths
        self.stem = nn.Conv2d(3, widths[0], _STEM, stride=_STEM)
        self.encoders = nn.ModuleList([_residual_blocks(outer_down, widths[0])])
        for level, depth in enumerate(config.encoder_depths, start=1):
            self.encoders.append(_attention_blocks(depth, level, config))
        self.downs = down_layers(widths)
        self.middle = _attention_blocks(config.middle_depth, 3, config)
        self.ups = up_layers(widths)
        self.decoders = nn.ModuleList([_residual_blocks(outer_up, widths[0])])
        for level, depth in enumerate(config.decoder_depths, start=1):
            self.decoders.append(_attention_blocks(depth, level, config))
        last = starting_at_zero(nn.Conv2d(widths[0], 3 * _STEM**2, 3, padding=1))
        self.head = nn.Sequential(last, nn.PixelShuffle(_STEM))

    def forward(self, x: Tensor) -> Tensor:
        """The picture without moiré; see the class."""
        features = down_and_up(self, self.stem(x - 0.5))
        change: Tensor = self.head(features)
        return x + change


class _Block(nn.Module):
    """Convolution, attention, feed-forward layer, each added to its input.

    (N, width, H, W) -> the same. The last layer of each starts small, so that a deep stack starts
    near the identity.
    """

    def __init__(self, width: int, side: int, config: TransformerConfig) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, padding=1)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _WindowAttention(width, side, config.head_width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(width, config.expansion)
        start_small(self.around)
        start_small(self.attention.last)
        start_small(self.feed_forward.last)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.around(x)
        # Linear layers and layer normalisation want the channels last.
        x = x.permute(0, 2, 3, 1)
        x = x + self.attention(self.attention_norm(x))
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x.permute(0, 3, 1, 2)


class _WindowAttention(nn.Module):
    """Self-attention among the positions of each window: (N, H, W, width) -> the same.

    A window is side x side positions. H and W are multiples of it.
    """

    def __init__(self, width: int, side: int, head_width: int) -> None:
        super().__init__()
        self.side = side
        self.head_width = head_width
        self.mix = nn.Linear(width, 3 * width)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        N, H, W, width = x.shape
        side = self.side
        rows = H // side
        columns = W // side
        heads = width // self.head_width
        # Split both axes into (windows, positions within), and the channels into queries, keys and
        # values of each head. Then bring windows into the batch, and positions into one sequence:
        # (3, N * rows * columns, heads, side * side, head_width).
        mixed = self.mix(x).view(N, rows, side, columns, side, 3, heads, self.head_width)
        windows = mixed.permute(5, 0, 1, 3, 6, 2, 4, 7)
        sequences = windows.reshape(3, N * rows * columns, heads, side * side, self.head_width)
        queries, keys, values = sequences.unbind()
        attended = F.scaled_dot_product_attention(queries, keys, values)
        # And back to where everything was.
        attended = attended.view(N, rows, columns, heads, side, side, self.head_width)
        attended = attended.permute(0, 1, 4, 2, 5, 3, 6).reshape(N, H, W, width)
        result: Tensor = self.last(attended)
        return result


class _FeedForward(nn.Module):
    """One half of the inner channels gates the other: (N, H, W, width) -> the same."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 2 * expansion * width)
        self.last = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, passed = self.widen(x).chunk(2, dim=-1)
        result: Tensor = self.last(F.gelu(gate) * passed)
        return result


def _residual_blocks(count: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, width, 3, "relu") for _ in range(count)))


def _attention_blocks(count: int, level: int, config: TransformerConfig) -> nn.Sequential:
    """Blocks at 1/4 (level 0) to 1/32 (level 3), whose windows have ever fewer positions."""
    side = _WINDOW // _STEM // 2**level
    return nn.Sequential(*(_Block(config.widths[level], side, config) for _ in range(count)))
