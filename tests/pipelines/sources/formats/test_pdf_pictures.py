"""PDF files among loose files: a row for each picture on their pages, one file in the mirror."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import psutil
import pytest
from pikepdf import Name
from PIL import Image

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.imaging.images import decode
from demoire.imaging.paged.pdf_pictures import PdfPictures
from demoire.imaging.pdf.guarded import pdf_readers
from demoire.imaging.pdf.passwords import use_passwords
from demoire.reasons import Reason
from pipelines.fixity.changes import gather_changes
from pipelines.job import CleanJob
from pipelines.launch import Launch
from pipelines.run import plan_units
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.status import status
from pipelines.storage.open import open_place
from tests.demoire.imaging.pdf.drawn_pdf import (
    HEIGHT,
    WIDTH,
    add_page,
    jpeg_picture_of,
    picture,
    problems_of,
    rendered,
)
from tests.pipelines.conftest import draw, tree
from tests.pipelines.publish.job import cleaned_job, job_of, rows_of, tried_again
from tests.pipelines.sources.archives import the_only_source


@pytest.fixture(autouse=True, scope="module")
def readers() -> Iterator[None]:
    yield
    pdf_readers.end()


def pixels_of(is_striped: bool, seed: int) -> np.ndarray:
    drawn = np.asarray(Image.open(io.BytesIO(draw(is_striped, seed, form="PNG"))))
    return drawn[:HEIGHT, :WIDTH]


def jpeg_of(is_striped: bool, seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels_of(is_striped, seed)).save(out, "JPEG", quality=92)
    return out.getvalue()


def write_pdf(path: Path, *pages: str, **options: Any) -> Path:
    """A file of a page a word, in which each letter is a picture: striped (y), plain (p) or
    bilevel (b).
    """
    seed = 0
    with pikepdf.new() as pdf:
        for page in pages:
            pictures = []
            for letter in page:
                seed += 1
                if letter == "b":
                    bits = bytes(WIDTH // 8 * HEIGHT)
                    grey = {"ColorSpace": Name.DeviceGray, "BitsPerComponent": 1}
                    pictures.append(picture(pdf, bits, **grey))
                else:
                    data = jpeg_of(letter == "y", seed)
                    pictures.append(picture(pdf, data, Filter=Name.DCTDecode))
            add_page(pdf, *pictures)
        pdf.save(path, **options)
    return path


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    box.mkdir()
    write_pdf(box / "scan.pdf", "y", "pyb", "", "p")
    write_pdf(box / "text.PDF", "", "")
    write_pdf(box / "locked.pdf", "y", encryption=pikepdf.Encryption(owner="o", user="u"))
    damaged = write_pdf(box / "torn.pdf", "y").read_bytes()
    (box / "torn.pdf").write_bytes(damaged[:-200])
    (box / "empty.pdf").write_bytes(b"")
    (box / "z.jpg").write_bytes(draw(True, 9))
    return box


def test_pictures_are_images_behind_all_files_and_are_read_as_files(box: Path) -> None:
    source = the_only_source(box)
    members = index(source).members
    assert [(member.name, member.kind, member.reason) for member in members] == [
        ("empty.pdf", "image", ""),
        ("locked.pdf", "image", "encrypted"),
        ("scan.pdf", "other", ""),
        ("text.PDF", "other", ""),
        ("torn.pdf", "image", "damaged_document"),
        ("z.jpg", "image", ""),
        ("scan.pdf!/page-0001", "image", ""),
        ("scan.pdf!/page-0002", "image", ""),
        ("scan.pdf!/page-0002-2", "image", ""),
        ("scan.pdf!/page-0002-3", "image", "bilevel"),
        ("scan.pdf!/page-0004", "image", ""),
    ]
    first = members[6]
    assert round(first.megapixels, 6) == 0.006912
    assert members[9].megapixels == members[1].megapixels == 0
    ((_, data),) = read_members(source, [first])
    assert isinstance(data, bytes)
    assert np.array_equal(decode(data).pixels, decode(jpeg_of(True, 1)).pixels)


def test_a_file_in_a_bucket_is_fetched_and_read_the_same(box: Path) -> None:
    place = open_place("memory://shelf")
    place.write("scan.pdf", (box / "scan.pdf").read_bytes())
    (source,) = discover("memory://shelf")
    images = index(source).images
    assert [image.name for image in images][2] == "scan.pdf!/page-0002-2"
    here = the_only_source(box)
    local = [member for member in index(here).images if member.name.startswith("scan.pdf!")]
    fetched = [data for _, data in read_members(source, images) if isinstance(data, bytes)]
    assert fetched == [data for _, data in read_members(here, local) if isinstance(data, bytes)]


def test_pictures_are_cleaned_in_their_place_and_the_count_comes_out(
    box: Path, tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.plan.units.UNIT_IMAGES", 2)  # a file in several units
    job = cleaned_job(box, tmp_path / "out", cleaner)
    assert len(job.units) == 5
    job.publish_all()
    rows = rows_of(job, "")
    told = {name: (row["page"], row["status"], row["reason"]) for name, row in rows.items()}
    assert told == {
        "empty.pdf": (0, "quarantined", "truncated"),
        "locked.pdf": (0, "copied", "encrypted"),
        "torn.pdf": (0, "quarantined", "damaged_document"),
        "z.jpg": (0, "cleaned", None),
        "scan.pdf!/page-0001": (1, "cleaned", None),
        "scan.pdf!/page-0002": (2, "copied", None),
        "scan.pdf!/page-0002-2": (2, "cleaned", None),
        "scan.pdf!/page-0002-3": (2, "copied", "bilevel"),
        "scan.pdf!/page-0004": (4, "copied", None),
    }
    mirror, original = tree(job.dst), tree(box)
    differing = {name for name in original if mirror[name] != original[name]}
    assert mirror.keys() == original.keys() and differing == {"scan.pdf", "z.jpg"}
    assert mirror["scan.pdf"].startswith(original["scan.pdf"])
    cleaned_file = job.dst / "scan.pdf"
    assert problems_of(cleaned_file) == []
    before, after = rendered(box / "scan.pdf"), rendered(cleaned_file)
    are_same = [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert are_same == [False, False, True, True]
    bottom = slice(2 * HEIGHT, None)  # where the first picture of a page is drawn
    assert np.array_equal(before[1][bottom], after[1][bottom])
    proof = job.prove()
    assert (proof.images, proof.files, proof.others) == (9, 6, 2)
    assert sorted(gather_changes(job.destination, job.plan).loose) == ["scan.pdf", "z.jpg"]
    assert job.planned("").not_looked_into == {}
    assert status(job.destination).images_done == 9
    again = job_of(box, tmp_path / "out", job.plan.fingerprint)
    assert [unit.id for unit in again.units] == [unit.id for unit in job.units]


def test_a_locked_file_is_cleaned_once_there_is_its_password(
    tmp_path: Path, cleaner: Cleaner, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    keys = pikepdf.Encryption(owner="o", user="u")
    locked = write_pdf(box / "locked.pdf", "yp", encryption=keys)
    write_pdf(box / "scan.pdf", "y")
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()
    assert rows_of(job, "")["locked.pdf"]["reason"] == "encrypted"
    launch = Launch.of(CleanJob(str(box), str(tmp_path / "out"), tiny_config))
    assert plan_units(launch) == job.plan.id  # nothing has changed
    use_passwords([b"wrong", b"u"])
    try:
        unlocked = plan_units(launch)
        assert unlocked != job.plan.id and plan_units(launch) == unlocked
        assert readers_at_work() == []
        again = cleaned_job(box, tmp_path / "out", cleaner)
        assert not again.destination.markers.done(again.plan)
        again.publish_all()
        assert len(again.destination.markers.done(again.plan)) == 1
    finally:
        use_passwords(())
    told = {name: row["status"] for name, row in rows_of(again, "").items()}
    assert told == {
        "locked.pdf!/page-0001": "cleaned",
        "locked.pdf!/page-0001-2": "copied",
        "scan.pdf!/page-0001": "cleaned",
    }
    result = again.dst / "locked.pdf"
    assert result.read_bytes().startswith(locked.read_bytes())
    (before,), (after,) = rendered(locked, password="u"), rendered(result, password="u")
    assert np.array_equal(before[:HEIGHT], after[:HEIGHT])
    assert not np.array_equal(before, after)
    again.prove()


def readers_at_work() -> list[str]:
    """The processes that read PDF files for this one."""
    commands = [" ".join(one.cmdline()) for one in psutil.Process().children()]
    return [command for command in commands if "serve_pdf" in command]


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_retry_puts_further_pictures_behind_those_that_are_there(
    rewrite: bool, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    large = draw(True, 3, side=192)
    with pikepdf.new() as pdf:
        add_page(pdf, picture(pdf, jpeg_of(True, 1), Filter=Name.DCTDecode))
        add_page(pdf, jpeg_picture_of(pdf, large, side=192))
        pdf.save(box / "scan.pdf")
    tiny_config = replace(tiny_config, rewrite=rewrite)
    small = Cleaner(replace(tiny_config, max_megapixels=0.01))
    job = cleaned_job(box, tmp_path / "out", small)
    job.publish_all()
    first = (job.dst / "scan.pdf").read_bytes()
    late = "scan.pdf!/page-0002"
    assert rows_of(job, "")[late]["reason"] == "too_large"
    again = tried_again(job, "", [late], Cleaner(tiny_config), rewrite=rewrite)
    written = []
    for _ in range(2):  # the second time as after a death
        again.publish_all()
        written.append((job.dst / "scan.pdf").read_bytes())
        assert rows_of(job, "")[late]["status"] == "cleaned"
    assert written[0] == written[1] != first
    assert written[0].startswith(first) == (not rewrite)
    has_old_pictures = jpeg_of(True, 1) in written[0], large in written[0]
    assert has_old_pictures == (not rewrite, not rewrite)
    assert job.prove().cleaned == 2
    assert {row["dpi"] for row in rows_of(job, "").values()} == {72.0, 144.0}


def test_a_file_that_takes_no_cleaned_pictures_stays_and_its_rows_say_so(
    tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "box").mkdir()
    original = write_pdf(tmp_path / "box" / "scan.pdf", "y", "p").read_bytes()
    job = cleaned_job(tmp_path / "box", tmp_path / "out", cleaner)

    def refuse(*_: object, **__: object) -> None:
        raise ImageError(Reason.ENCODE_FAILED, "no room")

    monkeypatch.setattr(PdfPictures, "put", refuse)
    job.publish_all()
    assert tree(job.dst) == {"scan.pdf": original}
    told = {name: (row["status"], row["reason"]) for name, row in rows_of(job, "").items()}
    assert told == {
        "scan.pdf!/page-0001": ("quarantined", "encode_failed"),
        "scan.pdf!/page-0002": ("copied", None),
    }
    assert job.prove().quarantined == 1
