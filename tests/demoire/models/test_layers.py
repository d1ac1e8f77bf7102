"""The parts of the networks: what a fresh block adds, and the way through a U."""

import torch
from torch import nn

from demoire.models.layers import ResidualBlock, SimpleGate, down_and_up, down_layers, up_layers


def test_a_fresh_residual_block_adds_little() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, 32, 32)
    with torch.inference_mode():
        change = ResidualBlock(16, 24, 3, "simple_gate")(x) - x
    assert 0 < change.std() < 0.1 * x.std()


def test_a_simple_gate_multiplies_the_halves() -> None:
    x = torch.tensor([2.0, 3.0, 5.0, 7.0]).view(1, 4, 1, 1)
    assert SimpleGate()(x).flatten().tolist() == [10.0, 21.0]


class TwoLevels(nn.Module):
    """A U whose layers change nothing but the size, so that what is added can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([nn.Identity(), nn.Identity()])
        self.downs = nn.ModuleList([nn.AvgPool2d(2), nn.AvgPool2d(2)])
        self.middle = nn.Sequential()
        self.ups = nn.ModuleList([nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2)])
        self.decoders = nn.ModuleList([nn.Identity(), nn.Identity()])


def test_each_level_adds_what_it_kept_on_the_way_down() -> None:
    assert torch.equal(
        down_and_up(TwoLevels(), torch.ones(1, 1, 8, 8)), torch.full((1, 1, 8, 8), 3.0)
    )


def test_down_and_up_layers_lead_from_width_to_width_and_back() -> None:
    widths = (4, 6, 10)
    fine = torch.rand(1, 4, 16, 16)
    downs = down_layers(widths)
    ups = up_layers(widths)
    coarse = downs[1](downs[0](fine))
    assert coarse.shape == (1, 10, 4, 4)
    assert ups[0](ups[1](coarse)).shape == fine.shape
