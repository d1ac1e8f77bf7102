"""A wider or deeper U-Net that begins as an exact copy of a smaller one: no training is lost.

After "Net2Net: Accelerating Learning via Knowledge Transfer" (Chen, Goodfellow, Shlens, 2016), but
with new channels at random: the channels of the smaller network keep their places and weights and
do not listen to the new ones yet, and new blocks add nothing yet. What the new ones see they begin
to say with the first steps.
"""

import torch
from torch import Tensor

from demoire.models.unet import UNet, UNetConfig


def can_grow(smaller: UNetConfig, larger: UNetConfig) -> bool:
    """Whether `larger` holds all of `smaller`.

    Not with the activation "simple_gate": it multiplies channels in pairs, which growing would
    tear apart.
    """
    if smaller.kernel_size != larger.kernel_size or smaller.activation != larger.activation:
        return False
    if larger.activation == "simple_gate":
        return False
    sizes = zip(_sizes(smaller), _sizes(larger), strict=True)
    if any(few > many for few, many in sizes):
        return False
    room = larger.hidden_channels()
    return all(needed <= room[name] for name, needed in smaller.hidden_channels().items())


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
    """Make the network give what the smaller one gives.

    Args:
        network: The larger network, changed in place.
        smaller: The network to start from; `can_grow` has to hold for the two configurations.
    """
    known = smaller.state_dict()
    # The values of a state_dict share their memory with the network.
    for name, value in network.state_dict().items():
        if name in known:
            _embed(known[name], value)
        elif ".second." in name:
            # The last layer of a block that the smaller network does not have: it adds nothing yet.
            value.zero_()


def _embed(small: Tensor, large: Tensor) -> None:
    """Copy `small` into the corner of `large`, and let the rest of its rows pass nothing on."""
    large[: len(small)] = 0
    corner = tuple(slice(side) for side in small.shape)
    large[corner] = small
