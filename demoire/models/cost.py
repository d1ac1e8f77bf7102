"""What a network costs: multiplications for each pixel, and parameters."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    # Multiply-accumulates of all convolutions, linear layers and attention, per input pixel.
    macs_per_pixel: float
    parameters: int


def network_cost(network: nn.Module, side: int = 256) -> Cost:
    """Count on an input (1, 3, side, side), by the layers' shapes alone and without data.

    Biases, activations and pooling are not counted, as is usual; attention's two products are.

    Args:
        network: Stays as it is.
        side: px, a multiple of what the network asks for.
    """
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    shapes = {name: torch.empty_like(value, device="meta") for name, value in tensors.items()}
    picture = torch.empty(1, 3, side, side, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(network, shapes, (picture,))
    # A floating-point operation is a multiplication or an addition: two of them are one
    # multiply-accumulate.
    macs = counter.get_total_flops() / 2
    parameters = sum(value.numel() for value in network.parameters())
    return Cost(macs_per_pixel=macs / side**2, parameters=parameters)
