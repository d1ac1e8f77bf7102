"""The count of a network's cost, against sums done by hand."""

import torch
from torch import Tensor, nn

from demoire.models.cost import network_cost


def test_cost_of_one_convolution_by_hand() -> None:
    layer = nn.Conv2d(3, 10, 3, stride=2, padding=1)
    assert network_cost(layer).macs_per_pixel == 3 * 10 * 9 / 4
    assert network_cost(layer).parameters == 3 * 10 * 9 + 10


class OneHead(nn.Module):
    """Attention of all pixels with each other over the three colours, then a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2).transpose(1, 2)
        attended = nn.functional.scaled_dot_product_attention(pixels, pixels, pixels)
        return self.last(attended)


def test_cost_of_attention_by_hand() -> None:
    """Two products of pixels x pixels x 3, and 3 x 5 a pixel."""
    assert network_cost(OneHead(), side=8).macs_per_pixel == 2 * 64 * 3 + 3 * 5


def test_counting_leaves_the_network_as_it_was() -> None:
    layer = nn.Conv2d(3, 3, 1)
    before = layer.weight.detach().clone()
    network_cost(layer)
    assert torch.equal(layer.weight, before)
    assert layer.weight.device.type == "cpu"
