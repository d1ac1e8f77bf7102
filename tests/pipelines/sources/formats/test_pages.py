"""TIFF files of several pages among loose files: a row for each page, one file in the mirror."""

import hashlib
import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.config import CleanerConfig
from demoire.imaging.images import decode
from pipelines.fixity.changes import gather_changes
from pipelines.fixity.loose import LooseLists
from pipelines.sources.index import index
from pipelines.sources.read import read_members
from pipelines.status import status
from tests.pipelines.conftest import draw, tree
from tests.pipelines.publish.job import cleaned_job, job_of, rows_of, tried_again
from tests.pipelines.sources.archives import the_only_source
from tests.pipelines.sources.formats.paged_files import changed_pages, pixels_of, write_pages


def looped(data: bytes) -> bytes:
    """The file with its last page leading to its first one."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, last = file.pages[0].offset, file.pages[-1].offset
    (count,) = struct.unpack_from("<H", data, last)
    broken = bytearray(data)
    struct.pack_into("<I", broken, last + 2 + 12 * count, first)
    return bytes(broken)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "box"
    box.mkdir()
    write_pages(box / "b.tif")
    write_pages(box / "one.tif", "y")
    (box / "loop.tiff").write_bytes(looped(write_pages(box / "loop.tiff", "yy")))
    (box / "z.jpg").write_bytes(draw(True, 9))
    return box


def test_pages_are_images_behind_all_files_and_are_read_alone(box: Path) -> None:
    source = the_only_source(box)
    members = index(source).members
    assert [(member.name, member.kind) for member in members] == [
        ("b.tif", "other"),
        ("loop.tiff", "image"),
        ("one.tif", "image"),
        ("z.jpg", "image"),
        ("b.tif!/page-0001", "image"),
        ("b.tif!/page-0002", "image"),
        ("b.tif!/page-0003", "image"),
        ("b.tif!/page-0004", "image"),
    ]
    pages = members[4:]
    assert round(pages[0].megapixels, 6) == 0.009216
    for number, (_, data) in enumerate(read_members(source, pages[:3])):
        assert isinstance(data, bytes)
        assert np.array_equal(decode(data).pixels, pixels_of(number != 1, number))


def test_pages_are_cleaned_in_their_place_and_the_count_comes_out(
    box: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    job = cleaned_job(box, tmp_path / "out", cleaner)
    job.publish_all()
    rows = rows_of(job, "")
    told = {name: (row["page"], row["status"], row["reason"]) for name, row in rows.items()}
    assert told == {
        "b.tif!/page-0001": (1, "cleaned", None),
        "b.tif!/page-0002": (2, "copied", None),
        "b.tif!/page-0003": (3, "cleaned", None),
        "b.tif!/page-0004": (4, "copied", "bilevel"),
        "loop.tiff": (0, "copied", "multi_page"),
        "one.tif": (0, "cleaned", None),
        "z.jpg": (0, "cleaned", None),
    }
    mirror, original = tree(job.dst), tree(box)
    assert mirror.keys() == original.keys()
    assert mirror["loop.tiff"] == original["loop.tiff"]
    assert changed_pages(original["b.tif"], mirror["b.tif"]) == [1, 3]
    proof = job.prove()
    assert (proof.images, proof.files, proof.others) == (7, 4, 1)

    loose = gather_changes(job.destination, job.plan).loose
    assert sorted(loose) == ["b.tif", "one.tif", "z.jpg"]
    whole = loose["b.tif"].facts
    digest = hashlib.sha256(mirror["b.tif"]).hexdigest()
    assert (whole.sha256_before, whole.sha256_after) == ("", digest), "nothing is read for it"
    listed = hashlib.sha256(original["b.tif"]).hexdigest()
    lists = LooseLists(loose, lambda path: f"{listed}  b.tif\n".encode())
    (one,) = lists.first_round(["SHA256SUMS"])
    assert (one.stale, one.wanted) == (["b.tif"], f"{digest}  b.tif\n".encode())
    assert lists.facts_of("b.tif").sha256_before == listed

    again = job_of(box, tmp_path / "out", job.plan.fingerprint)
    assert [unit.id for unit in again.units] == [unit.id for unit in job.units]
    assert status(job.destination).images_done == 7


def test_a_file_without_moire_stays_to_the_byte(tmp_path: Path, cleaner: Cleaner) -> None:
    (tmp_path / "box").mkdir()
    data = write_pages(tmp_path / "box" / "plain.tif", "ppb")
    job = cleaned_job(tmp_path / "box", tmp_path / "out", cleaner)
    job.publish_all()
    assert tree(job.dst) == {"plain.tif": data}


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_retry_puts_further_pages_into_the_file_that_is_there(
    tmp_path: Path, tiny_config: CleanerConfig, compression: str | None
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    write_pages(box / "b.tif", "ppp")
    with tifffile.TiffWriter(box / "b.tif") as writer:
        for pixels in (pixels_of(True, 0), np.tile(pixels_of(True, 0), (2, 2, 1))):
            writer.write(pixels, photometric="rgb", metadata=None, compression=compression)
    small = Cleaner(replace(tiny_config, max_megapixels=0.01))
    job = cleaned_job(box, tmp_path / "out", small)
    job.publish_all()
    before = (job.dst / "b.tif").read_bytes()
    assert [row["reason"] for row in rows_of(job, "").values()] == [None, "too_large"]
    again = tried_again(job, "", ["b.tif!/page-0002"], Cleaner(tiny_config))
    for _ in range(2):  # the second time as after a death
        again.publish_all()
        assert rows_of(job, "")["b.tif!/page-0002"]["status"] == "cleaned"
        assert changed_pages(before, (job.dst / "b.tif").read_bytes()) == [2]
    assert job.prove().cleaned == 2


def test_pages_go_with_a_file_whose_name_is_refused(
    tmp_path: Path, cleaner: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "box").mkdir()
    write_pages(tmp_path / "box" / "b.tif", "yp")
    monkeypatch.setattr(
        "pipelines.storage.local.LocalPlace.refuses", lambda self, path: path == "b.tif"
    )
    job = cleaned_job(tmp_path / "box", tmp_path / "out", cleaner)
    job.publish_all()
    told = {name: row["status"] for name, row in rows_of(job, "").items()}
    assert told == {"b.tif": "withheld"}
    assert job.prove().withheld == 1


def test_a_taken_place_withholds_all_pages(box: Path, tmp_path: Path, cleaner: Cleaner) -> None:
    job = cleaned_job(box, tmp_path / "out", cleaner)
    (job.dst / "b.tif").write_bytes(b"somebody else's")
    job.publish_all()
    assert (job.dst / "b.tif").read_bytes() == b"somebody else's"
    reasons = {row["reason"] for name, row in rows_of(job, "").items() if row["page"]}
    assert reasons == {"foreign_object"}
    assert job.prove().files == 3
