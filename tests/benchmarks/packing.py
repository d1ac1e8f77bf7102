"""What `make gpu` trains on, in one file that is small enough to travel: below 60 MB.

    python -m tests.benchmarks.packing PACK --images CLEAN [--shards DIR] [--most-mb 60]

A rented machine may have no network, and what is carried there be limited. PACK gets clean images,
and, where shards are given, as many whole ones as there is room for; `tests.benchmarks.gpu --pack`
takes them out again.

Images are cut to a window of 1,024 px and written as WebP of quality 87, some 55 kB each. They keep
their names, by which they are split. Pairs are written as JPEG of quality 95 with whole
chroma, 45 dB of the truth and 44 dB of the picture with moiré: of 256 px, 60 MB hold 1,050 of them,
which are four shards (losslessly they would be 470). Images are worth more: from them sixteen cores
simulate forty shards in a minute, and a GPU screens without end. So pairs get what they leave.
"""

import argparse
import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demoire.errors import UsageError
from demoire.simulate.pairs import clean_images, read_scene

_WINDOW = 1024  # px
_WEBP_QUALITY = 87
_JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
_ENTRY = 200  # bytes that the archive takes for an entry beside its data
_IMAGES, _SHARDS = "clean", "shards"


@dataclass(frozen=True)
class Packed:
    """What found room."""

    images: int
    images_left: int
    pairs: int
    bytes: int


def pack(out: Path, images: Path, shards: Path | None, most_bytes: int) -> Packed:
    """Write a pack.

    Args:
        out: The file.
        images: A folder of clean images.
        shards: One of shards; None packs images alone.
        most_bytes: Of the file.
    """
    paths = clean_images(images)
    # Where not all have room, those that do are spread over the folder.
    paths.sort(key=lambda path: hashlib.sha256(path.name.encode()).digest())
    room = most_bytes
    count = 0
    pairs = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as pack_file:
        for number, path in enumerate(paths):
            data = _webp(_window(read_scene(path)))
            if room < len(data) + _ENTRY:
                break
            # By its number first, since folders below may hold files of one name.
            pack_file.writestr(f"{_IMAGES}/{number:05d}/{path.name}", data)
            room -= len(data) + _ENTRY
            count += 1
        for rows in sorted(shards.glob("rows-*.csv")) if shards is not None else ():
            entries = list(_entries(rows))
            needed = sum(len(data) + _ENTRY for _, data in entries)
            if room < needed:
                break
            for name, data in entries:
                pack_file.writestr(f"{_SHARDS}/{name}", data)
            room -= needed
            pairs += (len(entries) - 1) // 2
    return Packed(count, len(paths) - count, pairs, out.stat().st_size)


def unpack(pack_file: Path, out: Path) -> tuple[Path, Path]:
    """Take a pack's images and shards out into a folder, where they are not there yet.

    Returns:
        The folder of images and that of shards.

    Raises:
        UsageError: There is no such pack.
    """
    images = out / _IMAGES
    shards = out / _SHARDS
    if images.exists():
        return images, shards
    unfinished = out / "unpacking"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with zipfile.ZipFile(pack_file) as archive:
            archive.extractall(unfinished)
    except (FileNotFoundError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{pack_file} is no pack: make one with tests.benchmarks.packing."
        ) from error
    shards.mkdir(parents=True, exist_ok=True)
    for rows in sorted((unfinished / _SHARDS).glob("rows-*.csv")):
        _unpack_shard(rows, shards)
    (unfinished / _IMAGES).rename(images)  # last: who finds it finds all
    shutil.rmtree(unfinished)
    return images, shards


def _window(scene: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a scene."""
    height, width = scene.shape[:2]
    top = max(0, (height - _WINDOW) // 2)
    left = max(0, (width - _WINDOW) // 2)
    return scene[top : top + _WINDOW, left : left + _WINDOW]


def _webp(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "WEBP", quality=_WEBP_QUALITY)
    return buffer.getvalue()


def _entries(rows: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a packed shard: its rows, and each picture by itself."""
    yield rows.name, rows.read_bytes()
    number = rows.stem.removeprefix("rows-")
    for name in ("moire", "clean"):
        pictures = np.load(rows.with_name(f"{name}-{number}.npy"), mmap_mode="r")
        for position, picture in enumerate(pictures):
            _, data = cv2.imencode(".jpg", np.asarray(picture)[..., ::-1], _JPEG_OPTIONS)
            yield f"{name}-{number}/{position:03d}.jpg", data.tobytes()


def _unpack_shard(rows: Path, shards: Path) -> None:
    number = rows.stem.removeprefix("rows-")
    for name in ("moire", "clean"):
        pictures = []
        for path in sorted((rows.parent / f"{name}-{number}").iterdir()):
            pictures.append(np.asarray(cv2.imread(str(path)))[..., ::-1])
        np.save(shards / f"{name}-{number}.npy", np.stack(pictures))
    shutil.copyfile(rows, shards / rows.name)


def main(words: Sequence[str] | None = None) -> None:
    """Pack, and say what found room."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, metavar="PACK")
    parser.add_argument("--images", type=Path, required=True, metavar="CLEAN")
    parser.add_argument("--shards", type=Path, metavar="DIR")
    parser.add_argument("--most-mb", type=float, default=60.0)
    options = parser.parse_args(words)
    most_bytes = int(options.most_mb * 1e6)
    packed = pack(options.pack, options.images, options.shards, most_bytes)
    print(
        f"{packed.images} images ({packed.images_left} had no room) and {packed.pairs} pairs: "
        f"{packed.bytes / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
