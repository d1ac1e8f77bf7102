"""Field pictures as samples, for whichever network is trained."""

from pathlib import Path
from typing import Protocol

import numpy as np

from demoire.simulate.scenes.drawings import draw_scene
from demoire.training.config import TrainConfig
from demoire.training.field import FieldFolder
from demoire.training.field_pictures import FieldPictures, Twins
from demoire.training.field_tiles import FieldTiles
from demoire.training.field_twins import FieldTwins
from demoire.training.scene_store import images_of_split

_DRAWING_SEED = 4
LOOKALIKE_SHARE = 0.7  # of drawn scenes that are to pass for moiré


class FieldSource(Protocol):
    """Field pictures as samples."""

    share: float  # of all samples

    def twins(self, rng: np.random.Generator) -> Twins:
        """One sample."""
        ...


def field_source(folder: FieldFolder, images: Path, config: TrainConfig) -> FieldSource:
    """The training part of a field folder; clean images and drawings are processed too.

    Raises:
        UsageError: The folder or its split file is not in order.
    """
    rng = np.random.default_rng([config.data.seed, _DRAWING_SEED])
    drawn = []
    for _ in range(config.field.drawn):
        side = int(rng.integers(300, 600))
        lookalike_share = LOOKALIKE_SHARE if rng.random() < 0.5 else 0.0
        drawn.append(draw_scene(rng, side, lookalike_share=lookalike_share).scene)
    part = folder.part("train")
    pictures = FieldPictures(part, images_of_split(images, "train"), drawn, config.field)
    largest = config.largest().size
    if config.task == "detector":
        return FieldTiles(part, pictures, config.field, largest)
    return FieldTwins(pictures, config.field, largest)
