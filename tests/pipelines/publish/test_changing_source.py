"""A source that is changed in place while it is read: nothing of it is cleaned or published."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pikepdf
import pytest
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import SourceChangedError
from pipelines.storage.local import LocalPlace
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of
from tests.pipelines.conftest import draw, half_moire, write_tar, write_zip
from tests.pipelines.publish.job import cleaned_job, commit, job_of, published_job

TEXT = os.urandom(300_000)


def tar(folder: Path) -> Path:
    return write_tar(folder / "a.tar", {**half_moire(2), "text.txt": TEXT})


def compressed_tar(folder: Path) -> Path:
    return write_tar(folder / "a.tar.gz", {**half_moire(2), "text.txt": TEXT}, "w:gz")


def zipped(folder: Path) -> Path:
    return write_zip(folder / "a.zip", {**half_moire(2), "text.txt": TEXT})


def pdf(folder: Path) -> Path:
    with pikepdf.new() as file:
        striped = jpeg_picture_of(file, draw(True, 1, side=128), side=128)
        add_page(file, striped, content=b"q 90 0 0 70 0 0 cm /Im0 Do Q %" + b"x" * 300_000)
        file.save(folder / "a.pdf", compress_streams=False)
    return folder / "a.pdf"


def pages(folder: Path) -> Path:
    pictures = [Image.open(io.BytesIO(draw(True, seed, side=256))) for seed in range(3)]
    pictures[0].save(folder / "a.tif", save_all=True, append_images=pictures[1:])
    return folder / "a.tif"


def loose(folder: Path) -> Path:
    (folder / "a.jpg").write_bytes(draw(False, 1, side=512))
    return folder / "a.jpg"


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


@pytest.fixture(params=[append, cut, overwrite])
def change(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    changed: Callable[[Path], None] = request.param
    return changed


@pytest.fixture(params=[tar, compressed_tar, zipped, pdf, pages, loose])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    path: Path = request.param(tmp_path / "src")
    return path


@contextmanager
def changed_behind_the_first_look(path: Path, change: Callable[[Path], None]) -> Iterator[None]:
    """For the block a file changes once, as soon as it was opened and found to be as planned."""
    opened = LocalPlace.open
    changes = [change]

    def open_and_change(place: LocalPlace, name: str, *, version: str | None = None) -> BinaryIO:
        file = opened(place, name, version=version)
        is_source = version is not None and place.full(name) == str(path)
        if is_source and changes:
            changes.pop()(path)
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalPlace, "open", open_and_change)
        yield
    assert not changes


def test_what_changes_while_it_is_read_is_not_cleaned(
    source: Path, change: Callable[[Path], None], tmp_path: Path, cleaner: Cleaner
) -> None:
    job = job_of(tmp_path / "src", tmp_path / "dst", cleaner.config.fingerprint())
    with (
        changed_behind_the_first_look(source, change),
        pytest.raises(SourceChangedError, match=f"{source.name} changed since it was planned"),
    ):
        for unit in job.units:
            commit(unit, job, cleaner)


def test_what_changes_while_its_mirror_is_written_has_none_until_the_next_run(
    source: Path, change: Callable[[Path], None], tmp_path: Path, cleaner: Cleaner
) -> None:
    job = cleaned_job(tmp_path / "src", tmp_path / "dst", cleaner)
    with (
        changed_behind_the_first_look(source, change),
        pytest.raises(SourceChangedError, match=f"{source.name} changed since it was planned"),
    ):
        job.publish_all()
    assert not (tmp_path / "dst" / source.name).exists()

    again = published_job(tmp_path / "src", tmp_path / "dst", cleaner)
    again.prove()
    assert (tmp_path / "dst" / source.name).exists()
