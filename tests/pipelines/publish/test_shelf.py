"""Shelves: small sources that are published together share record, table, previews and marker."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

from demoire.errors import ProofError
from pipelines.destination.destination import Destination
from pipelines.destination.differences import differences
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.destination.shelves import Shelves
from pipelines.plan.plan import make_retry_plan
from pipelines.prune import prune
from pipelines.publish import shelving
from pipelines.report.summarise import summarise
from pipelines.rows import UnitAttempt
from pipelines.sources.read import read_members
from pipelines.status import status
from pipelines.storage.local import LocalPlace
from pipelines.storage.object_facts import NO_FACTS, ObjectFacts
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry
from tests.pipelines.conftest import read_tar, tree, write_tar
from tests.pipelines.destination.launcher import Death, outcome_of
from tests.pipelines.publish.job import Job, job_of, rows_of

FINGERPRINT = "config"


@pytest.fixture(autouse=True)
def _no_fsync() -> Iterator[None]:
    with patch("os.fsync"):
        yield


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Three folders of one picture, one of a text, and a small tar."""
    src = tmp_path / "src"
    for name, text in (("a", b"moire in a"), ("b", b"nothing in b"), ("c", b"damage in c")):
        (src / name).mkdir(parents=True)
        (src / name / "1.jpg").write_bytes(text)
    (src / "text").mkdir()
    (src / "text" / "notes.txt").write_bytes(b"notes")
    write_tar(src / "box.tar", {"1.jpg": b"moire in box", "2.jpg": b"nothing in box"})
    return src


MIRROR = {
    "a/1.jpg": b"no moire any more in a",
    "b/1.jpg": b"nothing in b",
    "c/1.jpg": b"damage in c",
    "text/notes.txt": b"notes",
}
STATUSES = {"cleaned": 2, "copied": 2, "quarantined": 1}


def commit_open_units(job: Job) -> None:
    """Clean what is not committed yet; nothing but its bytes decides what becomes of an image."""
    ledger = job.destination.ledger
    for unit in job.units:
        if not ledger.has(unit.id):
            attempt = UnitAttempt(unit, ledger.start(unit), FINGERPRINT, "run")
            outcomes = []
            for member, data in read_members(unit.source, unit.members):
                assert isinstance(data, bytes)
                outcomes.append(outcome_of(member, data, attempt))
            ledger.commit(unit, attempt.number, outcomes)


def clean(src: Path, dst: Path) -> Job:
    """Plan, clean and publish SRC as it is now."""
    job = job_of(src, dst, FINGERPRINT)
    commit_open_units(job)
    assert job.publish_on_shelves() == []
    return job


@pytest.fixture
def job(src: Path, tmp_path: Path) -> Job:
    return clean(src, tmp_path / "dst")


def names_in(job: Job, folder: str) -> list[str]:
    return sorted(path.name for path in (job.dst / "_demoire" / folder).glob("*"))


def all_rows(dst: Path) -> Counter[str]:
    """How often each image is in the report, as its readers see it."""
    table = pq.read_table(dst / "_demoire" / "report")
    return Counter(table["image_id"].to_pylist())


def assert_as_it_should_be(job: Job) -> None:
    assert tree(job.dst).keys() == {*MIRROR, "box.tar"}
    assert read_tar(job.dst / "box.tar")["1.jpg"] == b"no moire any more in box"
    proof = job.prove()
    assert (proof.cleaned, proof.copied, proof.quarantined) == (2, 2, 1)
    assert job.destination.markers.done(job.plan) == job.plan.source_ids
    assert all_rows(job.dst).total() == len(all_rows(job.dst)) == 5
    assert differences(job.destination, job.plan).foreign.count == 0
    assert not names_in(job, "announced")
    assert len(names_in(job, "shelves")) == len(names_in(job, "report")) == 1
    assert names_in(job, "mirrored") == names_in(job, "published") == []


def test_five_small_sources_leave_two_objects(job: Job) -> None:
    assert_as_it_should_be(job)
    assert tree(job.dst).items() >= MIRROR.items()
    assert rows_of(job, "b").keys() == {"1.jpg"}
    assert rows_of(job, "text") == {}
    assert [row["status"] for row in rows_of(job, "box.tar").values()] == ["cleaned", "copied"]


def test_another_process_sees_the_same(job: Job, src: Path) -> None:
    again = job_of(src, job.dst, FINGERPRINT)
    assert_as_it_should_be(again)
    assert status(again.destination).quarantine == {"truncated": 1}
    marker = again.destination.markers.read(again.planned("c").source.id)
    assert marker is not None and marker.quarantined == 1
    assert len(list(again.destination.markers.all())) == 5
    summary = summarise(again.destination.place, again.plan)
    assert summary.proved and not summary.unplanned
    assert [(one.name, one.images) for one in summary.sources] == [
        *(("a", 1), ("b", 1), ("box.tar", 2), ("c", 1))
    ]


def test_what_changed_is_published_again_in_its_place(job: Job, src: Path) -> None:
    (src / "b" / "1.jpg").write_bytes(b"moire in b")
    (src / "b" / "2.jpg").write_bytes(b"nothing in b")
    others = {name: (job.dst / name).stat().st_ino for name in ("a/1.jpg", "c/1.jpg", "box.tar")}

    again = clean(src, job.dst)

    assert (job.dst / "b/1.jpg").read_bytes() == b"no moire any more in b"
    assert rows_of(again, "b")["1.jpg"]["status"] == "cleaned"
    assert rows_of(again, "b").keys() == {"1.jpg", "2.jpg"}
    assert set(all_rows(job.dst).values()) == {1}
    assert {name: (job.dst / name).stat().st_ino for name in others} == others
    assert len(names_in(again, "shelves")) == 1
    assert again.prove().cleaned == 3


def test_a_retry_changes_one_source_of_a_shelf(job: Job) -> None:
    source = job.planned("c").source
    assert job.dst.joinpath("c/1.jpg").read_bytes() == b"damage in c"
    plan = make_retry_plan(job.destination, [(source.id, 0)], "another", 1)
    retry = Job(Destination.at(str(job.dst)), plan)
    (unit,) = retry.units
    attempt = UnitAttempt(unit, retry.destination.ledger.start(unit), "another", "retry")
    outcome = outcome_of(unit.members[0], b"moire in c", attempt)
    retry.destination.ledger.commit(unit, attempt.number, [outcome])

    retry.publish_on_shelves()

    assert (job.dst / "c/1.jpg").read_bytes() == b"no moire any more in c"
    proof = job.prove()
    assert (proof.cleaned, proof.copied, proof.quarantined) == (3, 2, 0)
    assert set(all_rows(job.dst).values()) == {1}
    assert rows_of(job, "c")["1.jpg"]["run_id"] == "retry"


def test_a_source_that_comes_later_goes_on_the_shelf_that_has_room(job: Job, src: Path) -> None:
    (src / "d").mkdir()
    (src / "d" / "1.jpg").write_bytes(b"nothing in d")
    shelf = names_in(job, "report")
    again = clean(src, job.dst)
    assert names_in(again, "report") == shelf
    assert again.prove().copied == 3


def test_full_shelves_are_followed_by_others(src: Path, tmp_path: Path) -> None:
    with patch.object(shelving, "SHELF_SOURCES", 2):
        job = clean(src, tmp_path / "dst")
    assert len(names_in(job, "shelves")) == len(names_in(job, "report")) == 3
    assert job.prove().images == 5


def test_what_has_objects_of_its_own_keeps_them(src: Path, tmp_path: Path) -> None:
    """As an earlier version left them."""
    job = job_of(src, tmp_path / "dst", FINGERPRINT)
    commit_open_units(job)
    job.publish(job.planned("a"))
    job.publish(job.planned("box.tar"))
    (src / "a" / "1.jpg").write_bytes(b"moire anew")

    again = clean(src, tmp_path / "dst")

    assert (job.dst / "a/1.jpg").read_bytes() == b"no moire any more anew"
    own = {job.planned("a").source.id, job.planned("box.tar").source.id}
    assert names_in(again, "published") == sorted(f"{source_id}.json" for source_id in own)
    assert len(names_in(again, "report")) == 3
    assert again.prove().images == 5
    assert status(again.destination).sources_published == 5


def test_a_large_source_is_on_no_shelf(src: Path, tmp_path: Path) -> None:
    for number in range(9):
        (src / "a" / f"{number}.jpg").write_bytes(b"nothing")
    job = clean(src, tmp_path / "dst")
    assert len(names_in(job, "published")) == 1
    assert len(names_in(job, "shelves")) == 1


def test_a_source_that_changes_while_it_is_published_is_left_out(src: Path, tmp_path: Path) -> None:
    job = job_of(src, tmp_path / "dst", FINGERPRINT)
    commit_open_units(job)
    (src / "b" / "1.jpg").write_bytes(b"moire, and longer")
    (change,) = job.publish_on_shelves()
    assert "changed since it was planned" in change
    open_source = {job.planned("b").source.id}
    assert job.destination.markers.done(job.plan) == job.plan.source_ids - open_source
    assert clean(src, job.dst).prove().cleaned == 3


# What has left SRC


def test_what_has_left_goes_from_mirror_report_and_shelf(job: Job, src: Path) -> None:
    shutil.rmtree(src / "a")
    (src / "box.tar").unlink()
    again = clean(src, job.dst)
    assert differences(again.destination, again.plan).left.first == ("a/1.jpg", "box.tar")
    assert prune(again.destination, again.plan) == 2
    assert tree(job.dst).keys() == {"b/1.jpg", "c/1.jpg", "text/notes.txt"}
    assert all_rows(job.dst).total() == 2
    assert again.prove().images == 2
    fresh = Destination.at(str(job.dst))
    assert differences(fresh, again.plan).left.count == prune(fresh, again.plan) == 0


def test_a_shelf_whose_sources_have_all_left_is_gone(job: Job, src: Path) -> None:
    for name in ("a", "b", "c", "text"):
        shutil.rmtree(src / name)
    (src / "box.tar").unlink()
    (src / "large").mkdir()
    for number in range(9):
        (src / "large" / f"{number}.jpg").write_bytes(b"nothing")
    again = clean(src, job.dst)
    assert prune(again.destination, again.plan) == 5
    assert names_in(again, "shelves") == []
    assert len(names_in(again, "report")) == 1


# Deaths, and two at once


@contextmanager
def dying_at(call: int) -> Iterator[None]:
    """For the block no call that changes a folder comes through from the n-th on."""
    calls: Counter[str] = Counter()
    new_file = LocalPlace.new_file
    delete = LocalPlace.delete

    def count() -> None:
        calls["all"] += 1
        if calls["all"] >= call:
            raise Death

    @contextmanager
    def counted_new_file(
        place: LocalPlace, path: str, facts: ObjectFacts = NO_FACTS
    ) -> Iterator[Path]:
        with new_file(place, path, facts) as local:
            yield local
            count()

    def counted_delete(place: LocalPlace, path: str) -> None:
        count()
        delete(place, path)

    with patch.multiple(LocalPlace, new_file=counted_new_file, delete=counted_delete):
        yield


def test_wherever_a_run_dies_the_next_one_knows_all_that_it_wrote(
    src: Path, tmp_path: Path
) -> None:
    for name in ("c", "text"):
        shutil.rmtree(src / name)
    ready = tmp_path / "ready"
    commit_open_units(job_of(src, ready, FINGERPRINT))
    deaths = 0
    while True:
        dst = tmp_path / f"dst-{deaths}"
        shutil.copytree(ready, dst)
        (src / "a" / "1.jpg").write_bytes(b"moire in a")
        job = job_of(src, dst, FINGERPRINT)
        commit_open_units(job)
        with dying_at(deaths + 1):
            try:
                job.publish_on_shelves()
            except Death:
                deaths += 1
            else:
                break
        if list((dst / "_demoire" / "report").glob("*.parquet")):
            assert set(all_rows(dst).values()) == {1}
        # Other bytes are to be put in the place of what the dead run wrote.
        (src / "a" / "1.jpg").write_bytes(b"moire since")
        again = clean(src, dst)
        assert (dst / "a/1.jpg").read_bytes() == b"no moire any more since"
        assert tree(dst).keys() == {"a/1.jpg", "b/1.jpg", "box.tar"}
        assert differences(again.destination, again.plan).foreign.count == 0
        assert again.prove().images == all_rows(dst).total() == len(all_rows(dst)) == 4
        assert not names_in(again, "announced")
        assert len(names_in(again, "shelves")) == len(names_in(again, "report")) == 1
    assert deaths >= 10


def test_two_runs_that_write_a_shelf_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    Shelves(place).put("shelf-0", map(ShelvedSource.claimed, ["one", "two"]))
    first = Shelves(place)
    second = Shelves(place)
    for shelves in (first, second):
        shelves.refresh()
    first.put("shelf-0", [ShelvedSource.recorded(MirrorRecord("one", "src", ()))])
    with patch.object(second, "look_at"):  # it has just looked
        second.entries("shelf-0")
        second.put("shelf-0", [ShelvedSource.recorded(MirrorRecord("two", "src", ()))])
    seen = Shelves(place)
    assert [seen.find(name).record is not None for name in ("one", "two")] == [True, True]  # type: ignore[union-attr]
    seen.put("shelf-0", [])
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_list_that_is_late_hides_no_shelf(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    seen = Shelves(place)
    seen.put("shelf-0", [ShelvedSource.claimed("one")])
    Shelves(place).put("shelf-0", [ShelvedSource.recorded(MirrorRecord("one", "src", ()))])
    late = iter([True, True])
    list_named = LocalPlace.list_named
    list_all = LocalPlace.list

    def late_list_named(place: LocalPlace, path: str, prefix: str) -> Iterator[Entry]:
        return iter(()) if next(late, False) else list_named(place, path, prefix)

    def late_list(place: LocalPlace, path: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        return iter(()) if next(late, False) else list_all(place, path, recursive=recursive)

    with patch.multiple(LocalPlace, list=late_list, list_named=late_list_named):
        seen.refresh()
    shelved = seen.find("one")
    assert shelved is not None and shelved.record is not None


def test_a_source_that_two_runs_put_on_two_shelves_is_on_one_in_the_end(
    job: Job, src: Path
) -> None:
    twice = job.planned("a").source.id
    job.destination.shelves.put("shelf-zzz", map(ShelvedSource.claimed, [twice, "another"]))
    job.destination.reports.write_shelf("shelf-zzz", {twice: job.destination.reports.read(twice)})
    assert all_rows(job.dst).total() == 6
    (src / "b" / "1.jpg").write_bytes(b"nothing in b, still")
    again = clean(src, job.dst)
    assert all_rows(job.dst).total() == 5
    assert again.prove().images == 5


def test_rows_that_another_run_has_put_back_are_found_and_written_anew(job: Job, src: Path) -> None:
    """It had read the shelf's table before we wrote it, and writes it after."""
    shelf_id = job.destination.shelves.shelf_of(job.planned("b").source.id)
    assert shelf_id is not None
    table = job.dst / "_demoire" / "report" / f"{shelf_id}.parquet"
    as_the_other_read_it = table.read_bytes()
    (src / "b" / "1.jpg").write_bytes(b"nothing in b, either")
    again = clean(src, job.dst)
    table.write_bytes(as_the_other_read_it)

    # By their numbers alone the rows would do.
    with pytest.raises(ProofError, match="b .its rows are those of another run"):
        again.prove()

    healed = clean(src, job.dst)
    assert healed.prove().copied == 2
    assert rows_of(healed, "b")["1.jpg"]["bytes_in"] == len(b"nothing in b, either")
    assert all_rows(job.dst).total() == len(all_rows(job.dst)) == 5
