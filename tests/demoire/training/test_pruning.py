"""Channels that no picture makes speak are taken out: the same pictures come out, for less."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import UsageError
from demoire.models.cost import network_cost
from demoire.models.dmcnn import DMCNN, DMCNNConfig
from demoire.models.layers import ResidualBlock
from demoire.models.networks import load_restorer, save_restorer
from demoire.models.unet import UNet, UNetConfig
from demoire.training.growth import can_grow, grow
from demoire.training.pruning import prune_weights, pruned
from tests.demoire.training.random_unet import random_unet, residual_blocks

FULL = UNetConfig((8, 8, 12, 8), (1, 0, 1), 1, (1, 1, 0))


def _trained(silent: int) -> UNet:
    """A network whose first `silent` channels within each block stay below zero."""
    network = random_unet(FULL)
    for block in residual_blocks(network):
        torch.nn.init.ones_(block.first.bias)
        torch.nn.init.zeros_(block.first.weight[:silent].detach())
        torch.nn.init.constant_(block.first.bias[:silent].detach(), -1.0)
    return network


def _pictures() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (70, 100, 3), dtype=np.uint8) for _ in range(3)]


def _restored(network: UNet, picture: NDArray[np.uint8]) -> torch.Tensor:
    pixels = torch.from_numpy(picture[:64, :96].copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        restored: torch.Tensor = network(pixels)
    return restored


@given(silent=st.integers(0, 8))
@settings(max_examples=9)
def test_the_pruned_network_gives_the_same_pictures_for_less(silent: int) -> None:
    network = _trained(silent)
    pictures = _pictures()
    smaller = pruned(network, pictures)
    for picture in pictures:
        assert torch.allclose(_restored(smaller, picture), _restored(network, picture), atol=1e-5)
    before = network_cost(network, 64).macs_per_pixel
    after = network_cost(smaller, 64).macs_per_pixel
    assert after < before if silent else after == before


def test_silent_channels_and_no_others_are_taken_out() -> None:
    within = pruned(_trained(silent=3), _pictures()).config.hidden_channels()
    assert within == {
        "encoders.0.0": 5,
        "encoders.2.0": 9,
        "middle.0": 5,
        "decoders.0.0": 5,
        "decoders.1.0": 5,
    }


def test_training_goes_on_with_fresh_channels_in_their_places() -> None:
    smaller = pruned(_trained(silent=3), _pictures())
    assert can_grow(smaller.config, FULL)
    assert not can_grow(FULL, smaller.config)
    network = UNet(FULL).eval()
    grow(network, smaller)
    picture = _pictures()[0]
    assert torch.allclose(_restored(network, picture), _restored(smaller, picture), atol=1e-5)
    fresh = network.middle[0]
    assert isinstance(fresh, ResidualBlock)
    pixels = torch.rand(1, 3, 64, 64)
    (network.train()(pixels) - pixels).square().mean().backward()
    listens = fresh.second.weight.grad
    assert listens is not None and listens[:, 5:].abs().sum() > 0


def test_weights_files_are_pruned(tmp_path: Path) -> None:
    full = save_restorer(_trained(silent=4), tmp_path / "full.safetensors", {"gain": 3.5})
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(_pictures()):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "small.safetensors"
    weights = prune_weights(str(full.path), out, [folder])
    assert weights.metadata == {}
    smaller = load_restorer(str(out))
    assert isinstance(smaller, UNet)
    assert smaller.config.hidden_channels()["middle.0"] == 4
    assert out.stat().st_size < full.path.stat().st_size


def test_other_structures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_restorer(DMCNN(DMCNNConfig()), path, {})
    with pytest.raises(UsageError, match="another structure"):
        prune_weights(str(path), tmp_path / "out.safetensors", [tmp_path])
    gelu = UNet(UNetConfig((8, 8, 8, 8), (0, 0, 0), 1, (0, 0, 0), activation="gelu"))
    with pytest.raises(ValueError, match="gelu"):
        pruned(gelu, [])
