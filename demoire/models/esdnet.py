"""ESDNet, the published reference for demoiréing very large photographs.

It is here so that its checkpoints can be used: the parameters are named as in the published files,
which load as they are, and the structure is read from their shapes.

Encoder and decoder have three levels, 1/2 to 1/8. Each level has a dense block of dilated
convolutions and one or two modules that look at the features at 1, 1/2 and 1/4 of their size, by
dense blocks of their own, and weigh the three against each other channel by channel.

The weighing averages over the whole picture. A tile therefore does not come out quite as the same
part of the whole does, and neighbouring tiles differ a little where they are blended. Unlike the
other architectures this one gives the picture itself, not what is to be added to its input, so an
untrained one gives nothing of use.

ESDNet (one module a level): 5.93 M parameters, 267 kMAC a pixel. ESDNet-L (two): 10.62 M, 439 kMAC.
The heads of the two coarse levels serve the published training alone, which compares the picture at
three sizes. They are kept for the sake of the files, and neither run nor trained.

References:
    Yu et al.: "Towards efficient and scale-robust ultra-high-definition image demoiréing", ECCV
    2022.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

_DILATIONS = (1, 2, 1)  # of a level's dense block
_MODULE_DILATIONS = (1, 2, 3, 2, 1)  # of a scale-aware module's

# The output channels of these four tell the widths and growths, in the order of `ESDNetConfig`.
_TELLING = (
    "encoder.conv_first.0.weight",
    "encoder.encoder_1.rdb.conv_layers.0.conv.0.weight",
    "decoder.preconv_1.conv.0.weight",
    "decoder.decoder_1.rdb.conv_layers.0.conv.0.weight",
)
_MODULE = re.compile(r"encoder\.encoder_1\.sam_blocks\.(\d+)\.")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ESDNetConfig:
    """The structure of an ESDNet.

    The default is the published one, `modules=2` its large variant.
    """

    encoder_width: PositiveInt = 48  # channels at 1/2; twice and four times as many at 1/4 and 1/8
    encoder_growth: PositiveInt = 32  # channels that each convolution of a dense block adds
    decoder_width: PositiveInt = 64  # at every level
    decoder_growth: PositiveInt = 32
    modules: PositiveInt = 1  # scale-aware modules a level
    architecture: Literal["esdnet"] = "esdnet"


class ESDNet(nn.Module):
    """(N, 3, H, W) float32 sRGB 0..1 with moiré -> the same shape without.

    The result may leave 0..1 a little. H and W have to be multiples of `multiple`. `halo` px of a
    tile's surroundings on each side are what its result depends on most; all of the tile goes into
    the averages.
    """

    multiple: ClassVar[int] = 32  # px
    halo: ClassVar[int] = 128  # px

    def __init__(self, config: ESDNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or ESDNetConfig()
        self.encoder = _Encoder(self.config)
        self.decoder = _Decoder(self.config)

    def forward(self, x: Tensor) -> Tensor:
        """The picture without moiré; see the class."""
        picture: Tensor = self.decoder(*self.encoder(x))
        return picture


def published_structure(tensors: Mapping[str, Tensor]) -> ESDNetConfig | None:
    """The structure of the ESDNet that these named tensors are, by their shapes.

    Returns:
        None where they are no ESDNet.
    """
    widths = []
    for name in _TELLING:
        tensor = tensors.get(name)
        if tensor is None or tensor.dim() != 4 or len(tensor) == 0:
            return None
        widths.append(len(tensor))
    modules = set()
    for name in tensors:
        match = _MODULE.match(name)
        if match is not None:
            modules.add(match[1])
    encoder_width, encoder_growth, decoder_width, decoder_growth = widths
    return ESDNetConfig(
        encoder_width=encoder_width,
        encoder_growth=encoder_growth,
        decoder_width=decoder_width,
        decoder_growth=decoder_growth,
        modules=max(1, len(modules)),
    )


def _named(conv: nn.Conv2d, *after: nn.Module) -> nn.Sequential:
    """The layers under the published names: `conv`, or `conv.0` where an activation follows."""
    layers: nn.Module = conv
    if after:
        layers = nn.Sequential(conv, *after)
    return nn.Sequential(OrderedDict(conv=layers))


def _conv_relu(before: int, width: int, dilation: int = 1) -> nn.Sequential:
    return _named(nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation), nn.ReLU())


class _DenseBlock(nn.Module):
    """Each convolution sees the input and the results of all before it.

    (N, width, H, W) -> the same.
    """

    def __init__(self, width: int, growth: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        for number, dilation in enumerate(dilations):
            self.conv_layers.append(_conv_relu(width + number * growth, growth, dilation))
        self.conv_post = _named(nn.Conv2d(width + len(dilations) * growth, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.conv_layers:
            # The published weights expect the newest first.
            x = torch.cat([layer(x), x], dim=1)
        result: Tensor = self.conv_post(x)
        return result


class _Fusion(nn.Module):
    """Three tensors (N, width, H, W) -> their sum, each channel weighed.

    The weights depend on what all channels of the three hold on average.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = 3 * width // 4
        self.compress1 = nn.Conv2d(3 * width, narrow, 1)
        self.compress2 = nn.Conv2d(narrow, narrow, 1)
        self.excitation = nn.Conv2d(narrow, 3 * width, 1)

    def forward(self, full: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        means = [x.mean(dim=(2, 3), keepdim=True) for x in (full, half, quarter)]
        compressed = F.relu(self.compress1(torch.cat(means, dim=1)))
        compressed = F.relu(self.compress2(compressed))
        weights: Tensor = self.excitation(compressed).sigmoid()
        of_full, of_half, of_quarter = weights.chunk(3, dim=1)
        return full * of_full + half * of_half + quarter * of_quarter


def _resized(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear")


class _ScaleAware(nn.Module):
    """Dense blocks at 1, 1/2 and 1/4 of the size, fused and added to the input.

    (N, width, H, W) -> the same. The paper calls it SAM, semantic-aligned scale-aware module.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.basic_block = _DenseBlock(width, growth, _MODULE_DILATIONS)
        self.basic_block_2 = _DenseBlock(width, growth, _MODULE_DILATIONS)
        self.basic_block_4 = _DenseBlock(width, growth, _MODULE_DILATIONS)
        self.fusion = _Fusion(width)

    def forward(self, x: Tensor) -> Tensor:
        half = _resized(self.basic_block_2(_resized(x, 1 / 2)), 2)
        quarter = _resized(self.basic_block_4(_resized(x, 1 / 4)), 4)
        fused: Tensor = self.fusion(self.basic_block(x), half, quarter)
        return x + fused


class _Level(nn.Module):
    """A dense block and its modules at one size: (N, width, H, W) -> the same."""

    def __init__(self, width: int, growth: int, modules: int) -> None:
        super().__init__()
        self.rdb = _DenseBlock(width, growth, _DILATIONS)
        self.sam_blocks = nn.ModuleList(_ScaleAware(width, growth) for _ in range(modules))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.rdb(x)
        for module in self.sam_blocks:
            x = module(x)
        return x


class _EncoderLevel(_Level):
    """A level and its way down, (N, width, H, W) -> (N, 2 width, H/2, W/2)."""

    def __init__(self, width: int, growth: int, modules: int) -> None:
        super().__init__(width, growth, modules)
        self.down = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())


class _DecoderLevel(_Level):
    """A level and its head, (N, width, H, W) -> (N, 12, H, W).

    The twelve channels are a picture of twice the size, its pixels unshuffled.
    """

    def __init__(self, width: int, growth: int, modules: int) -> None:
        super().__init__(width, growth, modules)
        self.conv = _named(nn.Conv2d(width, 12, 3, padding=1))


class _Encoder(nn.Module):
    """(N, 3, H, W) -> features at 1/2, 1/4 and 1/8."""

    def __init__(self, config: ESDNetConfig) -> None:
        super().__init__()
        width = config.encoder_width
        growth = config.encoder_growth
        modules = config.modules
        self.conv_first = nn.Sequential(nn.Conv2d(12, width, 5, padding=2), nn.ReLU())
        self.encoder_1 = _EncoderLevel(width, growth, modules)
        self.encoder_2 = _EncoderLevel(2 * width, growth, modules)
        self.encoder_3 = _Level(4 * width, growth, modules)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.encoder_1(self.conv_first(F.pixel_unshuffle(x, 2)))
        quarter = self.encoder_2(self.encoder_1.down(half))
        eighth = self.encoder_3(self.encoder_2.down(quarter))
        return half, quarter, eighth


class _Decoder(nn.Module):
    """Features at 1/2, 1/4 and 1/8 -> (N, 3, H, W)."""

    def __init__(self, config: ESDNetConfig) -> None:
        super().__init__()
        encoded = config.encoder_width
        width = config.decoder_width
        growth = config.decoder_growth
        modules = config.modules
        self.preconv_3 = _conv_relu(4 * encoded, width)
        self.decoder_3 = _DecoderLevel(width, growth, modules)
        self.preconv_2 = _conv_relu(2 * encoded + width, width)
        self.decoder_2 = _DecoderLevel(width, growth, modules)
        self.preconv_1 = _conv_relu(encoded + width, width)
        self.decoder_1 = _DecoderLevel(width, growth, modules)

    def forward(self, half: Tensor, quarter: Tensor, eighth: Tensor) -> Tensor:
        x = self.decoder_3(self.preconv_3(eighth))
        x = self.decoder_2(self.preconv_2(torch.cat([quarter, _resized(x, 2)], dim=1)))
        x = self.decoder_1(self.preconv_1(torch.cat([half, _resized(x, 2)], dim=1)))
        return F.pixel_shuffle(self.decoder_1.conv(x), 2)
