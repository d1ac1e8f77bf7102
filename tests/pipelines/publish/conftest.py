"""A box with one source of each kind, and what publishing makes of it."""

from pathlib import Path

import pytest

from demoire.cleaning.cleaner import Cleaner
from tests.pipelines.conftest import draw, half_moire, write_tar, write_zip
from tests.pipelines.publish.job import Job, published_job

TEXT = b"no picture, whatever the name says"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """One of each: a tar with unsafe names and a text called .jpg, a tar.gz, a zip, loose files, a
    tar cut short.
    """
    box = tmp_path / "box"
    (box / "loose").mkdir(parents=True)
    write_tar(
        box / "a.tar",
        {**half_moire(4), "../evil.jpg": b"evil", "text.jpg": TEXT, "notes.txt": b"notes"},
    )
    write_tar(box / "b.tar.gz", half_moire(2, 10), "w:gz")
    write_zip(box / "c.zip", half_moire(2, 20))
    (box / "cut.tar").write_bytes((box / "a.tar").read_bytes()[:3000])
    (box / "loose" / "one.jpg").write_bytes(draw(True, 30))
    (box / "loose" / "link.jpg").symlink_to(tmp_path)
    return box


@pytest.fixture
def published(box: Path, tmp_path: Path, cleaner: Cleaner) -> Job:
    return published_job(box, tmp_path / "out", cleaner)
