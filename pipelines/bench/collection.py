"""The drawn pictures and archives that the bench works on."""

import io
import itertools
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import UsageError
from demoire.simulate import Kind, simulate
from demoire.simulate.scenes.pages import SCENES

_MOIRE: tuple[Kind, ...] = ("screen", "halftone")  # textures take minutes to draw at this size


_QUALITY = 90  # of the JPEG files


@dataclass(frozen=True)
class Extent:
    """How much is measured. Fewer and smaller pictures make worse figures, sooner."""

    pictures: int = 8  # that are drawn, half of them with moiré; even
    width: int = 1500  # px; the height is two thirds of it, as in a photograph
    seconds: float = 1.5  # about, for each model and each stage alone, and for the script
    job_seconds: float = 40.0  # that the whole job would take at the best rate possible

    @property
    def megapixels(self) -> float:
        """Of one picture."""
        return self.width * (self.width * 2 // 3) / 1e6


def draw_pictures(extent: Extent) -> list[bytes]:
    """The pictures as JPEG files, every second one with moiré; always the same ones.

    Moiré is simulated on a third of the width and continued by reflection, since simulating takes
    seconds a megapixel.
    """
    height, width = extent.width * 2 // 3, extent.width
    side = width // 6 * 2
    names = sorted(SCENES)
    files = []
    for number in range(extent.pictures):
        rng, name = np.random.default_rng(number), names[number // 2 % len(names)]
        if number % 2 == 0:
            files.append(_jpeg(SCENES[name](rng, height, width)))
            continue
        kind = _MOIRE[number // 2 % len(_MOIRE)]
        patch = simulate(kind, SCENES[name](rng, side, side), side, rng).moire
        files.append(
            _jpeg(np.pad(patch, ((0, height - side), (0, width - side), (0, 0)), mode="symmetric"))
        )
    return files


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def write_archive(path: Path, pictures: Sequence[bytes], rounds: int) -> None:
    """A tar that holds all pictures `rounds` times under different names. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w") as archive:
            for number, data in enumerate(
                itertools.chain.from_iterable(itertools.repeat(pictures, rounds))
            ):
                entry = tarfile.TarInfo(f"{number:06d}.jpg")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> UsageError:
    return UsageError(
        f"The temporary folder cannot be written ({error.strerror}): set TMPDIR to a folder that has room."
    )
