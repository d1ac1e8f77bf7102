"""The network that a training begins with: random, or filled with the weights to start from."""

from torch import nn

from demoire.errors import WeightsError
from demoire.models.detector import Detector
from demoire.models.networks import fill_network, load_restorer
from demoire.models.restorer import build_restorer
from demoire.models.unet import UNet
from demoire.models.weights import UNET, find_model
from demoire.training.config import TrainConfig
from demoire.training.growth import can_grow, grow


def start_network(config: TrainConfig) -> nn.Module:
    """The network of a configuration as its training begins.

    Raises:
        WeightsError: The weights to start from are missing, damaged, of the other model or of
            another structure.
    """
    network: nn.Module
    if config.task == "restorer":
        network = build_restorer(config.restorer)
    else:
        network = Detector(config.detector)
    if config.start_from:
        _read_start(config, config.start_from, network)
    return network


def _read_start(config: TrainConfig, name: str, network: nn.Module) -> None:
    """Fill a network with the weights to start from; a U-Net may grow from a smaller one."""
    weights = find_model(config.task, name)
    if isinstance(network, UNet) and weights.architecture == UNET:
        smaller = load_restorer(name)
        if isinstance(smaller, UNet) and can_grow(smaller.config, network.config):
            grow(network, smaller)
            return
    try:
        fill_network(network, weights)
    except WeightsError as error:
        raise WeightsError(
            f"The weights {name} (start_from) are of another structure than this configuration's "
            f"{config.task}; make [{config.task}] theirs, or start from others."
        ) from error
