"""The drawn pictures and archives that the bench works on."""

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import UsageError
from demoire.moire import MoireKind
from demoire.simulate.scenes.drawings import SCENES
from demoire.simulate.simulator import simulate

_MOIRE: tuple[MoireKind, ...] = ("screen", "halftone")  # textures take minutes to draw at this size
_QUALITY = 90  # of the JPEG files


@dataclass(frozen=True)
class Extent:
    """How much is measured. Fewer and smaller pictures make worse figures, sooner."""

    pictures: int = 8  # that are drawn, half of them with moiré; even
    width: int = 1500  # px; the height is two thirds of it, as in a photograph
    seconds: float = 1.5  # about, for each model and each stage alone, and for the script
    job_seconds: float = 40.0  # that the whole job would take at the best rate possible

    @property
    def height(self) -> int:
        """Height of a picture in px."""
        return self.width * 2 // 3

    @property
    def megapixels(self) -> float:
        """Size of one picture."""
        return self.width * self.height / 1e6


def draw_pictures(extent: Extent) -> list[bytes]:
    """Draw the pictures as JPEG files, every second one with moiré; always the same ones."""
    names = sorted(SCENES)
    files = []
    for number in range(extent.pictures):
        rng = np.random.default_rng(number)
        name = names[number // 2 % len(names)]
        if number % 2 == 0:
            pixels = SCENES[name](rng, extent.height, extent.width)
        else:
            pixels = _with_moire(name, _MOIRE[number // 2 % len(_MOIRE)], extent, rng)
        files.append(to_jpeg(pixels))
    return files


def draw_print(extent: Extent) -> NDArray[np.uint8]:
    """A page as it is scanned from print; always the same one."""
    return _with_moire("page", "halftone", extent, np.random.default_rng(3))


def _with_moire(
    scene_name: str, kind: MoireKind, extent: Extent, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A picture of a scene with moiré.

    Simulating takes seconds a megapixel, so a third of the width is simulated, and continued by
    reflection.
    """
    side = extent.width // 6 * 2
    scene = SCENES[scene_name](rng, side, side)
    patch = simulate(kind, scene, side, rng).moire
    below = extent.height - side
    beside = extent.width - side
    return np.pad(patch, ((0, below), (0, beside), (0, 0)), mode="symmetric")


def to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, 3) sRGB as a JPEG file, as the bench and its script write them."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def write_archive(path: Path, pictures: Sequence[bytes], rounds: int) -> None:
    """Write a tar that holds all pictures `rounds` times under different names.

    Raises:
        UsageError: The temporary folder has no room, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w") as archive:
            for number in range(rounds * len(pictures)):
                data = pictures[number % len(pictures)]
                entry = tarfile.TarInfo(f"{number:06d}.jpg")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise no_room(error) from error


def no_room(error: OSError) -> UsageError:
    """Say that the temporary folder cannot be written."""
    return UsageError(
        f"The temporary folder cannot be written ({error.strerror}): set TMPDIR to a folder that "
        "has room."
    )
