"""Cleaner: an image file in, the cleaned file and its scores out. The one call that every layer
above uses.

The detector's score of the whole image decides whether anything happens at all; then the cells that
reach its lower tile threshold are restored. What the restorer adds is added to the pixels as they
were, so 16 bits stay 16 bits. Decode, model and encode of many images overlap
(`demoire.cleaning.scheduler`).

Nothing that is wrong with one image is raised: it comes back as it was, `quarantined` with a
reason.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import torch
from torch import nn

from demoire.cleaning.config import CleanerConfig
from demoire.cleaning.engine import Engine, find_device
from demoire.cleaning.result import Cleaned, Detection, Stage, Status
from demoire.cleaning.scheduler import Stages, detect
from demoire.cleaning.verdict import Rules
from demoire.models.detector import Detector, fused
from demoire.models.networks import load_detector, load_restorer
from demoire.models.weights import find_weights

__all__ = ["Cleaned", "Cleaner", "CleanerConfig", "Detection", "Models", "Stage", "Status"]

K = TypeVar("K")


@dataclass(frozen=True)
class Models:
    """The two networks and what the report calls them. Anything with the same calls will do for
    either.
    """

    detector: Detector  # .probabilities(x), .threshold, .tile_threshold
    restorer: nn.Module  # (N, 3, H, W) sRGB 0..1 -> the same; may declare .multiple and .halo, px
    detector_digest: str
    restorer_digest: str


def load_models(config: CleanerConfig, device: torch.device) -> Models:
    """The models whose weights the configuration names. Raises WeightsError."""
    return Models(
        detector=fused(load_detector(config.detector, str(device))),
        restorer=load_restorer(config.restorer, str(device)),
        detector_digest=find_weights(config.detector).digest,
        restorer_digest=find_weights(config.restorer).digest,
    )


class Cleaner:
    """Both models, loaded once. May be used by several threads at a time.

    models: others than those that the configuration names, already on its device.
    Raises UsageError for a device that is not there, WeightsError for weights that cannot be used.
    """

    def __init__(
        self, config: CleanerConfig = CleanerConfig(), models: Models | None = None
    ) -> None:
        device = find_device(config.device)
        torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
        cv2.setNumThreads(1)  # what uses it runs in several threads already
        models = models or load_models(config, device)
        threshold = models.detector.threshold if config.threshold is None else config.threshold
        self.config = config
        self.weights_digest = models.restorer_digest
        self.detector_digest = models.detector_digest
        self._engine = Engine(models.detector, models.restorer, device)
        self._rules = Rules(
            restore_all=config.gate == "off",
            threshold=threshold,
            tile_threshold=min(models.detector.tile_threshold, threshold),
            tile=config.tile,
            max_megapixels=config.max_megapixels,
            max_side=config.max_side,
        )

    @property
    def device_name(self) -> str:
        """Such as 'cpu' or 'cuda:0 NVIDIA H200'."""
        device = self._engine.device
        return (
            f"{device} {torch.cuda.get_device_name(device)}"
            if device.type == "cuda"
            else str(device)
        )

    @property
    def threshold(self) -> float:
        """The image score from which an image is cleaned (were the gate not off)."""
        return self._rules.threshold

    def clean(self, data: bytes, name: str = "") -> Cleaned:
        """Clean one image file. `name` is for the log alone."""
        return next(result for _, result in self.clean_many([(name, data)]))

    def clean_many(self, items: Iterable[tuple[K, bytes]]) -> Iterator[tuple[K, Cleaned]]:
        """Clean many, in any order of completion; a key comes back with its result.

        `items` is read by other threads, one at a time, as far ahead as memory allows. What it
        raises is raised here after the results of what came before. The iterator may be closed at
        any time.
        """
        return Stages(self._engine, self._rules, items).results()

    def detect(self, data: bytes) -> Detection:
        """What the detector says of an image file. Raises ImageError."""
        return detect(self._engine, self._rules, data)
