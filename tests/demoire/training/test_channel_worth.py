"""A network is made cheaper where the loss misses least of it."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from demoire.errors import UsageError
from demoire.models.cost import network_cost
from demoire.models.dmcnn import DMCNN, DMCNNConfig
from demoire.models.layers import ResidualBlock
from demoire.models.networks import load_restorer, save_restorer
from demoire.models.unet import UNet, UNetConfig
from demoire.training.channel_worth import at_cost, channel_worth, shrink_weights
from demoire.training.config_files import load_config
from demoire.training.data import Sample
from tests.demoire.training.random_unet import random_unet, residual_blocks

FULL = UNetConfig((8, 8, 12, 8), (1, 0, 1), 1, (1, 1, 0))
# Two kernels of 3 x 3 px for each channel around the block, at 1/4, 1/8, 1/16 and 1/32 of the size.
COSTS = {
    "encoders.0.0": 2 * 9 * 8 / 4**2,
    "encoders.2.0": 2 * 9 * 12 / 16**2,
    "middle.0": 2 * 9 * 8 / 32**2,
    "decoders.0.0": 2 * 9 * 8 / 4**2,
    "decoders.1.0": 2 * 9 * 8 / 8**2,
}


def _network() -> UNet:
    """A network whose first two channels within each block say next to nothing."""
    network = random_unet(FULL)
    for block in residual_blocks(network):
        nn.init.ones_(block.first.bias)
        block.second.weight.data[:, :2] *= 1e-4
    return network.requires_grad_(False)


def _cost_with(network: UNet, share: float) -> float:
    """Of the network with this share of what its blocks cost, multiply-accumulates a pixel."""
    blocks = sum(COSTS[block] * count for block, count in FULL.hidden_channels().items())
    return network_cost(network).macs_per_pixel - (1 - share) * blocks


def _batches() -> list[Sample]:
    torch.manual_seed(1)
    return [
        Sample(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64), torch.zeros(2)) for _ in range(3)
    ]


def _squared_error(network: nn.Module, batch: Sample) -> Tensor:
    restored: Tensor = network(batch.moire)
    return (restored.double() - batch.clean).square().mean()


def test_what_says_next_to_nothing_is_worth_least() -> None:
    worth = channel_worth(_network(), _batches(), _squared_error)
    assert worth.keys() == FULL.hidden_channels().keys()
    for values in worth.values():
        assert values.argsort()[:2].sort().values.tolist() == [0, 1]


def test_worth_is_what_the_loss_changes_by_with_a_channel() -> None:
    network = _network()
    batch = _batches()[0]
    worth = channel_worth(network, [batch], _squared_error)
    block = network.decoders[0][0]
    assert isinstance(block, ResidualBlock)
    weight = block.second.weight[:, 5]
    original = weight.clone()
    losses = []
    for factor in (0.9, 1.1):
        weight.copy_(factor * original)
        losses.append(_squared_error(network, batch))
    slope = (losses[1] - losses[0]) / 0.2
    assert worth["decoders.0.0"][5].sqrt() == pytest.approx(abs(slope.item()), rel=0.02)


@given(share=st.floats(0.15, 1.1))
@settings(max_examples=10)
def test_the_cost_is_kept_to_and_no_more_is_taken_than_has_to_be(share: float) -> None:
    network = _network()
    worth = channel_worth(network, _batches(), _squared_error)
    asked = _cost_with(network, share)
    smaller = at_cost(network, worth, asked)
    cost = network_cost(smaller).macs_per_pixel
    assert cost <= asked
    left = smaller.config.hidden_channels()
    taken_from = [
        block for block, channels in FULL.hidden_channels().items() if left[block] < channels
    ]
    dearest = max((COSTS[block] for block in taken_from), default=0.0)
    assert not taken_from or cost + dearest > asked


@pytest.mark.parametrize(("together", "left"), [(1, 1), (5, 5)])
def test_a_block_keeps_as_many_as_go_together(together: int, left: int) -> None:
    network = _network()
    worth = {block: torch.zeros(count) for block, count in FULL.hidden_channels().items()}
    least_cost = _cost_with(network, 0.0) + left * sum(COSTS.values())
    least = at_cost(network, worth, least_cost + 0.001, together=together)
    assert set(least.config.hidden_channels().values()) == {left}
    with pytest.raises(ValueError, match="at least"):
        at_cost(network, worth, 1.0, together=together)


@given(share=st.floats(0.6, 1.0), together=st.integers(2, 4))
@settings(max_examples=20)
def test_channels_go_together(share: float, together: int) -> None:
    network = _network()
    worth = channel_worth(network, _batches(), _squared_error)
    smaller = at_cost(network, worth, _cost_with(network, share), together=together)
    left = smaller.config.hidden_channels()
    for block, before in FULL.hidden_channels().items():
        assert left[block] == before or left[block] % together == 0


def test_the_first_to_go_are_hardly_missed() -> None:
    network = _network()
    worth = channel_worth(network, _batches(), _squared_error)
    smaller = at_cost(network, worth, _cost_with(network, 0.9))
    assert sum(smaller.config.hidden_channels().values()) < sum(FULL.hidden_channels().values())
    picture = torch.rand(1, 3, 64, 64)
    assert torch.allclose(smaller(picture), network(picture), atol=1e-3)


def test_weights_files_are_shrunk_by_their_training(tmp_path: Path, scene_folder: Path) -> None:
    full = save_restorer(_network(), tmp_path / "full.safetensors", {"gain": 3.5})
    out = tmp_path / "small.safetensors"
    most = _cost_with(_network(), 0.5)
    config = load_config("tiny-restorer")
    weights = shrink_weights(
        str(full.path), out, config, scene_folder, macs_per_pixel=most, together=2, count=2
    )
    assert weights.metadata == {}
    assert network_cost(load_restorer(str(out))).macs_per_pixel <= most
    with pytest.raises(UsageError, match="at least"):
        shrink_weights(
            str(full.path), out, config, scene_folder, macs_per_pixel=1.0, together=1, count=1
        )


def test_other_structures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_restorer(DMCNN(DMCNNConfig()), path, {})
    with pytest.raises(UsageError, match="one by one"):
        shrink_weights(
            str(path),
            tmp_path / "o",
            load_config("tiny-restorer"),
            tmp_path,
            macs_per_pixel=1,
            together=1,
            count=1,
        )
