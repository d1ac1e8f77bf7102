"""One small collection in every container, and its mirror as `demoire clean` makes it.

The pictures are drawn here and the weights are the smallest of those shipped; with the gate off the
outcome of each picture is the same whatever the weights are worth.
"""

import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.golden.command import demoire

SIDE = 96  # px
GATE_OFF = ("--gate", "off", "--restorer", "restorer-fast", "--device", "cpu")


@dataclass(frozen=True)
class Mirror:
    """A collection, its mirror, and what the command printed about it."""

    src: Path
    dst: Path
    summary: dict[str, Any]


def draw(seed: int, form: str, *, mode: str = "RGB", **options: Any) -> bytes:
    """A picture of soft slopes with some grain, as an encoded file."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(60, 180, SIDE)[None, :, None]
    pixels = slope + rng.normal(0, 4, (SIDE, SIDE, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _two_pages() -> bytes:
    pages = [Image.open(io.BytesIO(draw(seed, "TIFF"))) for seed in (11, 12)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], dpi=(300, 300))
    return file.getvalue()


def _write_tar(path: Path, mode: str, members: dict[str, bytes]) -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), 1_000_000_000
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar, a tar.gz, a zip and loose files.

    Among them are a torn picture, a text called .jpg and a name that leaves its folder.
    """
    folder = tmp_path_factory.mktemp("golden") / "src"
    (folder / "loose" / "1904").mkdir(parents=True)
    whole = draw(1, "JPEG", quality=92, dpi=(300, 300))
    tar_members = {
        "catalogue.txt": b"four pictures\n",
        "001.jpg": whole,
        "002.png": draw(2, "PNG"),
        "torn.jpg": whole[: len(whole) // 2],
        "letter.jpg": b"saved under the wrong name\n" * 20,
    }
    _write_tar(folder / "box.tar", "w", tar_members)
    _write_tar(folder / "pages.tar.gz", "w:gz", {"two.tif": _two_pages(), "../evil.jpg": whole})
    with zipfile.ZipFile(folder / "scans.zip", "w") as archive:
        grey = zipfile.ZipInfo("grey.bmp", (2001, 2, 3, 4, 5, 6))
        archive.writestr(grey, draw(3, "BMP", mode="L"))
        notes = zipfile.ZipInfo("notes.xml", (2001, 2, 3, 4, 5, 6))
        archive.writestr(notes, b"<notes/>\n")
    (folder / "loose" / "1904" / "one.webp").write_bytes(draw(4, "WEBP", quality=90))
    (folder / "loose" / "README.txt").write_text("loose files\n")
    return folder


@pytest.fixture(scope="session")
def mirror(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    """The collection, cleaned."""
    dst = tmp_path_factory.mktemp("golden-mirror") / "dst"
    ended = demoire("clean", collection, dst, *GATE_OFF, "--json")
    assert ended.status == 0, ended.err
    return Mirror(collection, dst, ended.document)
