"""TIFF and PDF files of several pages in archives: a row for each page, one file in the mirror."""

import gzip
import hashlib
import io
import os
import signal
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pikepdf
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.errors import ImageError
from demoire.imaging.images import decode
from demoire.imaging.paged.tiff_pages import TiffPages
from demoire.imaging.pdf.guarded import pdf_readers
from demoire.reasons import Reason
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.fixity.changes import gather_changes
from pipelines.plan.plan import make_plan
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.storage.open import open_place
from tests.demoire.imaging.pdf.drawn_pdf import add_page, jpeg_picture_of, rendered
from tests.pipelines.conftest import SIDE, draw, read_tar, tree
from tests.pipelines.publish.job import Job, cleaned_job, job_of, rows_of, tried_again
from tests.pipelines.sources.archives import Content, tar_of, the_only_source, zip_of
from tests.pipelines.sources.formats.paged_files import (
    changed_pages,
    pixels_of,
    write_pages,
    write_scan,
)

ARCHIVES: dict[str, Callable[[Content], bytes]] = {
    "box.tar": tar_of,
    "box.tar.gz": lambda content: gzip.compress(tar_of(content)),
    "box.zip": zip_of,
    "box.cbz": lambda content: zip_of(content, zipfile.ZIP_STORED),
}


@pytest.fixture(autouse=True, scope="module")
def readers() -> Iterator[None]:
    yield
    pdf_readers.end()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """A picture, a TIFF of four pages, a TIFF of one, a PDF of two, and no picture."""
    folder = tmp_path_factory.mktemp("content")
    return [
        ("a.jpg", draw(True, 9)),
        ("b/scan.tif", write_pages(folder / "scan.tif")),
        ("one.tif", write_pages(folder / "one.tif", "y")),
        ("scan.pdf", write_scan(folder / "scan.pdf")),
        ("z.txt", b"z" * 3000),
    ]


def members_of(path: Path) -> dict[str, bytes]:
    if path.name.endswith((".zip", ".cbz")):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return {info.filename: archive.read(info) for info in archive.infolist()}
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


EXPECTED = {
    "a.jpg": (0, "cleaned", None),
    "one.tif": (0, "cleaned", None),
    "b/scan.tif!/page-0001": (1, "cleaned", None),
    "b/scan.tif!/page-0002": (2, "copied", None),
    "b/scan.tif!/page-0003": (3, "cleaned", None),
    "b/scan.tif!/page-0004": (4, "copied", "bilevel"),
    "scan.pdf!/page-0001": (1, "cleaned", None),
    "scan.pdf!/page-0002": (2, "copied", None),
}


def assert_pages_cleaned(before: dict[str, bytes], after: dict[str, bytes], folder: Path) -> None:
    assert list(after) == list(before)
    assert after["z.txt"] == before["z.txt"]
    assert changed_pages(before["b/scan.tif"], after["b/scan.tif"]) == [1, 3]
    assert after["scan.pdf"].startswith(before["scan.pdf"])
    for name, pdf in (("before.pdf", before["scan.pdf"]), ("after.pdf", after["scan.pdf"])):
        (folder / name).write_bytes(pdf)
    pages = zip(rendered(folder / "before.pdf"), rendered(folder / "after.pdf"), strict=True)
    assert [np.array_equal(old, new) for old, new in pages] == [False, True]


@pytest.mark.parametrize("name", ARCHIVES)
def test_pages_are_cleaned_in_their_place_and_the_count_comes_out(
    name: str, content: Content, tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.plan.units.UNIT_IMAGES", 3)  # a file in several units
    box = tmp_path / "box"
    box.mkdir()
    (box / name).write_bytes(ARCHIVES[name](content))
    job = cleaned_job(box, tmp_path / "out", cleaner)
    assert len(job.units) == 3
    job.publish_all()
    told = {}
    for member, row in rows_of(job, name).items():
        told[member] = (row["page"], row["status"], row["reason"])
    assert told == EXPECTED
    after = members_of(job.dst / name)
    assert_pages_cleaned(dict(content), after, tmp_path)
    proof = job.prove()
    assert (proof.images, proof.files, proof.others) == (8, 1, 3)

    members = gather_changes(job.destination, job.plan).members
    changed = {file.member: file for file in members}
    assert sorted(changed) == ["a.jpg", "b/scan.tif", "one.tif", "scan.pdf"]
    for member, file in changed.items():
        assert file.sha256_before == hashlib.sha256(dict(content)[member]).hexdigest()
        assert file.sha256_after == hashlib.sha256(after[member]).hexdigest()
        assert (file.bytes_before, file.bytes_after) == (
            len(dict(content)[member]),
            len(after[member]),
        )

    again = job_of(box, tmp_path / "out", job.plan.fingerprint)
    assert [unit.id for unit in again.units] == [unit.id for unit in job.units]


@pytest.mark.parametrize("inner", [tar_of, zip_of])
@pytest.mark.parametrize("outer", ["box.tar", "box.cbz"])
def test_pages_in_an_inner_archive_are_cleaned_in_their_place(
    outer: str,
    inner: Callable[[Content], bytes],
    content: Content,
    tmp_path: Path,
    cleaner: Cleaner,
) -> None:
    suffix = "tar" if inner is tar_of else "zip"
    box = tmp_path / "box"
    box.mkdir()
    held = [(f"in.{suffix}", inner(content)), ("scan.tif", dict(content)["b/scan.tif"])]
    (box / outer).write_bytes(ARCHIVES[outer](held))
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()
    rows = rows_of(job, outer)
    expected = {f"in.{suffix}!/{name}": told for name, told in EXPECTED.items()}
    for number in (1, 2, 3, 4):
        page = f"scan.tif!/page-000{number}"
        expected[page] = EXPECTED[f"b/{page}"]
    told = {name: (row["page"], row["status"], row["reason"]) for name, row in rows.items()}
    assert told == expected
    parts = members_of(job.dst / outer)
    assert changed_pages(dict(content)["b/scan.tif"], parts["scan.tif"]) == [1, 3]
    (tmp_path / f"in.{suffix}").write_bytes(parts[f"in.{suffix}"])
    assert_pages_cleaned(dict(content), members_of(tmp_path / f"in.{suffix}"), tmp_path)
    assert job.prove().images == 12


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_page_is_read_as_a_file_of_its_own(name: str, content: Content, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ARCHIVES[name](content))
    source = the_only_source(tmp_path / name)
    pages = [member for member in index(source).images if "scan.tif!/" in member.name]
    assert [round(page.megapixels, 6) for page in pages] == [0.009216] * 4
    for number, (_, data) in enumerate(read_members(source, pages[:3])):
        assert isinstance(data, bytes)
        assert np.array_equal(decode(data).pixels, pixels_of(number != 1, number))


def test_pages_of_an_archive_in_a_bucket_are_read_the_same(
    content: Content, tmp_path: Path
) -> None:
    (tmp_path / "box.zip").write_bytes(zip_of(content))
    here = the_only_source(tmp_path / "box.zip")
    place = open_place("memory://paged")
    place.write("box.zip", (tmp_path / "box.zip").read_bytes())
    (there,) = discover("memory://paged")
    expected = [data for _, data in read_members(here, index(here).images)]
    assert [data for _, data in read_members(there, index(there).images)] == expected


def test_a_sample_of_a_compressed_tar_is_read_in_its_order(
    content: Content, tmp_path: Path
) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "box.tar.gz").write_bytes(gzip.compress(tar_of(content)))
    destination = Destination.at(str(tmp_path / "out"))
    plan = make_plan(destination, PlanScope(str(tmp_path / "box"), "fingerprint", sample=7))
    (unit,) = destination.manifests.units(plan)
    read = [data for _, data in read_members(unit.source, unit.members)]
    assert [type(data) for data in read] == [bytes] * 7


def test_files_that_are_refused_or_damaged_have_one_row(
    content: Content, tmp_path: Path, cleaner: Cleaner
) -> None:
    scan = dict(content)["b/scan.tif"]
    locked = tmp_path / "locked.pdf"
    with pikepdf.open(io.BytesIO(dict(content)["scan.pdf"])) as pdf:
        pdf.save(locked, encryption=pikepdf.Encryption(owner="o", user="u"))
    box = tmp_path / "box"
    box.mkdir()
    data = zip_of([("cut.tif", scan), ("locked.pdf", locked.read_bytes()), ("ok.tif", scan)])
    broken = bytearray(data)
    broken[data.index(b"cut.tif") + 200] ^= 0xFF
    (box / "box.zip").write_bytes(broken)
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()
    told = {name: (row["status"], row["reason"]) for name, row in rows_of(job, "box.zip").items()}
    assert told["cut.tif"] == ("quarantined", "unreadable")
    assert told["locked.pdf"] == ("copied", "encrypted")
    assert told["ok.tif!/page-0001"] == ("cleaned", None)
    assert len(told) == 6
    assert job.prove().images == 6


def test_a_file_that_takes_no_cleaned_pages_stays_and_its_rows_say_so(
    content: Content, tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / "box.tar").write_bytes(tar_of([("in.tar", tar_of(content[:2])), content[1]]))
    job = cleaned_job(box, tmp_path / "out", cleaner)

    def refuse(*_: object, **__: object) -> None:
        raise ImageError(Reason.ENCODE_FAILED, "no room")

    monkeypatch.setattr(TiffPages, "put", refuse)
    job.publish_all()
    rows = rows_of(job, "box.tar")
    refused = {name for name, row in rows.items() if row["reason"] == "encode_failed"}
    assert refused == {
        f"{file}!/page-000{number}"
        for file in ("b/scan.tif", "in.tar!/b/scan.tif")
        for number in (1, 3)
    }
    parts = read_tar(job.dst / "box.tar")
    assert parts["b/scan.tif"] == content[1][1]
    assert parts["in.tar"] != read_tar(box / "box.tar")["in.tar"], "the picture is cleaned"
    assert job.prove().quarantined == 4


def published_twice(job: Job, name: str) -> list[bytes]:
    """An archive's mirror as it is published, and published again as after a death."""
    written = []
    for _ in range(2):
        job.publish_all()
        written.append((job.dst / name).read_bytes())
    return written


@pytest.mark.parametrize("name", ["box.tar", "box.tar.gz", "box.zip"])
def test_a_retry_puts_further_pages_into_the_mirror_that_is_there(
    name: str, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    scan = write_pages(tmp_path / "scan.tif", "yy")
    large = write_pages(tmp_path / "large.tif", "yp")
    members = [("scan.tif", scan), ("a.jpg", draw(True, 3, side=192)), ("more.tif", large)]
    (box / name).write_bytes(ARCHIVES[name](members))
    small = Cleaner(replace(tiny_config, max_megapixels=0.001))
    job = cleaned_job(box, tmp_path / "out", small)
    job.publish_all()
    late = "scan.tif!/page-0002"
    assert rows_of(job, name)[late]["reason"] == "too_large"
    again = tried_again(job, name, [late], Cleaner(tiny_config))
    written = published_twice(again, name)
    parts = members_of(job.dst / name)
    assert changed_pages(scan, parts["scan.tif"]) == [2]
    assert parts["more.tif"] == large
    assert written[0] == written[1]
    assert job.prove().cleaned == 1


@pytest.mark.parametrize("name", ["box.tar", "box.tar.gz", "box.cbz"])
def test_pdf_files_in_archives_are_written_anew_where_that_is_wanted(
    name: str, tmp_path: Path, tiny_config: CleanerConfig
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    small, large = draw(True, 0), draw(True, 1, side=192)
    with pikepdf.new() as pdf:
        add_page(pdf, jpeg_picture_of(pdf, small, side=SIDE))
        add_page(pdf, jpeg_picture_of(pdf, large, side=192))
        pdf.save(tmp_path / "scan.pdf")
    scan = (tmp_path / "scan.pdf").read_bytes()
    members = [("z.txt", b"z" * 3000), ("scan.pdf", scan)]
    (box / name).write_bytes(ARCHIVES[name]([*members, ("in.tar", tar_of(members))]))
    config = replace(tiny_config, rewrite=True)
    job = cleaned_job(box, tmp_path / "out", Cleaner(replace(config, max_megapixels=0.01)))
    job.publish_all()
    first = members_of(job.dst / name)["scan.pdf"]
    assert small not in first and large in first
    rows = rows_of(job, name)
    is_looked_into = name != "box.tar.gz"
    assert ("in.tar!/scan.pdf!/page-0002" in rows) == is_looked_into
    late = [member for member, row in rows.items() if row["reason"] == "too_large"]
    again = tried_again(job, name, late, Cleaner(config), rewrite=True)
    written = published_twice(again, name)
    assert written[0] == written[1]
    parts = members_of(job.dst / name)
    (tmp_path / "in.tar").write_bytes(parts["in.tar"])
    inside = members_of(tmp_path / "in.tar")
    assert parts["z.txt"] == inside["z.txt"] == b"z" * 3000
    assert inside["scan.pdf"] == (parts["scan.pdf"] if is_looked_into else scan)
    assert not parts["scan.pdf"].startswith(scan)
    assert small not in parts["scan.pdf"] and large not in parts["scan.pdf"]
    (tmp_path / "after.pdf").write_bytes(parts["scan.pdf"])
    pages = zip(rendered(tmp_path / "scan.pdf"), rendered(tmp_path / "after.pdf"), strict=True)
    assert [np.array_equal(old, new) for old, new in pages] == [False, False]
    assert job.prove().cleaned == (4 if is_looked_into else 2)


def killed_at_write(number: int, job: Job) -> bool:
    """Publish in a child that is killed at its n-th write; whether it was."""
    child = os.fork()
    if child == 0:
        left = number
        put = TiffPages.put

        def put_or_die(
            self: TiffPages, file: BinaryIO, out: BinaryIO, *rest: object, **more: object
        ) -> None:
            class Dying(io.BufferedRandom):
                def write(self, data: object, /) -> int:  # type: ignore[override]
                    nonlocal left
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return super().write(data)  # type: ignore[arg-type]

            put(self, file, Dying(io.FileIO(out.fileno(), "r+b", closefd=False)), *rest, **more)  # type: ignore[arg-type]

        TiffPages.put = put_or_die  # type: ignore[assignment,method-assign]
        try:
            job.publish_all()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_run_killed_at_any_write_into_a_file_of_pages_is_finished_by_the_next(
    content: Content, tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the dead leave their files
    box = tmp_path / "box"
    box.mkdir()
    (box / "box.zip").write_bytes(zip_of(content[:2]))
    calm = cleaned_job(box, tmp_path / "calm", cleaner)
    calm.publish_all()
    killed = cleaned_job(box, tmp_path / "out", cleaner)
    deaths = 0
    while killed_at_write(deaths, killed):
        assert not (killed.dst / "box.zip").exists()
        deaths += 1
    assert deaths > 3
    mirror = tree(killed.dst)
    for name in list(mirror):
        if name.startswith(".demoire-"):  # left by the dead, and removed by `demoire gc`
            del mirror[name]
    assert mirror == tree(calm.dst)
    assert killed.prove().cleaned == 3
