"""Small archives drawn here, a browser, and a job that was run once."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.job import CleanJob
from pipelines.run import run_job

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.pipelines.job_box import Finished

SIDE = 96


def draw(striped: bool, seed: int, *, side: int = SIDE, form: str = "JPEG") -> bytes:
    """A small picture, with bold stripes or without, as an encoded file."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 180, side)[None, :, None] + rng.normal(0, 1, (side, side, 3))
    if striped:
        ramp = ramp + 60 * np.sign(np.sin(0.9 * np.arange(side)))[:, None, None]
    file = io.BytesIO()
    Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).save(
        file, form, **({"quality": 92} if form == "JPEG" else {})
    )
    return file.getvalue()


def half_moire(count: int, first: int = 0) -> dict[str, bytes]:
    """Pictures by name, every second one striped."""
    return {f"img_{i:03}.jpg": draw(i % 2 == 0, first + i) for i in range(count)}


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    """A tar (`mode` "w:gz": compressed) whose members have odd owners, modes and times."""
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for number, (name, data) in enumerate(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1_000_000_000 + number, 0o640
            info.uid, info.gid, info.uname, info.gname = 1234, 99, "archivist", "library"
            info.pax_headers = {"LIBRARY.shelf": f"shelf {number}"}
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """A zip with a comment, of stored and deflated members in turn."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"box 7"
        for number, (name, data) in enumerate(members.items()):
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 2 * (number % 30)))
            info.compress_type = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            info.comment, info.external_attr = f"no. {number}".encode(), 0o640 << 16
            archive.writestr(info, data)
    return path


def read_tar(path: Path) -> dict[str, bytes]:
    """All plain members of a tar by name."""
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}  # type: ignore[union-attr]


def tree(folder: Path, *, bookkeeping: bool = False) -> dict[str, bytes]:
    """All files under a folder by their relative path."""
    files = {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if bookkeeping or not name.startswith("_demoire/")
    }


@pytest.fixture(scope="session")
def cleaner(tiny_config: CleanerConfig) -> Cleaner:
    """The cleaner of this configuration."""
    return Cleaner(tiny_config)


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A browser for the pages of a module; its tests are skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_config: CleanerConfig) -> "Finished":
    """To be looked at, not to be changed."""
    from tests.pipelines.job_box import Finished, make_box

    folder = tmp_path_factory.mktemp("finished")
    config = replace(tiny_config, max_megapixels=0.02)
    job = CleanJob(str(make_box(folder / "box")), str(folder / "out"), config, workers=1)
    return Finished(job, run_job(job))
