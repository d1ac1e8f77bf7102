"""A U-Net that costs less: without the channels that its loss would miss least.

    python -m demoire.training.channel_worth WEIGHTS OUT CONFIG IMAGES --kmac 20.1

`demoire.training.pruning` takes out the channels that say nothing. Those that speak are not worth
the same either, and on fine scales a channel costs many times what it does on coarse ones. Here
those go first that are worth least for what they cost, until the network costs no more than is
asked. They go sixteen at a time, because a CPU computes as many at once. Training should go on
afterwards, with `restorer.hidden` as it is printed.

A channel's worth is what the loss would rise by without it, to the first order, after Molchanov et
al.: "Importance Estimation for Neural Network Pruning" (CVPR 2019). It is measured on the batches
of a training configuration, those that training would begin with.
"""

import argparse
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from demoire.errors import UsageError
from demoire.models.cost import network_cost
from demoire.models.layers import ResidualBlock
from demoire.models.networks import load_restorer, save_restorer
from demoire.models.unet import UNet
from demoire.models.weights import Weights
from demoire.training.bar import training_bar
from demoire.training.config import TrainConfig
from demoire.training.config_files import load_config
from demoire.training.data import PairSource, Sample, Samples, batches
from demoire.training.field import FieldFolder
from demoire.training.field_source import field_source
from demoire.training.pruning import with_channels
from demoire.training.tasks import RestorerTask

# The loss of a batch, a scalar to take the gradient of.
Loss = Callable[[nn.Module, Sample], Tensor]


def channel_worth(network: UNet, batches_seen: Iterable[Sample], loss: Loss) -> dict[str, Tensor]:
    """What each channel within a residual block is worth to a loss.

    Each channel passes a factor of one. What the loss changes by with that factor is what it
    would change by without the channel, if it were linear.

    Args:
        network: Stays as it is, but for the gradients of its weights.
        batches_seen: At least one.
        loss: Of the network and a batch.

    Returns:
        The mean square of that derivative over the batches, by the block's name.
    """
    factors: dict[str, Tensor] = {}
    hooks = []
    for name, block in network.named_modules():
        if isinstance(block, ResidualBlock):
            factor = torch.ones(1, block.second.in_channels, 1, 1, requires_grad=True)
            factors[name] = factor
            hooks.append(block.activation.register_forward_hook(_times(factor)))
    worth = {name: torch.zeros(factor.shape[1]) for name, factor in factors.items()}
    count = 0
    for batch in batches_seen:
        gradients = torch.autograd.grad(loss(network, batch), list(factors.values()))
        for name, gradient in zip(factors, gradients, strict=True):
            worth[name] += gradient.flatten().square()
        count += 1
    for hook in hooks:
        hook.remove()
    return {name: squares / count for name, squares in worth.items()}


def _times(factor: Tensor) -> Callable[[nn.Module, object, Tensor], Tensor]:
    """A hook that multiplies a layer's output."""

    def multiply(_layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output * factor.to(output.dtype)

    return multiply


@dataclass(frozen=True)
class _Group:
    """Channels of one block that go or stay together."""

    block: str
    numbers: list[int]
    cost: float  # multiply-accumulates a pixel
    worth: float


def at_cost(
    network: UNet, worth: dict[str, Tensor], macs_per_pixel: float, *, together: int = 1
) -> UNet:
    """A copy of a network without the channels that are worth least for what they cost.

    Each block keeps at least `together` channels, or all if it has fewer.

    Args:
        network: The network.
        worth: Of its channels, as `channel_worth` gives it.
        macs_per_pixel: The most that the copy may cost.
        together: A block that loses channels is left with a multiple of this number.

    Raises:
        ValueError: The network costs more even with as few channels as that in each block.
    """
    groups = _groups(worth, _costs_of_a_channel(network), together)
    groups.sort(key=lambda group: group.worth / group.cost)
    kept = {block: set(range(len(values))) for block, values in worth.items()}
    cost = network_cost(network).macs_per_pixel
    for group in groups:
        if cost <= macs_per_pixel:
            break
        kept[group.block].difference_update(group.numbers)
        cost -= group.cost
    if cost > macs_per_pixel:
        raise ValueError(f"the network costs {cost:.0f} at least")
    return with_channels(
        network, {block: torch.tensor(sorted(numbers)) for block, numbers in kept.items()}
    )


def _groups(worth: dict[str, Tensor], costs: dict[str, float], together: int) -> list[_Group]:
    """The channels that may go, in the groups in which they go.

    Those of a block are taken from the least worth on. The first group is as many as there are
    beyond a multiple of `together`, and the last, worth most, stays and is in no group.
    """
    groups = []
    for block, values in worth.items():
        numbers = values.argsort(stable=True).tolist()
        first = len(numbers) % together or together
        ends = range(first, len(numbers), together)
        for end in ends:
            begin = max(0, end - together)
            members = numbers[begin:end]
            cost = costs[block] * len(members)
            groups.append(_Group(block, members, cost, values[members].sum().item()))
    return groups


def _costs_of_a_channel(network: UNet) -> dict[str, float]:
    """Multiply-accumulates a pixel that a channel more costs, by block.

    All channels within one block cost the same.
    """
    config = network.config
    cost = network_cost(network).macs_per_pixel
    costs = {}
    for block, channels in config.hidden_channels().items():
        wider = UNet(replace(config, hidden={**config.hidden, block: channels + 1}))
        costs[block] = network_cost(wider).macs_per_pixel - cost
    return costs


def shrink_weights(
    name: str,
    out: Path,
    config: TrainConfig,
    images: Path,
    *,
    macs_per_pixel: float,
    together: int,
    count: int,
    field: FieldFolder | None = None,
) -> Weights:
    """Write shipped weights, or those of a file, without the channels that are worth least.

    Figures in the weights are not passed on: they are not those of the smaller network.

    Args:
        name: The weights.
        out: The file to write.
        config: What the network is trained by. Its structure does not count here.
        images: The training's folder of clean images.
        macs_per_pixel: The most that the network may cost.
        together: A block that loses channels is left with a multiple of this number.
        count: Batches on which the channels are judged.
        field: The training's real pictures.

    Raises:
        WeightsError: The weights are not sound.
        UsageError: They are not a U-Net's whose channels can be taken out, or they cost more with
            `together` channels in each block; or the images or the field folder are not in order.
    """
    network = load_restorer(name)
    if not isinstance(network, UNet) or network.config.activation == "simple_gate":
        raise UsageError(f"The weights {name} have no channels that can be taken out one by one.")
    task = RestorerTask(config, images, field)
    pictures = None if field is None else field_source(field, images, config)
    source = PairSource(images, "train", config.data)
    samples = Samples(source, config.task, config.data, (config.data.seed,), pictures)
    with training_bar("judging channels", count) as show:

        def loss(judged: nn.Module, batch: Sample) -> Tensor:
            show("judging channels")
            return task.loss(judged, batch)

        worth = channel_worth(network, batches(samples, 0, count, config.data), loss)
    try:
        smaller = at_cost(network, worth, macs_per_pixel, together=together)
    except ValueError as error:
        raise UsageError(f"{macs_per_pixel:.0f} is too little: {error}.") from error
    return save_restorer(smaller, out, {})


def _main() -> None:
    """Shrink the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="shipped name or path")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("config", help="shipped name or path of a training configuration")
    parser.add_argument("images", type=Path, help="folder of clean images")
    parser.add_argument("--kmac", type=float, required=True, help="the most it may cost a pixel")
    parser.add_argument("--together", type=int, default=16, help="channels that go at a time")
    parser.add_argument("--batches", type=int, default=300, help="on which channels are judged")
    parser.add_argument("--field", type=Path, help="folder of real pictures")
    parser.add_argument("--split", type=Path, help="which source is in which part")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    field = FieldFolder(arguments.field, arguments.split) if arguments.field else None
    weights = shrink_weights(
        arguments.weights,
        arguments.out,
        load_config(arguments.config),
        arguments.images,
        macs_per_pixel=1000 * arguments.kmac,
        together=arguments.together,
        count=arguments.batches,
        field=field,
    )
    print(f"{weights.path}: {weights.config['hidden']}")


if __name__ == "__main__":
    _main()
