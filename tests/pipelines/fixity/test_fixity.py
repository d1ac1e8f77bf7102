"""Checksums in an archive after cleaning: named where they no longer hold, or put right, as other
programs see it.
"""

import csv
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import bagit
import pytest

from demoire.cleaning.cleaner import Cleaner
from pipelines.destination.destination import Destination
from pipelines.destination.plans import PlanScope
from pipelines.fixity.findings import ChecksumList, Findings, FixityMode
from pipelines.fixity.fixity import check_fixity, is_fixity_due
from pipelines.plan.plan import make_plan
from pipelines.report.build import build_report
from tests.pipelines.conftest import draw, tree, write_tar
from tests.pipelines.publish.job import Job, cleaned_job, commit

STRIPED = draw(True, 30)
PLAIN = draw(False, 31)

needs_sha256sum = pytest.mark.skipif(
    shutil.which("sha256sum") is None, reason="there is no sha256sum here"
)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _published(box: Path, cleaner: Cleaner) -> Job:
    job = cleaned_job(box, box.parent / "out", cleaner)
    job.publish_all()
    job.prove()
    return job


def _checked(job: Job, mode: FixityMode) -> Findings:
    return check_fixity(job.destination, job.plan, mode)


def _rows(job: Job) -> dict[tuple[str, str], dict[str, str]]:
    with (job.dst / "_demoire/fixity.csv").open(newline="") as file:
        return {(row["path"], row["member"]): row for row in csv.DictReader(file)}


def _files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Two pictures, one of which is cleaned, and lists that name both or one of them."""
    box = _files(tmp_path / "box", {"a.jpg": STRIPED, "sub/b.jpg": STRIPED, "plain.jpg": PLAIN})
    sums = [f"{_sha256(STRIPED)}  {name}\n" for name in ("a.jpg", "sub/b.jpg")]
    (box / "SHA256SUMS").write_text(f"{_sha256(PLAIN)}  plain.jpg\n" + "".join(sums))
    (box / "a.jpg.md5").write_text(hashlib.md5(STRIPED).hexdigest().upper())
    (box / "plain.jpg.md5").write_text(hashlib.md5(PLAIN).hexdigest())
    (box / "sub" / "b.sha1").write_text(f"{hashlib.sha1(STRIPED).hexdigest()} *b.jpg\r\n")
    (box / "wrong.sha256").write_text(f"{'0' * 64}  a.jpg\n")
    return box


def test_lists_that_no_longer_hold_are_named_and_left_as_they_were(
    box: Path, cleaner: Cleaner
) -> None:
    job = _published(box, cleaner)
    findings = _checked(job, "report")
    assert findings.lists == (
        ChecksumList("SHA256SUMS", "", "sha256", 2, 0, "stale", ("a.jpg", "sub/b.jpg")),
        ChecksumList("a.jpg.md5", "", "md5", 1, 0, "stale", ("a.jpg",)),
        ChecksumList("sub/b.sha1", "", "sha1", 1, 0, "stale", ("sub/b.jpg",)),
        ChecksumList("wrong.sha256", "", "", 0, 1, "stale", ()),
    )
    before, after = tree(box), tree(job.dst)
    assert {name for name in before if before[name] != after[name]} == {"a.jpg", "sub/b.jpg"}


def test_old_and_new_digests_and_sizes_of_all_changed_files(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    assert _checked(job, "report").changed_files == 2
    after = (job.dst / "a.jpg").read_bytes()
    row = _rows(job)["a.jpg", ""]
    assert (row["sha256_before"], row["sha256_after"]) == (_sha256(STRIPED), _sha256(after))
    assert (row["bytes_before"], row["bytes_after"]) == (str(len(STRIPED)), str(len(after)))
    assert set(_rows(job)) == {("a.jpg", ""), ("sub/b.jpg", "")}


@needs_sha256sum
def test_updated_lists_pass_and_keep_their_looks(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    (box / "SHA256SUMS").chmod(0o640)
    findings = _checked(job, "update")
    assert [one.path for one in findings.updated] == ["SHA256SUMS", "a.jpg.md5", "sub/b.sha1"]
    assert [one.path for one in findings.stale] == ["wrong.sha256"]
    subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=job.dst, check=True
    )
    subprocess.run(["sha1sum", "--quiet", "-c", "b.sha1"], cwd=job.dst / "sub", check=False)
    digest = hashlib.sha1((job.dst / "sub/b.jpg").read_bytes()).hexdigest()
    assert (job.dst / "sub/b.sha1").read_bytes() == f"{digest} *b.jpg\r\n".encode()
    digest = hashlib.md5((job.dst / "a.jpg").read_bytes()).hexdigest()
    assert (job.dst / "a.jpg.md5").read_text() == digest.upper()
    assert (job.dst / "wrong.sha256").read_text() == (box / "wrong.sha256").read_text()
    assert ("SHA256SUMS", "") in _rows(job)


def test_a_mets_file_is_named_and_updated_and_keeps_every_other_byte(
    tmp_path: Path, cleaner: Cleaner
) -> None:
    pages = {"max/a.jpg": STRIPED, "max/b.jpg": PLAIN, "alto/a.xml": b"<alto/>"}
    box = _files(tmp_path / "box", pages)
    (box / "book_mets.xml").write_bytes(_mets(pages))
    job = _published(box, cleaner)
    (stale,) = _checked(job, "report").stale
    assert stale == ChecksumList("book_mets.xml", "", "md5", 1, 0, "stale", ("max/a.jpg",))
    assert (job.dst / "book_mets.xml").read_bytes() == _mets(pages)
    (updated,) = _checked(job, "update").updated
    assert updated.path == "book_mets.xml"
    mirrored = {name: (job.dst / name).read_bytes() for name in pages}
    assert (job.dst / "book_mets.xml").read_bytes() == _mets(mirrored) != _mets(pages)
    assert _checked(job, "update").updated == [updated]


def _mets(files: dict[str, bytes]) -> bytes:
    """A METS file that tells checksums and sizes, as libraries write it."""
    elements = []
    for name, data in files.items():
        digest = hashlib.md5(data).hexdigest()
        elements.append(
            f'<mets:file CHECKSUM="{digest}"  CHECKSUMTYPE="MD5" SIZE="{len(data)}">\r\n'
            f'<mets:FLocat LOCTYPE="URL" xlink:href="{name}"/></mets:file >'
        )
    spaces = 'xmlns:mets="http://www.loc.gov/METS/" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<mets:mets {spaces}>{''.join(elements)}</mets:mets>\n".encode()


def test_updating_twice_changes_nothing_more(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    _checked(job, "report")
    assert is_fixity_due(job.destination, "update")
    assert not is_fixity_due(job.destination, "report")
    first = _checked(job, "update")
    after_one = tree(job.dst, bookkeeping=True)
    assert not is_fixity_due(job.destination, "update")
    assert _checked(job, "update") == first
    assert tree(job.dst, bookkeeping=True) == after_one
    assert _checked(job, "report").lists == first.lists


def test_a_rewritten_list_is_ours_and_is_published_again(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    _checked(job, "update")
    (box / "new.txt").write_bytes(b"new")
    again = _published(box, cleaner)
    assert (again.dst / "SHA256SUMS").read_bytes() == (box / "SHA256SUMS").read_bytes()
    assert len(_checked(again, "update").updated) == 3


@pytest.mark.parametrize("src", ["first", ""], ids=["also", "from-file"])
def test_a_rewritten_list_stays_the_mirror_of_the_src_that_it_came_from(
    src: str, tmp_path: Path, cleaner: Cleaner
) -> None:
    further = _files(tmp_path / "further", {"a.jpg": STRIPED})
    (further / "a.jpg.sha256").write_text(_sha256(STRIPED))
    if src:
        src = str(_files(tmp_path / src, {"notes.txt": b"notes"}))
    fingerprint = cleaner.config.fingerprint()
    destination = Destination.at(str(tmp_path / "out"))
    plan = make_plan(destination, PlanScope(src, fingerprint, also=(str(further),)))
    job = Job(destination, plan)
    for unit in job.units:
        commit(unit, job, cleaner)
    job.publish_all()

    findings = _checked(job, "update")

    assert [one.path for one in findings.updated] == ["further/a.jpg.sha256"]
    record = destination.mirrored.read(job.planned("further").source.id)
    assert record is not None and record.src == str(further)


def test_a_list_that_somebody_edited_in_the_mirror_stays(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    (job.dst / "SHA256SUMS").write_text("# edited\n")
    findings = _checked(job, "update")
    assert [one.path for one in findings.stale] == ["SHA256SUMS", "wrong.sha256"]
    assert (job.dst / "SHA256SUMS").read_text() == "# edited\n"


def test_a_bag_is_valid_after_it_was_updated(tmp_path: Path, cleaner: Cleaner) -> None:
    pictures = {"scans/a.jpg": STRIPED, "scans/plain.jpg": PLAIN, "50% ü.jpg": STRIPED}
    bag = _files(tmp_path / "box" / "bag", {**pictures, "notes.txt": b"notes"})
    write_tar(bag / "more.tar", {"c.jpg": STRIPED})
    bagit.make_bag(str(bag), {"Source-Organization": "us"}, checksums=["sha256", "md5"])
    job = _published(tmp_path / "box", cleaner)
    mirrored = bagit.Bag(str(job.dst / "bag"))
    assert not mirrored.is_valid()
    stale = {one.path for one in _checked(job, "report").stale}
    assert stale == {"bag/manifest-md5.txt", "bag/manifest-sha256.txt"}
    assert not mirrored.is_valid()
    findings = _checked(job, "update")
    assert findings.stale == []
    assert {one.path for one in findings.updated} == {
        *("bag/manifest-md5.txt", "bag/manifest-sha256.txt"),
        *("bag/tagmanifest-md5.txt", "bag/tagmanifest-sha256.txt"),
    }
    bagit.Bag(str(job.dst / "bag")).validate()
    assert ("bag/bag-info.txt", "") in _rows(job)


def test_checksums_inside_archives_are_named(tmp_path: Path, cleaner: Cleaner) -> None:
    box = tmp_path / "box"
    box.mkdir()
    write_tar(
        box / "bag.tar",
        {
            "bag/data/a.jpg": STRIPED,
            "bag/data/plain.jpg": PLAIN,
            "bag/manifest-sha256.txt": f"{_sha256(STRIPED)}  data/a.jpg\n".encode(),
            "0001.jpg": STRIPED,
            "0001.json": json.dumps({"key": "0001", "sha256": _sha256(STRIPED)}).encode(),
            "0002.jpg": PLAIN,
            "0002.json": json.dumps({"sha256": _sha256(PLAIN)}).encode(),
        },
    )
    old = _sha256((box / "bag.tar").read_bytes())
    (box / "bag.tar.sha256").write_text(f"{old}  bag.tar\n")
    job = _published(box, cleaner)
    findings = _checked(job, "update")
    named = {(one.path, one.member): one.state for one in findings.lists}
    assert named == {
        ("bag.tar", "bag/manifest-sha256.txt"): "stale",
        ("bag.tar", "0001.json"): "stale",
        ("bag.tar.sha256", ""): "updated",
    }
    new = _sha256((job.dst / "bag.tar").read_bytes())
    assert (job.dst / "bag.tar.sha256").read_text() == f"{new}  bag.tar\n"
    rows = _rows(job)
    assert (rows["bag.tar", ""]["sha256_before"], rows["bag.tar", ""]["sha256_after"]) == (old, new)
    assert rows["bag.tar", "0001.jpg"]["sha256_before"] == _sha256(STRIPED)
    assert _checked(job, "update") == findings


def test_the_report_says_which_lists_no_longer_hold(box: Path, cleaner: Cleaner) -> None:
    job = _published(box, cleaner)
    _checked(job, "report")
    page = Path(build_report(str(job.dst))).read_text()
    assert "4 lists of checksums no longer hold" in page and "sub/b.sha1" in page
    _checked(job, "update")
    page = Path(build_report(str(job.dst))).read_text()
    assert "3 were rewritten in the mirror" in page
    summary = json.loads((job.dst / "_demoire/page/summary.json").read_text())
    assert summary["fixity"]["changed_files"] == 5


@pytest.mark.parametrize("mode", ["report", "update"])
def test_files_lists_and_folders_may_have_names_that_are_not_utf_8(
    tmp_path: Path, cleaner: Cleaner, mode: FixityMode
) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    folder = os.fsdecode(b"f\xeate")
    pictures = {name: STRIPED, f"{folder}/a.jpg": STRIPED, "b.jpg": STRIPED}
    digest = hashlib.md5(STRIPED).hexdigest().encode()
    lists = {
        "MD5SUMS": digest + b"  caf\xe9.jpg\n" + digest + b"  f\xeate/a.jpg\n",
        f"{name}.md5": digest,
        f"{folder}/MD5SUMS": digest + b"  a.jpg\n",
        os.fsdecode(b"\xe9t\xe9.md5"): digest + b"  b.jpg\n",
    }
    job = _published(_files(tmp_path / "box", pictures | lists), cleaner)
    findings = _checked(job, mode)
    assert {one.path: one.files for one in findings.lists} == {
        "MD5SUMS": 2,
        "caf\\udce9.jpg.md5": 1,
        "f\\udceate/MD5SUMS": 1,
        "\\udce9t\\udce9.md5": 1,
    }
    assert {one.state for one in findings.lists} == {"updated" if mode == "update" else "stale"}
    for path, content in lists.items():
        is_same = (job.dst / path).read_bytes() == content
        assert is_same == (mode == "report")
    assert {path for path, _ in _rows(job)} >= {"b.jpg", "caf\\udce9.jpg", "f\\udceate/a.jpg"}
    assert _checked(job, mode) == findings
