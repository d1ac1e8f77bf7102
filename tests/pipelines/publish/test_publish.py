"""Publishing: mirrors and reports that agree, and a marker once both are there."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demoire.cleaning.cleaner import Cleaner
from demoire.errors import DemoireError
from pipelines.layout import PREVIEWS
from pipelines.plan.units import halves
from pipelines.records import REPORT_SCHEMA
from tests.pipelines.conftest import draw, half_moire, read_tar, tree
from tests.pipelines.publish.conftest import TEXT
from tests.pipelines.publish.job import Job, cleaned_job, commit, job_of, rows_of
from tests.pipelines.publish.test_mirror import tar_in_base_256


def test_every_source_has_its_mirror_its_rows_and_its_marker(
    published: Job, box: Path, cleaner: Cleaner
) -> None:
    dst = published.dst
    expected = {name: cleaner.clean(data).data for name, data in half_moire(4).items()}
    rest = {"../evil.jpg": b"evil", "text.jpg": TEXT, "notes.txt": b"notes"}
    assert read_tar(dst / "a.tar") == expected | rest
    statuses = {
        name: (row["status"], row["reason"]) for name, row in rows_of(published, "a.tar").items()
    }
    assert statuses == {
        "img_000.jpg": ("cleaned", None),
        "img_001.jpg": ("copied", None),
        "img_002.jpg": ("cleaned", None),
        "img_003.jpg": ("copied", None),
        "text.jpg": ("quarantined", "not_an_image"),
        "../evil.jpg": ("quarantined", "unsafe_name"),
    }
    proof = published.prove()
    assert (proof.cleaned, proof.copied, proof.quarantined, proof.files) == (5, 4, 3, 5)
    assert (proof.images, proof.others, proof.withheld) == (12, 1, 1)
    assert proof.names == ("loose/link.jpg (link_outside)",)
    assert tree(dst).keys() == {"a.tar", "b.tar.gz", "c.zip", "cut.tar", "loose/one.jpg"}


def test_a_damaged_archive_is_copied_as_it_is_and_has_one_row(published: Job, box: Path) -> None:
    assert (published.dst / "cut.tar").read_bytes() == (box / "cut.tar").read_bytes()
    (row,) = rows_of(published, "cut.tar").values()
    assert (row["status"], row["reason"], row["member"]) == ("quarantined", "unreadable", "")
    assert row["bytes_in"] == row["bytes_out"] == 3000


def test_a_link_in_a_folder_has_a_row_and_no_file(published: Job) -> None:
    row = rows_of(published, "loose")["link.jpg"]
    assert (row["status"], row["reason"]) == ("withheld", "link_outside")
    assert (row["bytes_out"], row["sha256_out"]) == (0, None)
    planned = published.planned("loose")
    marker = published.destination.markers.read(planned.source.id)
    assert marker is not None and (marker.files, marker.withheld) == (1, 1)


def test_reports_are_of_the_schema(published: Job) -> None:
    for path in (published.dst / "_demoire" / "report").glob("*.parquet"):
        assert pq.read_schema(path).equals(REPORT_SCHEMA, check_metadata=True)


def test_publishing_twice_gives_the_same(published: Job) -> None:
    def state() -> tuple[dict[str, bytes], list[dict[str, Any]]]:
        rows = [
            row
            for planned in published.plan.sources
            for row in rows_of(published, planned.source.path).values()
        ]
        for row in rows:
            # these are finished by publishing them
            if row["reason"] in ("unsafe_name", "unreadable", "link_outside"):
                del row["finished_at"]
        written = tree(published.dst, bookkeeping=True)
        return {name: data for name, data in written.items() if "/report/" not in name}, rows

    before = state()
    published.publish_all()
    assert state() == before


def test_a_source_is_published_as_long_as_marker_mirror_version_and_configuration_fit(
    published: Job,
) -> None:
    place = published.destination.place
    planned = published.planned("a.tar")
    source, fingerprint = planned.source, published.plan.fingerprint
    markers = published.destination.markers
    assert markers.fitting(source, fingerprint, None) is not None
    assert markers.fitting(replace(source, version="another"), fingerprint, None) is None
    assert markers.fitting(source, "another", None) is None
    assert markers.fitting(source, fingerprint, 5) is None
    place.write("a.tar", b"cut")
    assert markers.fitting(source, fingerprint, None) is None
    place.delete("a.tar")
    assert markers.fitting(source, fingerprint, None) is None


def test_a_unit_that_is_not_committed_keeps_its_source_from_being_published(
    box: Path, tmp_path: Path
) -> None:
    job = job_of(box, tmp_path / "out", "config")
    with pytest.raises(DemoireError, match="c.zip is not wholly cleaned yet"):
        job.publish(job.planned("c.zip"))
    assert tree(tmp_path / "out") == {}


def test_that_a_unit_was_halved_is_not_seen_in_what_is_published(
    box: Path, tmp_path: Path, cleaner: Cleaner
) -> None:
    whole = cleaned_job(box / "a.tar", tmp_path / "whole", cleaner)
    fingerprint = whole.plan.fingerprint
    halved = job_of(box / "a.tar", tmp_path / "halved", fingerprint)
    (unit,) = halved.units
    first, second = halves(unit, fingerprint)
    for part in (first, *halves(second, fingerprint)):
        commit(part, halved, cleaner)
    for job in (whole, halved):
        job.publish_all()
    assert tree(tmp_path / "halved") == tree(tmp_path / "whole")
    columns = ("member", "status", "reason", "sha256_out", "unit_id", "tiles_restored")
    facts = [
        [[row[c] for c in columns] for row in rows_of(job, "a.tar").values()]
        for job in (whole, halved)
    ]
    assert facts[0] == facts[1]


def test_what_cannot_be_put_back_is_quarantined_as_it_was(tmp_path: Path, cleaner: Cleaner) -> None:
    pictures = {"odd.jpg": draw(True, 1), "even.jpg": draw(True, 2)}
    (tmp_path / "a.tar").write_bytes(tar_in_base_256(pictures, odd="odd.jpg"))
    job = cleaned_job(tmp_path / "a.tar", tmp_path / "out", cleaner)
    job.publish_all()
    mirrored = read_tar(tmp_path / "out" / "a.tar")
    assert mirrored == {
        "odd.jpg": pictures["odd.jpg"],
        "even.jpg": cleaner.clean(pictures["even.jpg"]).data,
    }
    row = rows_of(job, "a.tar")["odd.jpg"]
    assert (row["status"], row["reason"], row["tiles_restored"]) == (
        "quarantined",
        "encode_failed",
        0,
    )
    assert (row["bytes_out"], row["sha256_out"]) == (row["bytes_in"], row["sha256_in"])
    assert row["moire_before"] is not None
    assert [
        row[name] for name in ("moire_after", "psnr_vs_input", "ssim_vs_input", "colour_shift")
    ] == [None] * 4
    assert rows_of(job, "a.tar")["even.jpg"]["status"] == "cleaned"
    proof = job.prove()
    assert (proof.cleaned, proof.copied, proof.quarantined, proof.files) == (1, 0, 1, 1)


def test_the_most_changed_images_have_previews(published: Job) -> None:
    place = published.destination.place
    planned = published.planned("a.tar")
    with place.open(f"{PREVIEWS}/{planned.source.id}.parquet") as file:
        previews = pq.read_table(file).to_pylist()
    rows = rows_of(published, "a.tar")
    assert {preview["member"]: preview["psnr_vs_input"] for preview in previews} == {
        name: row["psnr_vs_input"] for name, row in rows.items() if row["status"] == "cleaned"
    }


def test_names_that_are_no_text_are_published_as_they_are(tmp_path: Path, cleaner: Cleaner) -> None:
    buffer = io.BytesIO()
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(draw(True, 1))
        tar.addfile(info, io.BytesIO(draw(True, 1)))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    job = cleaned_job(tmp_path / "a.tar", tmp_path / "out", cleaner)
    job.publish_all()
    with tarfile.open(tmp_path / "out" / "a.tar", errors="surrogateescape") as tar:
        assert tar.getnames() == [name]
    assert list(rows_of(job, "a.tar")) == ["caf\\udce9.jpg"]
