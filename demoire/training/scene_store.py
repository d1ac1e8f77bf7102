"""The clean images that training draws scenes from, decoded once where memory allows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import clean_images, read_scene, read_scenes, scene_areas
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
        """Read what fits.

        Raises:
            UsageError: Some are no images, or too small.
        """
        self.paths = paths
        areas = np.array(scene_areas(paths), dtype=np.float64)
        self._shares = areas / areas.sum() if len(paths) else areas
        # Each begins where there is some room left after those before it.
        begins = np.cumsum(areas) - areas
        fitting = int(np.count_nonzero(begins < cache_megapixels * 1e6))
        self._cached = read_scenes(paths[:fitting])

    def __len__(self) -> int:
        return len(self.paths)

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene at random."""
        number = int(rng.choice(len(self.paths), p=self._shares))
        if number < len(self._cached):
            return self._cached[number]
        return read_scene(self.paths[number])
