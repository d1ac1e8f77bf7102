"""Grey pictures of black and white images: beside the mirror, and gone with their images."""

import io
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.gc import gc
from pipelines.prune import prune
from pipelines.report.build import build_report
from pipelines.status import status
from tests.pipelines.conftest import draw, tree, write_tar
from tests.pipelines.publish.job import Job, cleaned_job, commit, rows_of

DOTS = Image.fromarray(np.indices((96, 128)).sum(axis=0) % 3 == 0)
GREYS = {"box.tar/b/1.tif.png", "fax.tif!/page-0001.png", "fax.tif!/page-0002.png", "ä b.png.png"}


def file_of(image: Image.Image, format: str) -> bytes:
    out = io.BytesIO()
    image.copy().save(out, format)
    return out.getvalue()


@pytest.fixture(scope="module")
def grey_maker(tiny_config: CleanerConfig) -> Cleaner:
    return Cleaner(replace(tiny_config, gate="off", bilevel="grey"))


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Black and white pictures loose, in a tar and on pages, and one with greys."""
    src = tmp_path / "src"
    src.mkdir()
    (src / "ä b.png").write_bytes(file_of(DOTS, "PNG"))
    DOTS.copy().save(src / "fax.tif", save_all=True, append_images=[DOTS.copy()])
    write_tar(src / "box.tar", {"b/1.tif": file_of(DOTS, "TIFF"), "b/2.jpg": draw(False, 1)})
    return src


@pytest.fixture
def job(src: Path, tmp_path: Path, grey_maker: Cleaner) -> Job:
    job = cleaned_job(src, tmp_path / "dst", grey_maker)
    job.publish_all()
    return job


def greys_of(job: Job) -> dict[str, bytes]:
    folder = job.dst / "_demoire" / "grey"
    return tree(folder) if folder.exists() else {}


def age(folder: Path) -> None:
    """Make all files in it two days old."""
    then = time.time() - 2 * 86400
    for path in folder.rglob("*.png"):
        os.utime(path, (then, then))


def test_a_black_and_white_image_is_copied_and_has_a_grey_one_beside_the_mirror(
    src: Path, job: Job, grey_maker: Cleaner
) -> None:
    assert job.prove().copied >= 4
    mirrored = tree(job.dst)
    assert mirrored["ä b.png"] == (src / "ä b.png").read_bytes()
    assert mirrored["fax.tif"] == (src / "fax.tif").read_bytes()
    row = rows_of(job, "box.tar")["b/1.tif"]
    assert (row["status"], row["reason"], row["sha256_out"]) == (
        "copied",
        "bilevel",
        row["sha256_in"],
    )
    greys = greys_of(job)
    assert greys.keys() == GREYS
    with Image.open(io.BytesIO(greys["fax.tif!/page-0002.png"])) as grey:
        assert (grey.mode, grey.size) == ("L", (128, 96))
    for unit in job.units:
        commit(unit, job, grey_maker)
    assert greys_of(job) == greys
    assert status(job.destination).grey_pictures == 4
    page = Path(build_report(str(job.dst))).read_text()
    assert "4 black and white images have a grey picture" in page
    assert 'href="../grey/%C3%A4%20b.png.png">ä b.png</a>' in page


def test_without_the_flag_there_is_none(
    src: Path, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    job = cleaned_job(src, tmp_path / "plain", Cleaner(tiny_config))
    assert greys_of(job) == {}


def test_gc_removes_those_whose_image_is_black_and_white_no_longer(
    src: Path, job: Job, grey_maker: Cleaner
) -> None:
    age(job.dst)
    gc(job.destination)
    assert greys_of(job).keys() == GREYS
    (src / "ä b.png").write_bytes(file_of(DOTS.convert("RGB"), "PNG"))
    again = cleaned_job(src, job.dst, grey_maker)
    age(job.dst)
    gc(again.destination)
    assert greys_of(job).keys() == GREYS, "not all is published"
    again.publish(again.planned(""))
    age(job.dst)
    gc(again.destination)
    assert greys_of(job).keys() == GREYS - {"ä b.png.png"}


def test_prune_removes_those_of_what_has_left(src: Path, job: Job, grey_maker: Cleaner) -> None:
    (src / "box.tar").unlink()
    (src / "fax.tif").unlink()
    again = cleaned_job(src, job.dst, grey_maker)
    again.publish_all()
    prune(again.destination, again.plan)
    assert greys_of(job).keys() == {"ä b.png.png"}
