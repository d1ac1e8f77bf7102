"""ESDNet: the published names, shapes and counts, and what its weighing of scales does to a
tile.
"""

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from demoire.models.esdnet import ESDNet, ESDNetConfig, published_structure


def published_shapes(modules: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the authors' program saves them, written down by hand rather than by our
    network.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, out: int, into: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (out, into, kernel, kernel)
        shapes[f"{name}.bias"] = (out,)

    def dense(name: str, width: int, convolutions: int) -> None:
        for i in range(convolutions):
            layer(f"{name}.conv_layers.{i}.conv.0", 32, width + 32 * i, 3)
        layer(f"{name}.conv_post.conv", width, width + 32 * convolutions, 1)

    def level(name: str, width: int) -> None:
        dense(f"{name}.rdb", width, 3)
        for i in range(modules):
            for scale in ("basic_block", "basic_block_2", "basic_block_4"):
                dense(f"{name}.sam_blocks.{i}.{scale}", width, 5)
            fusion = f"{name}.sam_blocks.{i}.fusion"
            layer(f"{fusion}.compress1", 3 * width // 4, 3 * width, 1)
            layer(f"{fusion}.compress2", 3 * width // 4, 3 * width // 4, 1)
            layer(f"{fusion}.excitation", 3 * width, 3 * width // 4, 1)

    layer("encoder.conv_first.0", 48, 12, 5)
    for i, width in ((1, 48), (2, 96), (3, 192)):
        level(f"encoder.encoder_{i}", width)
        if i < 3:
            layer(f"encoder.encoder_{i}.down.0", 2 * width, width, 3)
    for i, into in ((3, 192), (2, 96 + 64), (1, 48 + 64)):
        layer(f"decoder.preconv_{i}.conv.0", 64, into, 3)
        level(f"decoder.decoder_{i}", 64)
        layer(f"decoder.decoder_{i}.conv.conv", 12, 64, 3)
    return shapes


@pytest.mark.parametrize(("modules", "parameters"), [(1, 5_934_156), (2, 10_623_444)])
def test_names_and_shapes_are_the_published_ones(modules: int, parameters: int) -> None:
    with torch.device("meta"):
        network = ESDNet(ESDNetConfig(modules=modules))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes == published_shapes(modules)
    # 5.93 M and 10.62 M in the paper
    assert sum(value.numel() for value in network.parameters()) == parameters


class ByName:
    """The published computation written out with functions alone, each weight fetched by its
    published name.
    """

    def __init__(self, tensors: dict[str, Tensor], modules: int) -> None:
        self._tensors, self._modules = tensors, modules

    def conv(self, name: str, x: Tensor, padding: int = 0, **more: int) -> Tensor:
        return F.conv2d(
            x,
            self._tensors[f"{name}.weight"],
            self._tensors[f"{name}.bias"],
            padding=padding,
            **more,
        )

    def dense(self, name: str, x: Tensor, dilations: tuple[int, ...]) -> Tensor:
        for i, d in enumerate(dilations):
            x = torch.cat(
                [F.relu(self.conv(f"{name}.conv_layers.{i}.conv.0", x, d, dilation=d)), x], dim=1
            )
        return self.conv(f"{name}.conv_post.conv", x)

    def level(self, name: str, x: Tensor) -> Tensor:
        x = x + self.dense(f"{name}.rdb", x, (1, 2, 1))
        for i in range(self._modules):
            module = f"{name}.sam_blocks.{i}"
            scales = []
            for block, size in (("basic_block", 1), ("basic_block_2", 2), ("basic_block_4", 4)):
                small = F.interpolate(x, scale_factor=1 / size, mode="bilinear")
                small = self.dense(f"{module}.{block}", small, (1, 2, 3, 2, 1))
                scales.append(F.interpolate(small, scale_factor=size, mode="bilinear"))
            means = F.adaptive_avg_pool2d(torch.cat(scales, dim=1), 1)
            for layer in ("compress1", "compress2"):
                means = F.relu(self.conv(f"{module}.fusion.{layer}", means))
            weights = torch.sigmoid(self.conv(f"{module}.fusion.excitation", means))
            x = x + (torch.cat(scales, dim=1) * weights).unflatten(1, (3, -1)).sum(dim=1)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv("encoder.conv_first.0", F.pixel_unshuffle(x, 2), 2))
        found = []
        for i in (1, 2, 3):
            found.append(self.level(f"encoder.encoder_{i}", x))
            if i < 3:
                x = F.relu(self.conv(f"encoder.encoder_{i}.down.0", found[-1], 1, stride=2))
        x = found[2]
        for i in (3, 2, 1):
            x = self.level(
                f"decoder.decoder_{i}", F.relu(self.conv(f"decoder.preconv_{i}.conv.0", x, 1))
            )
            if i > 1:
                x = torch.cat(
                    [found[i - 2], F.interpolate(x, scale_factor=2, mode="bilinear")], dim=1
                )
        return F.pixel_shuffle(self.conv("decoder.decoder_1.conv.conv", x, 1), 2)


def test_it_computes_what_the_published_names_stand_for() -> None:
    torch.manual_seed(1)
    network = ESDNet(ESDNetConfig(8, 6, 12, 4, modules=2)).eval()
    picture = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        expected = ByName(network.state_dict(), modules=2)(picture)
        assert torch.allclose(network(picture), expected, atol=1e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize(
    "config", [ESDNetConfig(), ESDNetConfig(modules=2), ESDNetConfig(8, 6, 10, 4, 3)]
)
def test_the_structure_is_read_from_the_shapes(config: ESDNetConfig) -> None:
    with torch.device("meta"):
        tensors = ESDNet(config).state_dict()
    assert published_structure(tensors) == config


def test_what_is_no_esdnet_is_not_taken_for_one() -> None:
    assert published_structure({"stem.weight": torch.zeros(8, 3, 4, 4)}) is None
    broken = {name: torch.zeros(()) for name in published_shapes(1)}
    assert published_structure(broken) is None


def test_it_gives_the_picture_itself_and_sees_all_of_it() -> None:
    """The averages reach everywhere: a change in one corner moves the far one, but by little."""
    torch.manual_seed(0)
    network = ESDNet(ESDNetConfig(8, 8, 8, 8)).eval()
    picture = torch.rand(1, 3, 224, 224)
    changed = picture.clone()
    changed[..., :32, :32] = 0
    with torch.inference_mode():
        before, after = network(picture), network(changed)
    assert before.shape == picture.shape
    far: Tensor = (after - before)[..., 192:, 192:].abs().max()
    assert 0 < far < 1 / 255


def test_the_finest_output_alone_trains() -> None:
    torch.manual_seed(0)
    network = ESDNet(ESDNetConfig(4, 4, 4, 4))
    network(torch.rand(1, 3, 32, 32)).square().mean().backward()
    still = {name for name, value in network.named_parameters() if value.grad is None}
    assert still and all(re.match(r"decoder\.decoder_[23]\.conv\.", name) for name in still)
