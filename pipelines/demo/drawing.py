"""The files of the sample collection: pictures in five formats, and what lies among them.

Everything is drawn from the random generator in one fixed order, so every byte depends on the seed
alone. Whoever adds a draw changes all that come after it.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from demoire.moire import MoireKind
from demoire.simulate.scenes.drawings import SCENES
from demoire.simulate.scenes.lookalikes import LOOKALIKES
from demoire.simulate.simulator import Pair, Style, simulate
from demoire.simulate.tinted_text import simulate_tinted_text

Pixels8 = NDArray[np.uint8]  # (H, W, 3) sRGB

CONTAINERS = ("box-1.tar", "box-2.tar", "scans.zip", "loose")
MODIFIED = (2006, 1, 1, 0, 0, 0)  # year to second of every file, UTC

_SIDES = (400, 448, 512, 640, 768)  # px, of pictures with moiré
_SUFFIXES = (".jpg", ".jpg", ".jpg", ".png", ".tif", ".webp", ".bmp")
_MOIRE: tuple[MoireKind, ...] = ("screen", "halftone", "screen", "halftone", "texture")


@dataclass(frozen=True)
class KnownTruth:
    """Where one picture with moiré is, and where its clean twin."""

    source: str  # archive or folder, relative to the collection
    member: str  # name in it
    clean: str  # file name of the twin, in the truth folder
    kind: str


@dataclass(frozen=True)
class DrawnFile:
    """One file of a container."""

    name: str
    content: bytes
    truth: KnownTruth | None = None  # of a picture with moiré

    @property
    def is_named_as_image(self) -> bool:
        """Whether its name says image, whatever its content is."""
        return not self.name.endswith((".txt", ".xml"))


def draw_container(
    container: str, pictures: int, truth_folder: Path, rng: np.random.Generator
) -> Iterator[DrawnFile]:
    """Draw the files of one container in order, and write the clean twins into their folder.

    Args:
        container: One of CONTAINERS.
        pictures: How many; every second one has moiré.
        truth_folder: Where the twins go.
        rng: Decides everything.
    """
    greeting = f"{container}: drawn samples, half of them with moire.\n"
    yield DrawnFile("README.txt", greeting.encode())
    for number in range(pictures):
        folder = "1890s" if number < pictures // 2 else "1900s"
        suffix = str(rng.choice(_SUFFIXES))
        if number % 2 == 0:
            subject, picture = _draw_clean(rng)
            name = f"{folder}/{number:03d}-{subject}{suffix}"
            yield DrawnFile(name, _encode(picture, suffix, rng))
            continue
        kind = _MOIRE[number // 2 % len(_MOIRE)]
        subject, picture, clean = _draw_moire(rng, kind)
        name = f"{folder}/{number:03d}-{subject}{suffix}"
        twin = f"{Path(container).stem}-{number:03d}.png"
        content = _encode(picture, suffix, rng)
        Image.fromarray(clean).save(truth_folder / twin)
        yield DrawnFile(name, content, KnownTruth(container, name, twin, kind))
    yield DrawnFile("catalogue.xml", b"<catalogue><box>drawn</box></catalogue>\n")
    if container == "box-1.tar":
        whole = _encode(SCENES["photograph"](rng, 512, 512), ".jpg", rng)
        yield DrawnFile("1900s/torn.jpg", whole[: len(whole) // 2])
    if container == "box-2.tar":
        yield DrawnFile("1900s/letter.jpg", b"This was saved under the wrong name.\n" * 20)


def _draw_clean(rng: np.random.Generator) -> tuple[str, Pixels8]:
    """The name and the picture of a scene or a look-alike, of any shape, without moiré."""
    drawings = SCENES if rng.random() < 0.6 else LOOKALIKES
    name = sorted(drawings)[int(rng.integers(len(drawings)))]
    height, width = rng.integers(400, 901, 2)
    return name, drawings[name](rng, int(height), int(width))


def _draw_moire(rng: np.random.Generator, kind: MoireKind) -> tuple[str, Pixels8, Pixels8]:
    """A scene's name, the picture of it with moiré, and its clean twin."""
    name = sorted(SCENES)[int(rng.integers(len(SCENES)))]
    side = int(rng.choice(_SIDES))
    pair = _draw_pair(rng, kind, name, side)
    return name, pair.moire, pair.clean


def _draw_pair(rng: np.random.Generator, kind: MoireKind, name: str, side: int) -> Pair:
    """A scene with moiré. A press screens pictures and tints; the type of a page is solid."""
    if kind == "halftone" and name == "page":
        return simulate_tinted_text(SCENES["photograph"](rng, side, side), side, rng)
    style: Style = "press" if kind == "halftone" else "mixed"
    return simulate(kind, SCENES[name](rng, side, side), side, rng, style)


def _encode(picture: Pixels8, suffix: str, rng: np.random.Generator) -> bytes:
    """Write a file with all that has to survive: EXIF, resolution and, often, a colour profile."""
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[0x010E] = "Sample drawn by demoire"  # ImageDescription
    exif[0x0132] = "2006:01:01 00:00:00"  # DateTime
    dpi = (int(rng.choice([150, 300, 600])),) * 2
    profile = _srgb_profile() if rng.random() < 0.5 else None
    stream = io.BytesIO()
    match suffix:
        case ".jpg":
            quality = int(rng.integers(78, 97))
            progressive = bool(rng.random() < 0.3)
            subsampling = 0 if rng.random() < 0.6 else 2  # 4:4:4, 4:2:0
            with _room_for(image):
                image.save(
                    stream,
                    "JPEG",
                    quality=quality,
                    subsampling=subsampling,
                    progressive=progressive,
                    dpi=dpi,
                    exif=exif,
                    icc_profile=profile,
                )
        case ".png":
            image.save(stream, "PNG", dpi=dpi, exif=exif, icc_profile=profile)
        case ".tif":
            image.save(stream, "TIFF", compression="tiff_lzw", dpi=dpi, icc_profile=profile)
        case ".webp":
            image.save(stream, "WEBP", quality=92, exif=exif, icc_profile=profile)
        case _:
            image.save(stream, "BMP", dpi=dpi)
    return stream.getvalue()


@cache
def _srgb_profile() -> bytes:
    """An sRGB profile whose date of creation is the samples', not the moment's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Bytes 24 to 35 of an ICC header are the date and time, as six 16-bit numbers.
    profile[24:36] = b"".join(number.to_bytes(2, "big") for number in MODIFIED)
    return bytes(profile)


@contextlib.contextmanager
def _room_for(image: Image.Image) -> Iterator[None]:
    """Make Pillow's buffer large enough for a progressive file, which sharp dots fill.

    Pillow reckons with a byte a pixel. The setting is changed for this file alone, because what
    other formats look like depends on it too.
    """
    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, 4 * image.width * image.height)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before
