"""Mirrors: the same archive or folder with some images changed, and its own bytes wherever that
cannot be done well.
"""

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demoire.errors import DemoireError, SourceChangedError
from pipelines.destination.claims import MirrorClaims
from pipelines.destination.destination import Destination
from pipelines.destination.ledger import Ledger
from pipelines.plan.units import make_unit
from pipelines.publish.loose_files import mirror_folder, patch_folder
from pipelines.publish.mirror import (
    Mirror,
    mirror_archive,
    patch_archive,
)
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Member, Source
from pipelines.rows import CleanedFile, Outcome, UnitAttempt, quarantined
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.storage.open import open_place
from tests.pipelines.conftest import tree, write_tar, write_zip

MEMBERS = {
    "a.jpg": b"A" * 700,
    "notes.txt": b"notes",
    "sub/b.jpg": b"B" * 1300,
    "c.jpg": b"",
    "d.jpg": b"D" * 512,
}
OLD = 1_100_000_000.5  # seconds since 1970

WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.tar": lambda path: write_tar(path, MEMBERS),
    "a.tar.gz": lambda path: write_tar(path, MEMBERS, "w:gz"),
    "a.zip": lambda path: write_zip(path, MEMBERS),
}


@pytest.fixture(params=WRITERS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An old archive that only its owner and group may read."""
    return aged(WRITERS[request.param](tmp_path / request.param))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of loose files, old ones, with a link to a file elsewhere."""
    (tmp_path / "box").mkdir()
    for name in ("a.jpg", "notes.txt", "d.jpg"):
        (tmp_path / "box" / name).write_bytes(MEMBERS[name])
        aged(tmp_path / "box" / name)
    (tmp_path / "elsewhere.jpg").write_bytes(b"not ours")
    (tmp_path / "box" / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    return tmp_path / "box"


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    return tmp_path / "out"


def aged(path: Path) -> Path:
    path.chmod(0o640)
    os.utime(path, (OLD, OLD))
    return path


def the_source(path: Path) -> Source:
    (source,) = discover(str(path))
    return source


def claims_of(source: Source, dst: Path) -> MirrorClaims:
    return MirrorClaims(Destination.at(str(dst)), source, source.uri)


def cleaned_of(
    source: Source, dst: Path, payloads: dict[str, bytes]
) -> tuple[CleanedPayloads, dict[int, Member]]:
    """The payloads by member name as the ledger holds them once cleaned, and the planned members by
    position.
    """
    ledger = Ledger(open_place(str(dst)))
    images = index(source).images
    unit = make_unit(source, images, "config")
    outcomes = []
    for member in images:
        outcome = quarantined(member, "truncated", UnitAttempt(unit, 1, "config", "run"))
        if member.name in payloads:
            row = replace(outcome.row, status="cleaned", reason=None)
            outcome = Outcome(member, row, CleanedFile.of(payloads[member.name]))
        outcomes.append(outcome)
    commit = ledger.commit(unit, ledger.start(unit), outcomes)
    return CleanedPayloads(ledger, [commit]), {member.position: member for member in images}


def links_of(source: Source) -> list[Member]:
    """What a plan withholds of the folder: its link leads elsewhere."""
    return [member for member in index(source).members if member.kind == "link"]


def mirrored(path: Path, dst: Path, payloads: dict[str, bytes], count: int | None = None) -> Mirror:
    source = the_source(path)
    cleaned, members = cleaned_of(source, dst, payloads)
    return mirror_archive(source, claims_of(source, dst), cleaned, members, count)


def facts(path: Path) -> list[dict[str, Any]]:
    """All that tells of an archive's members, in their order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = ("filename", "date_time", "compress_type", "comment", "external_attr")
            return [
                {**{n: getattr(i, n) for n in names}, "data": archive.read(i)}
                for i in archive.infolist()
            ]
    with tarfile.open(path) as tar:
        return [
            {
                **info.get_info(),
                "chksum": 0,
                "size": 0,
                "pax": info.pax_headers,
                "data": tar.extractfile(info).read(),
            }  # type: ignore[union-attr]
            for info in tar
        ]


def test_an_archive_of_which_nothing_was_cleaned_is_its_own_bytes(archive: Path, dst: Path) -> None:
    mirror = mirrored(archive, dst, {})
    assert (dst / archive.name).read_bytes() == archive.read_bytes()
    assert mirror == Mirror(archive.stat().st_size, 1)


def test_only_the_cleaned_images_of_an_archive_are_others(archive: Path, dst: Path) -> None:
    mirror = mirrored(archive, dst, {"sub/b.jpg": b"new", "d.jpg": b"new" * 999}, len(MEMBERS))
    expected = facts(archive)
    expected[2]["data"], expected[4]["data"] = b"new", b"new" * 999
    assert facts(dst / archive.name) == expected
    assert mirror == Mirror((dst / archive.name).stat().st_size, 1)


def test_a_mirror_has_the_time_and_permissions_of_its_source(archive: Path, dst: Path) -> None:
    mirrored(archive, dst, {"a.jpg": b"new"})
    status = (dst / archive.name).stat()
    assert (status.st_mtime, status.st_mode & 0o777) == (OLD, 0o640)


def test_an_archive_that_would_not_hold_what_was_planned_stays_its_own_bytes(
    archive: Path, dst: Path
) -> None:
    mirror = mirrored(archive, dst, {"a.jpg": b"new"}, len(MEMBERS) + 1)
    assert (dst / archive.name).read_bytes() == archive.read_bytes()
    assert mirror.refused == {0}


def test_what_cannot_be_changed_is_refused_and_the_others_are_changed(
    tmp_path: Path, dst: Path
) -> None:
    data = bytearray(tar_in_base_256({"a.jpg": b"A" * 700, "b.jpg": b"B" * 700}, odd="a.jpg"))
    (tmp_path / "a.tar").write_bytes(data)
    mirror = mirrored(tmp_path / "a.tar", dst, {"a.jpg": b"new", "b.jpg": b"new"}, 2)
    assert mirror.refused == {0}
    assert [fact["data"] for fact in facts(dst / "a.tar")] == [b"A" * 700, b"new"]


def tar_in_base_256(members: dict[str, bytes], odd: str) -> bytes:
    """A tar in which the size of one member is no text, as GNU tar writes it for giants."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = bytearray(buffer.getvalue())
    at = data.index(odd.encode())
    data[at + 124 : at + 136] = b"\x80" + len(members[odd]).to_bytes(11, "big")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 155] = b"%06o\0" % sum(data[at : at + 512])
    return bytes(data)


def test_a_damaged_segment_fails_and_shows_no_mirror(archive: Path, dst: Path) -> None:
    source = the_source(archive)
    cleaned, members = cleaned_of(source, dst, {"a.jpg": b"new"})
    (segment,) = (dst / "_demoire" / "segments").iterdir()
    segment.write_bytes(b"bad")
    with pytest.raises(DemoireError, match="is damaged"):
        mirror_archive(source, claims_of(source, dst), cleaned, members, None)
    assert tree(dst) == {}


def test_an_archive_that_changed_since_it_was_planned_fails_and_shows_no_mirror(
    archive: Path, dst: Path
) -> None:
    source = the_source(archive)
    cleaned, members = cleaned_of(source, dst, {"a.jpg": b"new"})
    archive.write_bytes(archive.read_bytes() + bytes(512))
    with pytest.raises(SourceChangedError, match="changed since it was planned"):
        mirror_archive(source, claims_of(source, dst), cleaned, members, None)
    assert tree(dst) == {}


def test_a_patch_goes_into_the_mirror_and_leaves_what_was_changed_before(
    archive: Path, dst: Path
) -> None:
    mirrored(archive, dst, {"a.jpg": b"first" * 300})
    expected = facts(archive)
    expected[0]["data"], expected[4]["data"] = b"first" * 300, b"second"
    for gone in ("attempts", "segments", "rows", "commits"):
        shutil.rmtree(dst / "_demoire" / gone)
    source = the_source(archive)
    cleaned, members = cleaned_of(source, dst, {"d.jpg": b"second"})
    mirror = patch_archive(source, claims_of(source, dst), cleaned, members)
    assert facts(dst / archive.name) == expected
    assert (mirror.size, mirror.refused) == ((dst / archive.name).stat().st_size, frozenset())


def test_a_folder_is_mirrored_without_what_leads_out_of_it(folder: Path, dst: Path) -> None:
    source = the_source(folder)
    cleaned, members = cleaned_of(source, dst, {"a.jpg": b"new"})
    mirror = mirror_folder(source, claims_of(source, dst), cleaned, members, links_of(source))
    assert tree(dst) == {"a.jpg": b"new", "notes.txt": b"notes", "d.jpg": MEMBERS["d.jpg"]}
    assert mirror == Mirror(len(b"new" + b"notes") + 512, 3, withheld=1)
    assert {
        (path.stat().st_mtime, path.stat().st_mode & 0o777)
        for path in dst.iterdir()
        if path.is_file()
    } == {(OLD, 0o640)}


def test_a_patch_of_a_folder_writes_its_files_alone(folder: Path, dst: Path) -> None:
    source = the_source(folder)
    cleaned, members = cleaned_of(source, dst, {"a.jpg": b"first"})
    mirror_folder(source, claims_of(source, dst), cleaned, members, links_of(source))
    kept = (dst / "a.jpg").stat().st_ino, (dst / "notes.txt").stat().st_ino
    for gone in ("attempts", "segments", "rows", "commits"):
        shutil.rmtree(dst / "_demoire" / gone)
    patch_folder(source, claims_of(source, dst), *cleaned_of(source, dst, {"d.jpg": b"second"}))
    assert tree(dst) == {"a.jpg": b"first", "notes.txt": b"notes", "d.jpg": b"second"}
    assert ((dst / "a.jpg").stat().st_ino, (dst / "notes.txt").stat().st_ino) == kept


def test_a_file_that_changed_since_it_was_planned_fails(folder: Path, dst: Path) -> None:
    source = the_source(folder)
    cleaned, members = cleaned_of(source, dst, {})
    (folder / "d.jpg").write_bytes(b"another")
    with pytest.raises(SourceChangedError):
        mirror_folder(source, claims_of(source, dst), cleaned, members)


def test_two_mirrors_of_one_source_are_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        mirrored(archive, tmp_path / name, {"a.jpg": b"new", "d.jpg": b"new"})
    assert (
        tree(tmp_path / "one") == tree(tmp_path / "other") != {archive.name: archive.read_bytes()}
    )
