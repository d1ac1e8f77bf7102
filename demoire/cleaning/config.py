"""What decides how images are cleaned. Apart from the Cleaner, because whoever plans or reads needs
no torch for it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from demoire.errors import UsageError
from demoire.imaging.images import MAX_MEGAPIXELS, MAX_SIDE
from demoire.models.weights import find_weights
from demoire.moire import CELL

CLEANING_VERSION = "1"  # to be raised whenever the same weights would give other bytes


@dataclass(frozen=True)
class CleanerConfig:
    """What decides how images are cleaned. Raises UsageError for values out of range."""

    gate: Literal["auto", "off"] = "auto"  # off: every cell is restored, whatever the detector says
    # image score from which an image is cleaned; None: the weights' own
    threshold: float | None = None
    detector: str = "detector"  # name of shipped weights, or path of a .safetensors file
    restorer: str = "restorer"  # the same, or path of a checkpoint (.pth, .pt)
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    max_megapixels: float = MAX_MEGAPIXELS
    max_side: int = MAX_SIDE  # px
    tile: int = 1024  # px that a restorer tile has at most on each side, without its halo
    threads: int = 0  # of torch on the CPU; 0: all there are

    def __post_init__(self) -> None:
        if self.gate not in ("auto", "off"):
            raise UsageError(f"There is no gate '{self.gate}'; use auto or off.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(
                f"The threshold {self.threshold} is not a probability; use a number from 0 to 1."
            )
        if self.tile < CELL or self.threads < 0 or min(self.max_megapixels, self.max_side) <= 0:
            raise UsageError(
                f"tile is at least {CELL} px, threads at least 0, max_megapixels and max_side above 0."
            )

    def fingerprint(self) -> str:
        """sha256, 64 hex digits, over all that can change the output; the device and the threads
        are not of it.

        Raises WeightsError when weights cannot be found.
        """
        decides = {
            "cleaning": CLEANING_VERSION,
            "detector": find_weights(self.detector).digest,
            "restorer": find_weights(self.restorer).digest,
            "gate": self.gate,
            "threshold": self.threshold,
            "tile": self.tile,
            "max_megapixels": float(self.max_megapixels),
            "max_side": self.max_side,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
