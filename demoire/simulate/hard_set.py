"""A folder of what detectors mistake, laid out as field pictures: what `demoire lookalikes` writes.

    OUT/clean_hard/surface_SEED_00000.png   a clean photograph of a patterned surface
    OUT/clean_hard/tint_SEED_00000.png      text on a tint, without dots
    OUT/halftone/tint_SEED_00000.png        the same, printed in dots
    OUT/split.toml                          all of it as sources for training

Half of the surfaces are textures out of a folder, where one is given, and the others are drawn.
Picture `i` depends on the seed, `i`, the size and the list of textures alone. A further seed adds
to the folder; the split file is the same for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demoire.errors import UsageError
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import clean_images, read_scene, write_picture
from demoire.simulate.scenes.photographs import photograph
from demoire.simulate.surfaces import draw_surface, photograph_surface
from demoire.simulate.tinted_text import print_tinted_text

SPLIT = """[train]
surfaces = ["clean_hard/surface_*"]
tinted_text = ["clean_hard/tint_*", "halftone/tint_*"]
"""

_LEAST_SIDE = 64  # px
_TINT_SHARE = 0.25  # of all pictures; each is there with dots and without
_TEXTURE_SHARE = 0.5  # of the surfaces, where there are textures
_SCENE_SIDE = 512  # px, of the picture that a tint shows


@dataclass(frozen=True)
class HardSet:
    """Which pictures to make."""

    count: int
    seed: int
    size: int = 384  # px, even

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"{self.count} pictures cannot be made; ask for one at least.")
        if self.size < _LEAST_SIDE or self.size % 2:
            raise UsageError(
                f"Pictures of {self.size} px cannot be made; "
                f"use an even number from {_LEAST_SIDE} up."
            )


def write_hard_set(
    textures: Path | None,
    out: Path,
    wanted: HardSet,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the pictures and their split file. What else the folder holds stays.

    Args:
        textures: A folder of pictures of surfaces, the larger the better; None draws all of them.
        out: The folder to write to; it is made.
        wanted: Which pictures to make.
        on_progress: Is told how many are done, of how many.

    Raises:
        UsageError: There are no textures, or the folder cannot be written.
    """
    files = [] if textures is None else clean_images(textures)
    clean, halftone = out / "clean_hard", out / "halftone"
    try:
        for folder in (clean, halftone):
            folder.mkdir(parents=True, exist_ok=True)
        for index in range(wanted.count):
            rng = np.random.default_rng([wanted.seed, index])
            name = f"{wanted.seed}_{index:05d}.png"
            if rng.random() < _TINT_SHARE:
                scene = photograph(rng, _SCENE_SIDE, _SCENE_SIDE)
                pair = print_tinted_text(scene, wanted.size, rng)
                write_picture(halftone / f"tint_{name}", pair.moire)
                write_picture(clean / f"tint_{name}", pair.clean)
            else:
                surface = photograph_surface(_texture(files, rng), wanted.size, rng)
                write_picture(clean / f"surface_{name}", surface)
            if on_progress is not None:
                on_progress(index + 1, wanted.count)
        (out / "split.toml").write_text(SPLIT, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}); choose another folder."
        ) from error


def _texture(files: list[Path], rng: np.random.Generator) -> Scene:
    """One of the textures, or a drawn one."""
    if files and rng.random() < _TEXTURE_SHARE:
        return read_scene(files[int(rng.integers(len(files)))])
    return draw_surface(rng)
