"""What a training needs, looked at before anything is simulated: that may take hours."""

from pathlib import Path

from demoire.errors import UsageError
from demoire.simulate.pairs import clean_images, scene_areas
from demoire.training.config import TrainConfig
from demoire.training.field import FieldFolder
from demoire.training.start import start_network


def check_inputs(config: TrainConfig, images: Path, field: FieldFolder | None = None) -> None:
    """Check weights, pictures and field pictures, these by their headers alone.

    Args:
        config: Of the training.
        images: The folder of clean images.
        field: Field pictures.

    Raises:
        UsageError: There are no images, some cannot be used, the field folder is not in order, or
            fresh screens and field pictures are both asked for.
        WeightsError: The weights to start from are missing, damaged, of the other model or of
            another structure.
    """
    if config.data.fresh_scenes and field is not None:
        raise UsageError(
            "Photographs would be taken for simulated screens; "
            "leave out --field, or data.fresh_scenes."
        )
    if config.start_from:
        start_network(config)
    scene_areas(clean_images(images))
    if field is not None:
        field.part("train")
        field.part("validation")
