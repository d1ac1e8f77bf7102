"""Status and garbage: figures while a job is under way, and what may go of its bookkeeping and what
must not.
"""

import os
import time
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.gc import gc
from pipelines.plan.units import halves, parts_of
from pipelines.publish.publish import publish_source
from pipelines.records import Unit
from pipelines.rows import UnitAttempt, quarantined
from pipelines.status import status
from tests.pipelines.conftest import half_moire, tree, write_tar
from tests.pipelines.publish.job import Job, job_of

LONG_AGO = time.time() - 3 * 86_400


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A plan of two tars, of eight images and of two, of which nothing is done yet."""
    (tmp_path / "box").mkdir()
    write_tar(tmp_path / "box" / "a.tar", half_moire(8))
    write_tar(tmp_path / "box" / "b.tar", half_moire(2, 20))
    return job_of(tmp_path / "box", tmp_path / "out", "config")


def units_by_tar(job: Job) -> dict[str, Unit]:
    return {unit.source.path: unit for unit in job.destination.manifests.units(job.plan)}


def commit(job: Job, unit: Unit, wave: str = "wave") -> None:
    """Commit a unit of which every image was cut short."""
    ledger = job.destination.ledger
    attempt = ledger.start(unit, wave)
    attempt_of_unit = UnitAttempt(unit, attempt, job.plan.fingerprint, "run")
    ledger.commit(
        unit,
        attempt,
        [quarantined(member, "truncated", attempt_of_unit) for member in unit.members],
    )


def publish(job: Job, path: str) -> None:
    (planned,) = (planned for planned in job.plan.sources if planned.source.path == path)
    publish_source(job.destination, planned, [units_by_tar(job)[path]], job.plan.scope)


def age(dst: Path, folder: str = "") -> None:
    """Make all bookkeeping under the folder three days old."""
    for path in (dst / "_demoire" / folder).rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def kept(job: Job) -> set[str]:
    return set(tree(job.dst, bookkeeping=True))


# Status


def test_status_counts_what_is_committed_and_what_is_published(job: Job) -> None:
    assert (status(job.destination).images_done, status(job.destination).planned_images) == (0, 10)
    commit(job, units_by_tar(job)["b.tar"])
    state = status(job.destination)
    assert (state.images_done, state.units_done, state.sources_published) == (2, 1, 0)
    assert state.megapixels_done == pytest.approx(2 * 96 * 96 / 1e6)
    publish(job, "b.tar")
    state = status(job.destination)
    assert (state.images_done, state.units_done, state.sources_published) == (2, 1, 1)
    assert state.quarantine == {"truncated": 2}


def test_status_counts_the_halves_of_a_deadly_unit(job: Job) -> None:
    whole = units_by_tar(job)["a.tar"]
    for _ in range(2):
        job.destination.ledger.start(whole, "one wave")
    commit(job, halves(whole, job.plan.fingerprint)[0])
    state = status(job.destination)
    assert (state.images_done, state.units, state.units_done, state.quarantine) == (
        4,
        2,
        0,
        {"truncated": 4},
    )


def test_the_rate_is_that_of_the_last_ten_minutes(job: Job) -> None:
    units = units_by_tar(job)
    first, second = halves(units["a.tar"], job.plan.fingerprint)
    for _ in range(2):
        job.destination.ledger.start(units["a.tar"], "one wave")
    for unit, minutes in ((units["b.tar"], 60), (first, 5), (second, 0)):
        commit(job, unit)
        moment = time.time() - 60 * minutes
        os.utime(job.dst / "_demoire" / "commits" / f"{unit.id}.json", (moment, moment))
    rate = status(job.destination).rate
    assert rate == pytest.approx(8 * 96 * 96 / 1e6 / 300, rel=0.01)


def test_status_of_a_collected_job_is_that_of_a_finished_one(job: Job) -> None:
    for path, unit in units_by_tar(job).items():
        commit(job, unit)
        publish(job, path)
    before = status(job.destination)
    gc(job.destination)
    after = status(job.destination)
    assert (after.images_done, after.units_done, after.quarantine) == (10, 2, before.quarantine)
    assert after.rate is None


def test_status_without_a_plan_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no plan"):
        status(Destination.at(str(tmp_path)))


# Garbage


def test_only_published_sources_are_collected(job: Job) -> None:
    for unit in units_by_tar(job).values():
        commit(job, unit)
    publish(job, "b.tar")
    age(job.dst)
    before, gone = kept(job), units_by_tar(job)["b.tar"].id
    collected = gc(job.destination)
    assert before - kept(job) == {name for name in before if gone in name}
    assert collected.objects == 3  # attempt, rows, marker
    publish(job, "a.tar")
    assert status(job.destination).images_done == 10


def test_what_a_deadly_unit_was_halved_into_is_kept_however_deep(job: Job) -> None:
    ledger, whole = job.destination.ledger, units_by_tar(job)["a.tar"]
    first, second = halves(whole, job.plan.fingerprint)
    for deadly in (whole, second):
        for _ in range(2):
            ledger.start(deadly, "one wave")
    for unit in (first, halves(second, job.plan.fingerprint)[0]):
        commit(job, unit)
    age(job.dst)
    before = kept(job)
    assert gc(job.destination).objects == 0 and kept(job) == before
    committed = ledger.committed()
    found = parts_of(whole, job.plan.fingerprint, committed, ledger.deadly(committed))
    assert [len(unit.members) for unit in found.committed] == [4, 2]
    assert [unit.id for unit in found.open] == [halves(second, job.plan.fingerprint)[1].id]


def test_what_nothing_names_goes_once_it_is_a_day_old(job: Job) -> None:
    unit = units_by_tar(job)["a.tar"]
    commit(job, unit)
    place = job.destination.place
    orphans = {
        f"_demoire/segments/{unit.id}.7-dead.bin",
        f"_demoire/rows/{unit.id}.7-dead.parquet",
        f"_demoire/commits/{'0' * 64}.json",
        "_demoire/manifest/another.parquet",
        f"_demoire/rows/.demoire-{'0' * 32}.tmp",
    }
    for name in orphans:
        place.write(name, b"{}")
    place.write(".demoire-of-a-user.tmp", b"{}")
    os.utime(job.dst / ".demoire-of-a-user.tmp", (LONG_AGO, LONG_AGO))
    before = kept(job)
    assert gc(job.destination).objects == 0 and kept(job) == before
    age(job.dst)
    assert gc(job.destination).objects == len(orphans)
    assert before - kept(job) == orphans
    assert (job.dst / ".demoire-of-a-user.tmp").exists()
