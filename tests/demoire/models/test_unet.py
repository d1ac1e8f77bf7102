"""The U-Net: its cost is as stated, its activations learn, and impossible structures are
refused.
"""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from demoire.imaging.boxes import Box
from demoire.models.cost import network_cost
from demoire.models.layers import Activation
from demoire.models.unet import FAST, UNet, UNetConfig
from demoire.training.config_files import load_config


def test_cost_is_what_the_module_says() -> None:
    default, fast = network_cost(UNet()), network_cost(UNet(FAST))
    assert (round(default.macs_per_pixel, -2), round(default.parameters, -5)) == (24_100, 2_600_000)
    assert (round(fast.macs_per_pixel, -2), round(fast.parameters, -5)) == (5_800, 700_000)


def test_the_large_one_is_as_large_as_its_configuration_says() -> None:
    with torch.device("meta"):
        large = network_cost(UNet(load_config("restorer-large").restorer))
    assert (round(large.macs_per_pixel, -3), round(large.parameters, -5)) == (147_000, 5_300_000)


@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid", "tanh", "simple_gate"])
def test_every_activation_learns(activation: Activation) -> None:
    restorer = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (1, 0, 0), 3, activation))
    loss = (restorer(torch.rand(1, 3, 64, 64)) - 0.5).square().mean()
    loss.backward()
    assert restorer.head[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("part", [Box(70, 0, 100, 41), Box(0, 160, 97, 224), Box(0, 0, 192, 224)])
def test_a_part_comes_out_as_in_the_whole_picture(part: Box) -> None:
    torch.manual_seed(0)
    restorer = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (2, 1, 0)))
    for layer in (restorer.head[0], restorer.gains):
        nn.init.normal_(layer.weight, std=0.1)
    picture = torch.rand(1, 3, 192, 224)
    with torch.inference_mode():
        whole = restorer(picture)
        alone = restorer.restored_part(picture, part)
    assert (alone - whole[:, :, *part.slices]).abs().max() < 1e-5


def test_without_gradients_a_cpu_gives_the_same_picture_by_another_way() -> None:
    torch.manual_seed(0)
    restorer = UNet(UNetConfig((8, 8, 8, 8), (1, 0, 0), 1, (1, 0, 0)))
    for layer in (restorer.head[0], restorer.gains):
        nn.init.normal_(layer.weight, std=0.1)
    pictures = torch.rand(2, 3, 96, 64)
    with_gradients = restorer(pictures)
    with torch.inference_mode():
        without = restorer(pictures)
    assert (with_gradients - pictures).abs().max() > 0.1
    assert (without - with_gradients).abs().max() < 1e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel_size": 4},
        {"widths": (8, 8, 0, 8)},
        {"wdiths": (8, 8, 8, 8)},
        {"hidden": {"middle.0": 0}},
        {"hidden": {"middle.2": 8}},
    ],
)
def test_impossible_structure_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UNetConfig(**wrong)  # type: ignore[arg-type]
