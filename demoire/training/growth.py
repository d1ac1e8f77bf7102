"""A wider or deeper U-Net that begins as an exact copy of a smaller one, so that no training is
lost.

After "Net2Net: Accelerating Learning via Knowledge Transfer" (Chen, Goodfellow, Shlens, 2016), but
with new channels at random: the channels of the smaller network keep their places and weights and
do not listen to the new ones yet, and new blocks add nothing yet. What the new ones see they begin
to say with the first steps.
"""

import torch
from torch import Tensor

from demoire.models.unet import UNet, UNetConfig


def can_grow(smaller: UNetConfig, larger: UNetConfig) -> bool:
    """Whether `larger` holds all of `smaller`. Gates pair channels that growing would tear
    apart.
    """
    if (smaller.kernel_size, smaller.activation) != (larger.kernel_size, larger.activation):
        return False
    return larger.activation != "simple_gate" and all(
        few <= many for few, many in zip(_sizes(smaller), _sizes(larger), strict=True)
    )


def _sizes(config: UNetConfig) -> tuple[int, ...]:
    return (
        *config.widths,
        *config.encoder_depths,
        config.middle_depth,
        *config.decoder_depths,
        config.bands,
    )


@torch.no_grad()
def grow(network: UNet, smaller: UNet) -> None:
    """Make the network give what the smaller one gives. `can_grow` has to hold for their
    configurations.
    """
    known = smaller.state_dict()
    for name, value in network.state_dict().items():  # which shares its memory with the network
        if name in known:
            _embed(known[name], value)
        elif ".second." in name:  # the last layer of a block that the smaller network does not have
            value.zero_()


def _embed(small: Tensor, large: Tensor) -> None:
    """Copy into the first places of each dimension; the first rows get nothing from what is beyond
    them.
    """
    large[: len(small)] = 0
    large[tuple(slice(side) for side in small.shape)] = small
