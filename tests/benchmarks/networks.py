"""Megapixels a second of every shipped network and of one process that cleans, without Ray: on a
GPU, or on the CPU.

    python tests/benchmarks/networks.py [DEVICE [WEIGHTS ...]]

DEVICE: as of `demoire clean --device`, by default the first GPU if there is one. WEIGHTS: of
restorers beside the shipped ones. "alone" is the network on pixels that lie on the device; "engine"
reads pixels from memory and brings the change back; "cleaning" decodes, judges, restores and
encodes drawn pictures of 1 MP, half of them with moiré, with as many threads as there are cores.
"""

import sys

import cv2
import numpy as np
import torch

from demoire.cleaning.cleaner import Cleaner, load_models
from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.imaging.images import Picture, decode
from demoire.models.weights import DETECTOR, find_weights, shipped_weights
from pipelines.bench.ceilings import PictureWork, detector_rate, rate, restorer_rate
from pipelines.bench.speed import cleaning_rate

SECONDS = 2.0
SIDE = 2048  # px, of the picture that engines are measured on


def main(device_name: str, others: list[str]) -> None:
    """Print the figures."""
    device = find_device(device_name)
    print(Cleaner(CleanerConfig(device=str(device))).device_name)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    picture = decode(cv2.imencode(".png", noise)[1].tobytes())
    restorers = [name for name in shipped_weights() if find_weights(name).architecture != DETECTOR]
    for name in [*restorers, *others]:
        print_restorer(name, picture, device)
    print_detector(picture, device)


def print_restorer(name: str, picture: Picture, device: torch.device) -> None:
    """Print the rates of a restorer, and of cleaning with it."""
    config = CleanerConfig(device=str(device), restorer=name)
    models = load_models(config, device)
    engine = Engine(models.detector, models.restorer, device)
    work = PictureWork.of(picture, engine, config.tile)

    def restore() -> float:
        work.restored(engine)
        return work.megapixels

    alone = restorer_rate(models.restorer, engine, config.tile, SECONDS)
    restored = rate(restore, SECONDS)
    whole = cleaning_rate(config)
    rates = f"alone {alone:7.1f}, engine {restored:7.1f}, cleaning {whole:6.1f} MP/s"
    print(f"{name[-16:]:16} {rates}")


def print_detector(picture: Picture, device: torch.device) -> None:
    """Print the rates of the shipped detector."""
    config = CleanerConfig(device=str(device))
    models = load_models(config, device)
    engine = Engine(models.detector, models.restorer, device)
    work = PictureWork.of(picture, engine, config.tile)
    alone = detector_rate(models.detector, engine, SECONDS)
    judged = rate(lambda: work.judged(engine), SECONDS)
    print(f"{'detector':16} alone {alone:7.1f}, engine {judged:7.1f} MP/s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto", sys.argv[2:])
