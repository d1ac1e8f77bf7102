"""A U-Net whose every weight says something, as after training."""

import torch
from torch import nn

from demoire.models.layers import ResidualBlock
from demoire.models.unet import UNet, UNetConfig


def random_unet(config: UNetConfig) -> UNet:
    """Random weights everywhere, also where a fresh network has none."""
    torch.manual_seed(0)
    network = UNet(config)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def residual_blocks(network: UNet) -> list[ResidualBlock]:
    """All of them."""
    return [block for block in network.modules() if isinstance(block, ResidualBlock)]
