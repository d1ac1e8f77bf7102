"""A folder of what detectors mistake, laid out as field pictures: what `demoire lookalikes` writes.

    OUT/clean_hard/surface_SEED_00000.png   a clean photograph of a patterned surface
    OUT/clean_hard/painting_SEED_00000.png  a clean photograph of a painting on canvas
    OUT/clean_hard/weave_SEED_00000.png     a fine surface through a filter that is enough
    OUT/texture/weave_SEED_00000.png        the same without the filter, with moiré
    OUT/clean_hard/dithered_SEED_00000.png  a screen or picture that is dithered on purpose
    OUT/clean_hard/tint_SEED_00000.png      text on a tint, without dots
    OUT/halftone/tint_SEED_00000.png        the same, printed in dots
    OUT/split.toml                          all of it as sources for training

Half of the surfaces are textures out of a folder, where one is given, and the others are drawn.
Picture `i` depends on the seed, `i`, the size and the list of textures alone. A further seed adds
to the folder; the split file is the same for all.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demoire.errors import UsageError
from demoire.files import writing_to
from demoire.progress import Progress, in_silence
from demoire.simulate.arrays import Scene
from demoire.simulate.pairs import clean_images, read_scene, write_picture
from demoire.simulate.scenes.dithering import draw_dithered_page
from demoire.simulate.scenes.paintings import paint_on_canvas
from demoire.simulate.scenes.photographs import photograph
from demoire.simulate.surfaces import draw_surface, photograph_aliased, photograph_surface
from demoire.simulate.tinted_text import simulate_exposed_tinted_text

SPLIT = """[train]
surfaces = ["clean_hard/surface_*"]
paintings = ["clean_hard/painting_*"]
dithered = ["clean_hard/dithered_*"]
fine_weaves = ["clean_hard/weave_*", "texture/weave_*"]
tinted_text = ["clean_hard/tint_*", "halftone/tint_*"]
"""

_Name = tuple[str, str]  # a folder of field pictures, and what the picture's name begins with
_CLEAN = "clean_hard"
_FOLDERS = (_CLEAN, "halftone", "texture")

_LEAST_SIDE = 64  # px
_TINT_SHARE = 0.25  # of all pictures; each is there with dots and without
_PAINTING_SHARE = 0.15  # of all pictures
_WEAVE_SHARE = 0.1  # of all pictures; each is there with moiré and without
_DITHERED_SHARE = 0.1  # of all pictures
_TEXTURE_SHARE = 0.5  # of the surfaces, where there are textures
_SCENE_SIDE = 512  # px, of the picture that a tint or a painting shows
_CANVAS_SIDE = 1024  # px, of a painting


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
    progress: Progress = in_silence,
) -> None:
    """Write the pictures and their split file. What else the folder holds stays.

    Args:
        textures: A folder of pictures of surfaces, the larger the better; None draws all of them.
        out: The folder to write to; it is made.
        wanted: Which pictures to make.
        progress: Told how many are done, of how many.

    Raises:
        UsageError: There are no textures, or the folder cannot be written.
    """
    files = [] if textures is None else clean_images(textures)
    with writing_to(out, "choose another folder"):
        for folder in _FOLDERS:
            (out / folder).mkdir(parents=True, exist_ok=True)
        for index in range(wanted.count):
            rng = np.random.default_rng([wanted.seed, index])
            for path, picture in _draw_pictures(files, wanted.size, rng).items():
                folder, name = path
                write_picture(out / folder / f"{name}_{wanted.seed}_{index:05d}.png", picture)
            progress("photographing", index + 1, wanted.count)
        (out / "split.toml").write_text(SPLIT, encoding="utf-8")


def _draw_pictures(files: list[Path], size: int, rng: np.random.Generator) -> dict[_Name, Scene]:
    """One clean picture, and where it has one its twin with moiré."""
    share = rng.random()
    if share < _TINT_SHARE:
        tint = simulate_exposed_tinted_text(photograph(rng, _SCENE_SIDE, _SCENE_SIDE), size, rng)
        return {("halftone", "tint"): tint.moire, (_CLEAN, "tint"): tint.clean}
    share -= _TINT_SHARE
    if share < _PAINTING_SHARE:
        shown = photograph(rng, _SCENE_SIDE, _SCENE_SIDE)
        painting = paint_on_canvas(shown, _CANVAS_SIDE, rng)
        return {(_CLEAN, "painting"): photograph_surface(painting, size, rng)}
    share -= _PAINTING_SHARE
    if share < _WEAVE_SHARE:
        weave = photograph_aliased(draw_surface(rng), size, rng)
        if weave is not None:
            return {("texture", "weave"): weave.moire, (_CLEAN, "weave"): weave.clean}
    elif share < _WEAVE_SHARE + _DITHERED_SHARE:
        return {(_CLEAN, "dithered"): draw_dithered_page(rng, size)}
    return {(_CLEAN, "surface"): photograph_surface(_texture(files, rng), size, rng)}


def _texture(files: list[Path], rng: np.random.Generator) -> Scene:
    """One of the textures, or a drawn one."""
    if files and rng.random() < _TEXTURE_SHARE:
        return read_scene(files[int(rng.integers(len(files)))])
    return draw_surface(rng)
