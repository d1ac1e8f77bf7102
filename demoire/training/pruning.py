"""A U-Net without the channels that never say anything: the same pictures, sooner.

    python -m demoire.training.pruning WEIGHTS OUT PICTURES...

Between the two convolutions of a residual block lies a ReLU. A channel that it holds at zero
whatever the picture shows costs as much as any other. Training at high rates leaves many such. They
are found by showing the network PICTURES, folders with thousands of different ones, and taken out
for good. Whoever trains on from such weights with the full structure gets fresh channels in their
places (`demoire.training.growth`).
"""

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from demoire.errors import ImageError, UsageError
from demoire.imaging.rgb import read_rgb
from demoire.models.layers import ResidualBlock, channels_last
from demoire.models.networks import load_restorer, save_restorer
from demoire.models.unet import UNet
from demoire.models.weights import Weights
from demoire.simulate.pairs import clean_images

_LOG = logging.getLogger(__name__)

# A channel that came this near to zero is kept: one that is just silent in float32 may speak in
# bfloat16, or in the next picture.
_MARGIN = 0.01
_SIDE = 1024  # px, of what the network sees of a picture at a time


@torch.inference_mode()
def pruned(network: UNet, pictures: Iterable[NDArray[np.uint8]]) -> UNet:
    """A copy of a network without the channels within residual blocks that no picture makes speak.

    A block keeps at least one, so that what it adds everywhere stays.

    Args:
        network: Its activation has to be "relu".
        pictures: (H, W, 3) uint8 sRGB each. Only whole multiples of the network's `multiple` are
            looked at, from the upper left on.

    Raises:
        ValueError: The activation is another one.
    """
    if network.config.activation != "relu":
        raise ValueError(f"no channel of {network.config.activation} is ever silent")
    highest = _highest_values(network, pictures)
    return with_channels(network, {name: _speaking(values) for name, values in highest.items()})


def with_channels(network: UNet, kept: Mapping[str, Tensor]) -> UNet:
    """A copy of a network with some of the channels within its residual blocks.

    Args:
        network: With an activation that treats each channel by itself, as all do but "simple_gate".
        kept: The numbers of the channels that stay, in order, at least one, by the block's name.
    """
    before = network.config.hidden_channels()
    hidden = dict(network.config.hidden)
    for name, channels in kept.items():
        if len(channels) < before[name]:
            hidden[name] = len(channels)
    smaller = UNet(replace(network.config, hidden=hidden))
    state = network.state_dict()
    for name, channels in kept.items():
        for value in ("first.weight", "first.bias"):
            state[f"{name}.{value}"] = state[f"{name}.{value}"][channels]
        state[f"{name}.second.weight"] = state[f"{name}.second.weight"][:, channels]
    smaller.load_state_dict(state)
    channels_last(smaller).eval()
    return smaller


def _highest_values(network: UNet, pictures: Iterable[NDArray[np.uint8]]) -> dict[str, Tensor]:
    """The highest value before the ReLU of each channel, by residual block."""
    highest: dict[str, Tensor] = {}
    watches = []
    for name, block in network.named_modules():
        if isinstance(block, ResidualBlock):
            highest[name] = torch.full((block.first.out_channels,), -torch.inf)
            watches.append(block.first.register_forward_hook(_raising(highest, name)))
    for picture in pictures:
        for window in _windows(picture, network.multiple):
            pixels = torch.tensor(window)
            network(pixels.permute(2, 0, 1)[None] / 255)
    for watch in watches:
        watch.remove()
    return highest


def _raising(highest: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    """A hook that notes the highest values of a layer's output under this name."""

    def note(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
        highest[name] = torch.maximum(highest[name], output.amax(dim=(0, 2, 3)))

    return note


def _windows(picture: NDArray[np.uint8], multiple: int) -> Iterator[NDArray[np.uint8]]:
    """A picture in pieces of at most `_SIDE`, without what is left of a multiple."""
    height, width = (side - side % multiple for side in picture.shape[:2])
    for top in range(0, height, _SIDE):
        for left in range(0, width, _SIDE):
            bottom = min(top + _SIDE, height)
            right = min(left + _SIDE, width)
            yield picture[top:bottom, left:right]


def _speaking(highest: Tensor) -> Tensor:
    """The numbers of the channels that are kept, in order."""
    loudest_first = highest.argsort(descending=True)
    count = max(1, int((highest > -_MARGIN).sum()))
    return loudest_first[:count].sort().values


def prune_weights(name: str, out: Path, folders: Iterable[Path]) -> Weights:
    """Prune shipped weights or a weights file by the pictures of some folders.

    Files that hold no picture are passed over, with a line in the log. Figures in the weights are
    not passed on: they are not those of the smaller network.

    Raises:
        WeightsError: The weights are not sound.
        UsageError: They are not a U-Net's, or a folder has no pictures.
    """
    network = load_restorer(name)
    if not isinstance(network, UNet):
        raise UsageError(f"The weights {name} are of another structure than a U-Net.")
    paths = [path for folder in folders for path in clean_images(folder)]
    smaller = pruned(network, _pictures(paths))
    return save_restorer(smaller, out, {})


def _pictures(paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        try:
            yield read_rgb(path)
        except ImageError as error:
            _LOG.warning("%s is passed over: %s", path, error)


def _main() -> None:
    """Prune the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="shipped name or path")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("pictures", type=Path, nargs="+", help="folders of pictures")
    arguments = parser.parse_args()
    weights = prune_weights(arguments.weights, arguments.out, arguments.pictures)
    print(f"{weights.path}: {weights.config['hidden']}")


if __name__ == "__main__":
    _main()
