"""One image on its way through the cleaner."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from demoire.cleaning.grid import Tile
from demoire.cleaning.result import Detection, Stage
from demoire.errors import ImageError
from demoire.imaging.codecs.raster import Pixels
from demoire.imaging.facts import ImageFacts
from demoire.imaging.images import OpenedImage, Picture
from demoire.moire import KINDS

K = TypeVar("K")


@dataclass(frozen=True)
class _Restored:
    """A picture that has been blended and written."""

    pixels: Pixels
    data: bytes
    psnr: float
    ssim: float
    colour_shift: float


@dataclass(eq=False)
class _Job(Generic[K]):
    """One image on its way."""

    key: K
    data: bytes
    facts: ImageFacts | None = None
    opened: OpenedImage | None = None  # from the probe to the decoder
    picture: Picture | None = None
    error: ImageError | None = None
    probabilities: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, len(KINDS)), np.float32)
    )
    detection: Detection | None = None
    flagged: tuple[int, ...] = ()
    tiles: tuple[Tile, ...] = ()
    changes: dict[int, NDArray] = field(default_factory=dict)
    restored: _Restored | None = None
    in_model: int = 0  # cells or tiles of it that the model has not done yet
    done: bool = False
    milliseconds: dict[Stage, float] = field(default_factory=dict)

    @property
    def content(self) -> Picture:
        assert self.picture is not None
        return self.picture

    def spent(self, stage: Stage, seconds: float) -> None:
        self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + 1e3 * seconds


def _shown(job: _Job) -> Pixels:
    """What the detector is to look at: the restored pixels where there are some."""
    return job.restored.pixels if job.restored else job.content.pixels
