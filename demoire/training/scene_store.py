"""The clean images that training draws scenes from, decoded once where memory allows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from demoire.errors import UsageError
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import clean_images, read_scene
from demoire.simulate.splits import Split, split_of


def images_of_split(folder: Path, split: Split) -> list[Path]:
    """All images of this split below the folder, in the order of their paths.

    Raises:
        UsageError: The folder is missing, or has no image at all.
    """
    return [path for path in clean_images(folder) if split_of(path.name) == split]


class SceneStore:
    """Decoded scenes of a list of files.

    Those that fit are decoded at once, and shared with processes that are forked later.

    A scene is drawn as often as it is large: twenty page scans show as many different crops as
    hundreds of small photographs, and chosen file by file they would hardly be seen.
    """

    def __init__(self, paths: Sequence[Path], cache_megapixels: float) -> None:
        self.paths = paths
        self._cache: dict[int, Scene] = {}
        areas = np.array([_area(path) for path in paths], dtype=np.float64)
        self._shares = areas / areas.sum() if len(paths) else areas
        room = cache_megapixels * 1e6
        for number, path in enumerate(paths):
            if room <= 0:
                break
            scene = read_scene(path)
            self._cache[number] = scene
            room -= scene.shape[0] * scene.shape[1]

    def __len__(self) -> int:
        return len(self.paths)

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene at random."""
        number = int(rng.choice(len(self.paths), p=self._shares))
        scene = self._cache.get(number)
        return read_scene(self.paths[number]) if scene is None else scene


def _area(path: Path) -> int:
    """The area of an image file, px. Raises UsageError for a file that is no image."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path} cannot be read as an image; take it out of the training folder."
        ) from error
