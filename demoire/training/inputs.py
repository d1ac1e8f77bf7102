"""What a training needs, looked at before anything is simulated: that may take hours."""

from pathlib import Path

from demoire.errors import UsageError
from demoire.models.weights import find_model
from demoire.simulate.pairs import clean_images, scene_areas
from demoire.training.config import TrainConfig
from demoire.training.field import FieldFolder


def check_inputs(config: TrainConfig, images: Path, field: FieldFolder | None = None) -> None:
    """Check weights, pictures and field pictures, these by their headers alone.

    Args:
        config: Of the training.
        images: The folder of clean images.
        field: Field pictures.

    Raises:
        UsageError: There are no images, some cannot be used, the field folder is not in order, or
            fresh screens and field pictures are both asked for.
        WeightsError: The weights to start from are missing, damaged or of the other model.
    """
    if config.data.fresh_scenes and field is not None:
        raise UsageError(
            "Photographs would be taken for simulated screens; "
            "leave out --field, or data.fresh_scenes."
        )
    if config.start_from:
        find_model(config.task, config.start_from)
    scene_areas(clean_images(images))
    if field is not None:
        field.part("train")
        field.part("validation")
