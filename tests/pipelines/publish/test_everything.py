"""Everything in SRC is in the mirror, or has a row that says why it is withheld."""

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demoire.errors import ProofError, UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.differences import differences
from pipelines.destination.plans import PlanScope
from pipelines.layout import report_table
from pipelines.plan.plan import make_plan
from pipelines.prune import prune
from pipelines.publish.proof import prove
from pipelines.rows import UnitAttempt, quarantined
from pipelines.storage.open import open_place
from tests.pipelines.publish.job import Job, job_of
from tests.pipelines.storage.stores import moto_bucket
from tests.s3_server import serve_moto

LONGEST = 255  # bytes of a name

Kind = Literal["file", "folder", "link", "pipe"]


def published_job(src: str, dst: str) -> Job:
    """A job published without any image cleaned: all of them are as broken as can be."""
    destination = Destination.at(dst)
    job = Job(destination, make_plan(destination, PlanScope(src, "config")))
    commit_all(job)
    job.publish_all()
    return job


def commit_all(job: Job) -> None:
    ledger = job.destination.ledger
    for unit in job.units:
        attempt = UnitAttempt(unit, ledger.start(unit), "config", "run")
        outcomes = [quarantined(member, "not_an_image", attempt) for member in unit.members]
        ledger.commit(unit, attempt.number, outcomes)


def withheld_of(job: Job) -> dict[str, str]:
    """The reasons by path of what is withheld."""
    reasons = {}
    for planned in job.plan.sources:
        table = job.destination.reports.read(planned.source.id)
        for row in table.to_pylist():
            if row["status"] == "withheld":
                path = f"{row['source'] if planned.source.path else ''}/{row['member']}"
                reasons[path.strip("/")] = row["reason"]
    return reasons


def test_many_withheld_names_become_rows_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row takes some kilobytes until it is in a table."""
    monkeypatch.setattr("pipelines.publish.publication._ROWS_AT_ONCE", 40)
    names = {f"{number:03}.jpg" for number in range(100)}  # too many for a shelf
    (tmp_path / "src").mkdir()
    for name in names:
        (tmp_path / "src" / name).symlink_to("/etc/hosts")

    job = published_job(str(tmp_path / "src"), str(tmp_path / "dst"))

    assert withheld_of(job) == dict.fromkeys(names, "link_outside")
    (source_id,) = job.plan.source_ids
    with job.destination.place.open(report_table(source_id)) as table:
        assert pq.ParquetFile(table).num_row_groups == 3


def objects_in(folder: Path) -> dict[str, Path]:
    """Files, links, pipes and empty folders by their paths, without the bookkeeping."""
    objects = {}
    for top, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(top) / name).is_symlink()]
        here = Path(top)
        if here == folder and "_demoire" in folders:
            folders.remove("_demoire")
        for name in (*files, *links):
            objects[str((here / name).relative_to(folder))] = here / name
        if not folders and not files and here != folder:
            objects[str(here.relative_to(folder))] = here
    return objects


NAMES = st.one_of(
    st.sampled_from(
        [
            *("a", "b.jpg", "c.txt", "box.tar", "D", "d", "album.jpg"),
            *(".hidden", ".picasaoriginals", "._fork.jpg", "_demoire", "__MACOSX", "..."),
            *("with space ", "dot.", "new\nline", "bell\a", "[red]", "*?", "a:b", "nul"),
            *("?versionId=3.jpg", "C:\\x.jpg", "..\\up.jpg", "back\\slash", "café.jpg"),
            *(os.fsdecode(b"caf\xe9.jpg"), "n" * LONGEST, "ä" * (LONGEST // 2)),
        ]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=9).filter(
        lambda name: name not in ("", ".", "..") and not name.startswith(".demoire-")
    ),
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(
    PATHS,
    PATHS.map(lambda path: f"../{path}"),
    st.sampled_from([".", "..", "../..", "/etc/passwd", "/dev/null", "../src/a", "self", "a/.."]),
)
THINGS = st.tuples(PATHS, st.sampled_from(["file", "file", "folder", "link", "pipe"]), TARGETS)


def build(folder: Path, things: list[tuple[str, Kind, str]]) -> None:
    """Make what can be made of these; a name that is taken or refused is left out."""
    folder.mkdir()
    (folder / "always.txt").write_bytes(b"there")
    for path, kind, target in things:
        there = folder / path
        if path.startswith("_demoire/"):
            continue
        with suppress(OSError):
            there.parent.mkdir(parents=True, exist_ok=True)
            if not there.parent.resolve().is_relative_to(folder):
                continue
            if kind == "file" and not os.path.lexists(there):
                there.write_bytes(path.encode("utf-8", "surrogateescape"))
            elif kind == "folder" and path != "_demoire":
                there.mkdir()
            elif kind == "link":
                there.symlink_to(target)
            elif kind == "pipe":
                os.mkfifo(there)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(things=st.lists(THINGS, max_size=12))
def test_mirror_and_withheld_are_the_source(things: list[tuple[str, Kind, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        src, dst = Path(folder).resolve() / "src", Path(folder).resolve() / "out"
        build(src, things)
        job = published_job(str(src), str(dst))
        proof = job.prove()
        withheld = withheld_of(job)
        listed, mirrored = objects_in(src), objects_in(dst)
        named = {path.encode("utf-8", "backslashreplace").decode(): path for path in listed}
        assert withheld.keys() <= named.keys()
        left_out = {named[path] for path in withheld}
        # A folder whose content is all withheld need not be there.
        assert mirrored.keys() == listed.keys() - left_out
        assert len(listed) == proof.files + proof.withheld == len(mirrored) + len(withheld)
        for path, copy in mirrored.items():
            assert_same(listed[path], copy, src, dst)


def assert_same(original: Path, copy: Path, src: Path, dst: Path) -> None:
    """Check that a mirror is what its original is."""
    if original.is_symlink():
        target = os.path.relpath(os.path.realpath(original), src)
        assert os.path.realpath(copy) == os.path.normpath(dst / target)
        assert not copy.readlink().is_absolute()
    elif original.is_dir():
        assert copy.is_dir() and not any(copy.iterdir())
    else:
        assert stat.S_ISREG(copy.lstat().st_mode)
        assert copy.read_bytes() == original.read_bytes()


def test_links_are_kept_where_the_mirror_holds_what_they_lead_to(tmp_path: Path) -> None:
    src = tmp_path / "src"
    (src / "box" / "deep").mkdir(parents=True)
    (src / "box" / "real.txt").write_bytes(b"real")
    (src / "box" / "deep" / "old.tar").write_bytes(b"damaged")
    (tmp_path / "elsewhere").mkdir()
    for name, target in {
        "file": "box/real.txt",
        "archive": "box/deep/old.tar",
        "folder": "box",
        "box/up": "..",
        "absolute": str(src / "box" / "real.txt"),
        "by-a-detour": "../src/box/real.txt",
        "dangling": "box/nothing.txt",
        "out": "../elsewhere",
        "password": "/etc/passwd",
    }.items():
        (src / name).symlink_to(target)
    job = published_job(str(src), str(tmp_path / "out"))
    assert withheld_of(job) == {"out": "link_outside", "password": "link_outside"}
    links = {}
    for path, copy in objects_in(tmp_path / "out").items():
        if copy.is_symlink():
            links[path] = str(copy.readlink())
    assert links == {
        "file": "box/real.txt",
        "archive": "box/deep/old.tar",
        "folder": "box",
        "box/up": "..",
        "absolute": "box/real.txt",
        "by-a-detour": "box/real.txt",
        "dangling": "box/nothing.txt",
    }


def test_a_link_to_what_a_glob_leaves_out_is_withheld(tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    (src / "a.txt").write_bytes(b"a")
    (src / "b.png").write_bytes(b"b")
    (src / "kept.txt").symlink_to("a.txt")
    (src / "lost.txt").symlink_to("b.png")
    job = published_job(f"{src}/*.txt", str(tmp_path / "out"))
    assert withheld_of(job) == {"lost.txt": "link_outside"}


def test_a_file_that_is_named_like_an_unfinished_one_is_withheld_and_like_none_mirrored(
    tmp_path: Path,
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    unfinished = f".demoire-{'0' * 31}a.tmp"
    for name in ("a.txt", ".demoire-notes.tmp", unfinished):
        (src / name).write_bytes(b"a user's")
    job = published_job(str(src), str(tmp_path / "out"))
    assert withheld_of(job) == {unfinished: "name_refused"}
    assert (tmp_path / "out" / ".demoire-notes.tmp").read_bytes() == b"a user's"
    assert prove(job.destination, job.plan).withheld == 1


def test_a_link_whose_target_changes_is_written_anew_and_a_strangers_stays(tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "out"
    src.mkdir()
    for name in ("monday", "tuesday"):
        (src / name).write_bytes(name.encode())
    (src / "latest").symlink_to("monday")
    (src / "other").symlink_to("monday")
    published_job(str(src), str(dst))
    (src / "latest").unlink()
    (src / "latest").symlink_to("tuesday")
    (dst / "other").unlink()
    (dst / "other").symlink_to("tuesday")
    published_job(str(src), str(dst))
    assert (dst / "latest").readlink() == Path("tuesday")
    assert (dst / "other").readlink() == Path("tuesday")


def test_a_link_that_became_a_folder_is_not_written_through(tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "out"
    (src / "real").mkdir(parents=True)
    (src / "real" / "x.txt").write_bytes(b"real")
    (src / "link").symlink_to("real")
    published_job(str(src), str(dst))
    (src / "link").unlink()
    (src / "link").mkdir()
    (src / "link" / "x.txt").write_bytes(b"another")
    (src / "real" / "y.txt").write_bytes(b"as well")

    job = published_job(str(src), str(dst))

    assert (dst / "real" / "x.txt").read_bytes() == b"real"
    assert (dst / "real" / "y.txt").read_bytes() == b"as well", "one bad name stops nothing"
    assert withheld_of(job) == {"link/x.txt": "name_taken"}
    assert job.prove().names == ("link/x.txt (name_taken)",)
    assert differences(job.destination, job.plan).left.first == ("link",)
    assert prune(job.destination, job.plan) == 1
    assert not (dst / "link").is_symlink()


def test_a_name_that_only_the_write_shows_to_be_taken_is_withheld_alone(tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "out"
    src.mkdir()
    for name in ("a.txt", "b.jpg", "c.txt", "old.tar"):
        (src / name).write_bytes(name.encode())
    job = job_of(src, dst, "config")
    commit_all(job)
    for name in ("a.txt", "b.jpg", "old.tar"):
        (dst / name).mkdir()
    job.publish_all()
    proof = job.prove()
    assert withheld_of(job) == dict.fromkeys(("a.txt", "b.jpg", "old.tar"), "name_taken")
    assert (dst / "c.txt").read_bytes() == b"c.txt"
    assert (proof.files, proof.withheld, proof.quarantined) == (1, 3, 0)
    assert sorted(proof.names) == [f"{name} (name_taken)" for name in ("a.txt", "b.jpg", "old.tar")]


def test_the_proof_fails_where_a_listed_object_is_in_no_count(tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    (src / "a.txt").write_bytes(b"a")
    job = published_job(str(src), str(tmp_path / "out"))
    markers = job.destination.markers
    (planned,) = job.plan.sources
    marker = markers.read(planned.source.id)
    assert marker is not None
    markers.write(replace(marker, files=0, foreign=0, folders=0))
    with pytest.raises(ProofError, match="listed 1, mirrored 0 and withheld 0 objects"):
        job.prove()


def test_a_folder_with_the_name_of_the_bookkeeping_is_refused_before_any_work(
    tmp_path: Path,
) -> None:
    (tmp_path / "src" / "_demoire").mkdir(parents=True)
    (tmp_path / "src" / "_demoire" / "a.txt").write_bytes(b"somebody's own")
    with pytest.raises(UsageError, match="rename that folder"):
        job_of(tmp_path / "src", tmp_path / "out", "config")


def test_the_notes_in_a_mirror_that_is_cleaned_again_are_withheld(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_bytes(b"a")
    published_job(str(tmp_path / "src"), str(tmp_path / "out"))
    job = published_job(str(tmp_path / "out"), str(tmp_path / "again"))
    job.prove()
    assert objects_in(tmp_path / "again").keys() == {"a.txt"}
    assert set(withheld_of(job).values()) == {"bookkeeping"}


ODD_KEYS = {
    "box/x.txt": b"x",
    "box/": b"",
    "empty/": b"",
    "bytes/": b"a folder with bytes",
    "x?versionId=3.txt": b"a version",
    "box": b"an object where a folder is",
    "long/" + "n" * 300: b"too long for a disk",
    "a//b.txt": b"an empty folder's name",
    ".hidden/x.txt": b"hidden",
}


@pytest.mark.parametrize("to_bucket", [True, False])
def test_odd_keys_of_a_bucket_are_mirrored_or_withheld(
    to_bucket: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    with serve_moto() as endpoint:
        src = moto_bucket(endpoint, monkeypatch)
        bucket = src.uri.split("/")[2]
        client = boto3.client("s3")
        for key, data in ODD_KEYS.items():
            client.put_object(Bucket=bucket, Key=f"in/{key}", Body=data)
        dst = f"s3://{bucket}/out" if to_bucket else str(tmp_path / "out")
        job = published_job(src.uri, dst)
        proof = job.prove()
        assert proof.files + proof.withheld == len(ODD_KEYS)
        withheld = withheld_of(job)
        expected = {
            "a//b.txt": "unsafe_path",
        }
        if to_bucket:
            expected["x?versionId=3.txt"] = "name_refused"
        else:
            expected |= {
                "bytes": "name_refused",
                "box": "name_taken",
                "long/" + "n" * 300: "name_refused",
            }
        assert withheld == expected
        if to_bucket:
            keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
            copies = {key[4:] for key in keys if key.startswith("out/")}
            copies = {key for key in copies if not key.startswith("_demoire/")}
            assert copies == ODD_KEYS.keys() - expected.keys()
            for key in copies:
                body = client.get_object(Bucket=bucket, Key=f"out/{key}")["Body"].read()
                assert body == ODD_KEYS[key]
        else:
            out = tmp_path / "out"
            assert (out / "empty").is_dir()
            assert (out / "x?versionId=3.txt").read_bytes() == b"a version"
            assert (out / ".hidden" / "x.txt").read_bytes() == b"hidden"


def test_a_disk_with_odd_things_goes_into_a_bucket_as_far_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = tmp_path / "src"
    build(
        src,
        [
            ("box/a.txt", "file", ""),
            ("empty/below", "folder", ""),
            ("link", "link", "box/a.txt"),
            ("out", "link", "/etc/passwd"),
            ("pipe", "pipe", ""),
            (os.fsdecode(b"caf\xe9.txt"), "file", ""),
            ("x?versionId=3.txt", "file", ""),
        ],
    )
    with serve_moto() as endpoint:
        dst = moto_bucket(endpoint, monkeypatch)
        job = published_job(str(src), dst.uri)
        job.prove()
        assert withheld_of(job) == {
            "link": "link_not_kept",
            "out": "link_outside",
            "pipe": "special_file",
            "caf\\udce9.txt": "name_refused",
            "x?versionId=3.txt": "name_refused",
        }
        markers = [entry.path for entry in open_place(dst.uri).inventory() if not entry.name]
        assert markers == ["empty/below/"]


def test_a_run_over_what_is_withheld_is_done_the_second_time(tmp_path: Path) -> None:
    src = tmp_path / "src"
    build(src, [("pipe", "pipe", ""), ("empty", "folder", ""), ("link", "link", "always.txt")])
    job = published_job(str(src), str(tmp_path / "out"))
    assert job.destination.markers.done(job.plan) == job.plan.source_ids
