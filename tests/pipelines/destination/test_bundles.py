"""Bundles: small units of several folders share one attempt, segment, table of rows and marker."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoire.errors import DemoireError, UsageError
from pipelines.destination.ledger import Ledger
from pipelines.gc import gc
from pipelines.plan.bundles import bundle_units, open_parts
from pipelines.plan.units import make_unit
from pipelines.publish.payloads import CleanedPayloads
from pipelines.records import Bundle, Member, Source, Unit, units_in
from pipelines.storage.open import open_place
from tests.pipelines.destination.test_ledger import outcomes_of
from tests.pipelines.publish.job import job_of


def small_unit(number: int, images: int = 1) -> Unit:
    source = Source(f"/box/{number}", str(number), "folder", "1-2", 3)
    members = []
    for position in range(images):
        name = f"{position}.jpg"
        members.append(Member(position, name, "image", 0, 9, 9, "stored", "9-1", 1.0))
    return make_unit(source, members, "config")


BUNDLE = Bundle((small_unit(0), small_unit(1, images=2), small_unit(2)))
OUTCOMES = [
    outcomes_of(BUNDLE.units[0], [b"zero"]),
    outcomes_of(BUNDLE.units[1], [None, b"one"]),
    outcomes_of(BUNDLE.units[2], [None]),
]


@pytest.fixture
def dst(tmp_path: Path) -> str:
    return str(tmp_path / "out")


@pytest.fixture
def ledger(dst: str) -> Ledger:
    """A ledger with one committed bundle, as a process sees it that begins after that."""
    writer = Ledger(open_place(dst))
    writer.commit_bundle(BUNDLE, writer.start(BUNDLE), OUTCOMES)
    return Ledger(open_place(dst))


def test_three_units_cost_four_objects(ledger: Ledger) -> None:
    folders = sorted(entry.path.split("/")[1] for entry in ledger.place.list())
    assert folders == ["attempts", "bundles", "rows", "segments"]


def test_each_unit_of_a_bundle_gives_back_its_own_rows_and_payloads(ledger: Ledger) -> None:
    assert ledger.committed() == {unit.id for unit in BUNDLE.units}
    expected = [{0: b"zero"}, {1: b"one"}, {}]
    for unit, payloads in zip(BUNDLE.units, expected, strict=True):
        commit = ledger.read(unit.id)
        cleaned = CleanedPayloads(ledger, [commit])
        assert {position: cleaned(position) for position in cleaned.positions} == payloads
        rows = ledger.rows(commit).to_pylist()
        assert [row["source"] for row in rows] == [unit.source.path] * len(unit.members)
        assert [row["unit_id"] for row in rows] == [unit.id] * len(unit.members)


def test_a_process_finds_a_unit_in_a_bundle_that_it_was_told_of_or_not(dst: str) -> None:
    unit = BUNDLE.units[1]
    early = Ledger(open_place(dst))
    assert early.find(unit.id) is None
    early.commit_bundle(BUNDLE, early.start(BUNDLE), OUTCOMES)
    told = Ledger(open_place(dst))
    told.bundles.learn({unit.id: BUNDLE.id})
    assert told.has(unit.id)
    found = early.find(unit.id)
    assert found is not None and found == told.read(unit.id)
    assert (found.images, found.cleaned, found.quarantined) == (2, 1, 1)


def test_of_two_runs_that_commit_one_bundle_one_is_seen(ledger: Ledger) -> None:
    late = [outcomes_of(unit, [b"late"] * len(unit.members)) for unit in BUNDLE.units]
    commits = ledger.commit_bundle(BUNDLE, ledger.start(BUNDLE), late)
    assert [commit.cleaned for commit in commits] == [1, 1, 0]


def test_a_bundle_without_its_marker_was_never_committed(ledger: Ledger, dst: str) -> None:
    ledger.committed()
    (marker,) = Path(dst, "_demoire/bundles").iterdir()
    marker.unlink()  # as if the process had died right before it
    assert ledger.committed() == set()
    assert ledger.find(BUNDLE.units[0].id) is None


def test_a_marker_of_another_version_is_a_sentence(ledger: Ledger, dst: str) -> None:
    (marker,) = Path(dst, "_demoire/bundles").iterdir()
    marker.write_text('{"units": []}')
    with pytest.raises(UsageError, match="another version"):
        ledger.committed()


def test_a_damaged_segment_names_the_marker_of_the_bundle(ledger: Ledger, dst: str) -> None:
    (segment,) = Path(dst, "_demoire/segments").iterdir()
    segment.write_bytes(b"zeroXXX")
    ledger.committed()
    cleaned = CleanedPayloads(ledger, [ledger.read(BUNDLE.units[1].id)])
    with pytest.raises(DemoireError, match=f"bundles/{BUNDLE.id}.json"):
        cleaned(1)


# Which units are put together


def test_small_units_are_put_together_up_to_32_images() -> None:
    units = [small_unit(number, images=3) for number in range(25)]
    assert [len(group) for group in bundle_units(units)] == [10, 10, 5]


def test_groups_come_while_the_plan_is_read_and_what_is_not_small_comes_alone() -> None:
    """A plan may hold a million small folders, and memory holds none but the group's."""
    read: list[Unit] = []

    def plan() -> Iterator[Unit]:
        for number in range(100):
            read.append(small_unit(number, images=9 if number == 1 else 4))
            yield read[-1]

    groups = bundle_units(plan())
    assert next(groups) == (read[1],)
    assert next(groups) == (read[0], *read[2:9])
    assert len(read) == 10


def test_a_bundle_that_kills_its_process_is_halved_until_one_unit_is_alone() -> None:
    """The unit that kills is found, whatever of the others is committed on the way."""
    group = [small_unit(number) for number in range(8)]
    culprit = group[5]
    open_ids = {unit.id for unit in group}
    deadly: set[str] = set()
    tried = []
    while culprit.id not in deadly:
        part = next(open_parts(group, open_ids, deadly))
        units = units_in(part)
        tried.append(len(units))
        if culprit in units:
            deadly.add(part.tried_as if isinstance(part, Bundle) else part.id)
        else:
            open_ids -= {unit.id for unit in units}
    assert tried == [8, 4, 4, 2, 1, 1]


def test_attempts_at_the_rest_of_a_bundle_count_for_the_whole(ledger: Ledger) -> None:
    units = [small_unit(number) for number in range(10, 14)]
    open_ids = {unit.id for unit in units[1:]}
    for _ in range(2):
        (part,) = open_parts(units, open_ids, ledger.deadly(ledger.committed()))
        ledger.start(part, "one wave")
    parts = open_parts(units, open_ids, ledger.deadly(ledger.committed()))
    assert [len(units_in(part)) for part in parts] == [1, 2]


def test_gc_keeps_a_bundle_until_all_its_folders_are_published(tmp_path: Path) -> None:
    src = tmp_path / "src"
    for name in ("a", "b"):
        (src / name).mkdir(parents=True)
        (src / name / "one.jpg").write_bytes(b"no picture")
    job = job_of(src, tmp_path / "out", "config")
    ledger = job.destination.ledger
    bundle = Bundle(tuple(job.units))
    outcomes = [outcomes_of(unit, [None]) for unit in bundle.units]
    ledger.commit_bundle(bundle, ledger.start(bundle), outcomes)
    first, second = job.plan.sources
    job.publish(first)
    day_ago = time.time() - 2 * 86_400
    for path in (job.dst / "_demoire").rglob("*.*"):
        os.utime(path, (day_ago, day_ago))
    assert gc(job.destination).objects == 0
    job.publish(second)
    assert gc(job.destination).objects == 3  # marker, rows, attempt
    assert job.prove().quarantined == 2
    assert job.destination.markers.done(job.plan) == job.plan.source_ids
