"""Grey pictures of black and white images: beside the mirror, and gone with their images."""

import io
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from pikepdf import Name
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from pipelines.gc import gc
from pipelines.prune import prune
from pipelines.report.build import build_report
from pipelines.status import status
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture, picture
from tests.demoire.imaging.pdf.test_bilevel import bilevel_pdf
from tests.pipelines.conftest import draw, tree, write_tar
from tests.pipelines.publish.job import Job, cleaned_job, commit, rows_of

# Large enough that a grey picture of it, at whatever scale it is looked at, is judged (64 px).
DOTS = Image.fromarray(np.indices((192, 256)).sum(axis=0) % 3 == 0)
GREYS = {
    "book.pdf!/page-0001.png",
    "box.tar/b/1.tif.png",
    "box.tar/book.pdf!/page-0001.png",
    "box.tar/fax.tif!/page-0001.png",
    "box.tar/fax.tif!/page-0002.png",
    "fax.tif!/page-0001.png",
    "fax.tif!/page-0002.png",
    "ä b.png.png",
}
NOT_OF_THE_IMAGE = {"run_id", "finished_at", "config_fingerprint", "unit_id", "ms_fetch"}


def file_of(image: Image.Image, format: str) -> bytes:
    out = io.BytesIO()
    image.copy().save(out, format)
    return out.getvalue()


def book(path: Path) -> None:
    """A PDF of two pages: black and white dots, and a photograph."""
    bits = np.packbits(np.asarray(DOTS), axis=1).tobytes()
    grey = {"ColorSpace": Name.DeviceGray, "BitsPerComponent": 1}
    with pikepdf.new() as pdf:
        add_page(pdf, picture(pdf, bits, Width=256, Height=192, **grey))
        add_page(pdf, jpeg_picture(pdf))
        pdf.save(path)


@pytest.fixture(scope="module")
def grey_maker(tiny_config: CleanerConfig) -> Cleaner:
    return Cleaner(replace(tiny_config, gate="off", bilevel="grey"))


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Black and white pictures loose, on pages, both in a tar as well, and some with greys."""
    src = tmp_path / "src"
    src.mkdir()
    (src / "ä b.png").write_bytes(file_of(DOTS, "PNG"))
    DOTS.copy().save(src / "fax.tif", save_all=True, append_images=[DOTS.copy()])
    book(src / "book.pdf")
    members = {"b/1.tif": file_of(DOTS, "TIFF"), "b/2.jpg": draw(False, 1)}
    for name in ("book.pdf", "fax.tif"):
        members[name] = (src / name).read_bytes()
    write_tar(src / "box.tar", members)
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
    assert rows_of(job, "")["book.pdf!/page-0001"]["reason"] == "bilevel"
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
        assert (grey.mode, grey.size) == ("L", DOTS.size)
    for unit in job.units:
        commit(unit, job, grey_maker)
    assert greys_of(job) == greys
    assert status(job.destination).grey_pictures == len(GREYS)
    page = Path(build_report(str(job.dst))).read_text()
    assert "8 black and white images have a grey picture" in page
    assert 'href="../grey/%C3%A4%20b.png.png">ä b.png</a>' in page


def test_without_the_flag_there_is_none_and_rows_of_pdfs_are_the_same(
    src: Path, job: Job, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    plain = cleaned_job(src, tmp_path / "plain", Cleaner(replace(tiny_config, gate="off")))
    plain.publish_all()
    assert greys_of(plain) == {}
    one, other = (rows_of(of, "")["book.pdf!/page-0001"] for of in (job, plain))
    for column in one.keys() - NOT_OF_THE_IMAGE:
        assert one[column] == other[column], column


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
    (src / "book.pdf").unlink()
    again = cleaned_job(src, job.dst, grey_maker)
    again.publish_all()
    prune(again.destination, again.plan)
    assert greys_of(job).keys() == {"ä b.png.png"}


def test_a_black_and_white_image_that_cannot_be_read_is_named(
    tmp_path: Path, grey_maker: Cleaner, caplog: pytest.LogCaptureFixture
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    bilevel_pdf(src / "damaged.pdf", b"", Filter=Name.JBIG2Decode)
    job = cleaned_job(src, tmp_path / "dst", grey_maker)
    job.publish_all()
    assert greys_of(job) == {}
    assert rows_of(job, "")["damaged.pdf!/page-0001"]["reason"] == "bilevel"
    assert "No grey picture of damaged.pdf!/page-0001 in" in caplog.text
