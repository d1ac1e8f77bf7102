"""Status and garbage: figures while a job is under way, and what may go of its bookkeeping and what
must not.
"""

import os
import time
from pathlib import Path

import pytest

from demoire.errors import UsageError
from pipelines.clean.ledger import Ledger
from pipelines.gc import gc
from pipelines.plan.manifest import Plan, read_units
from pipelines.plan.plan import make_plan
from pipelines.plan.units import halves, pieces
from pipelines.publish.publish import publish_source
from pipelines.records import Unit
from pipelines.rows import Origin, quarantined
from pipelines.status import status
from tests.pipelines.conftest import half_moire, tree, write_tar

LONG_AGO = time.time() - 3 * 86_400


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of two tars, of eight images and of two, of which nothing is done yet."""
    (tmp_path / "box").mkdir()
    write_tar(tmp_path / "box" / "a.tar", half_moire(8))
    write_tar(tmp_path / "box" / "b.tar", half_moire(2, 20))
    return make_plan(str(tmp_path / "box"), str(tmp_path / "out"), "config")


def units_by_tar(plan: Plan) -> dict[str, Unit]:
    return {unit.source.path: unit for unit in read_units(plan.dst, plan.id)}


def commit(plan: Plan, unit: Unit, wave: str = "wave") -> None:
    """Commit a unit of which every image was cut short."""
    ledger = Ledger(plan.dst)
    attempt = ledger.start(unit, wave)
    origin = Origin(unit, attempt, plan.fingerprint, "run")
    ledger.commit(
        unit, attempt, [quarantined(member, "truncated", origin) for member in unit.members]
    )


def publish(plan: Plan, path: str) -> None:
    (planned,) = (planned for planned in plan.sources if planned.source.path == path)
    publish_source(planned, [units_by_tar(plan)[path]], plan.dst, plan.fingerprint)


def age(dst: str, folder: str = "") -> None:
    """Make all bookkeeping under the folder three days old."""
    for path in (Path(dst) / "_demoire" / folder).rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def kept(plan: Plan) -> set[str]:
    return set(tree(Path(plan.dst), bookkeeping=True))


# Status


def test_status_counts_what_is_committed_and_what_is_published(plan: Plan) -> None:
    assert (status(plan.dst).images_done, status(plan.dst).planned_images) == (0, 10)
    commit(plan, units_by_tar(plan)["b.tar"])
    state = status(plan.dst)
    assert (state.images_done, state.units_done, state.sources_published) == (2, 1, 0)
    assert state.megapixels_done == pytest.approx(2 * 96 * 96 / 1e6)
    publish(plan, "b.tar")
    state = status(plan.dst)
    assert (state.images_done, state.units_done, state.sources_published) == (2, 1, 1)
    assert state.quarantine == {"truncated": 2}


def test_status_counts_the_halves_of_a_deadly_unit(plan: Plan) -> None:
    whole = units_by_tar(plan)["a.tar"]
    for _ in range(2):
        Ledger(plan.dst).start(whole, "one wave")
    commit(plan, halves(whole, plan.fingerprint)[0])
    state = status(plan.dst)
    assert (state.images_done, state.units, state.units_done, state.quarantine) == (
        4,
        2,
        0,
        {"truncated": 4},
    )


def test_the_rate_is_that_of_the_last_ten_minutes(plan: Plan) -> None:
    units = units_by_tar(plan)
    first, second = halves(units["a.tar"], plan.fingerprint)
    for _ in range(2):
        Ledger(plan.dst).start(units["a.tar"], "one wave")
    for unit, minutes in ((units["b.tar"], 60), (first, 5), (second, 0)):
        commit(plan, unit)
        moment = time.time() - 60 * minutes
        os.utime(Path(plan.dst) / "_demoire" / "commits" / f"{unit.id}.json", (moment, moment))
    rate = status(plan.dst).rate
    assert rate == pytest.approx(8 * 96 * 96 / 1e6 / 300, rel=0.01)


def test_status_of_a_collected_job_is_that_of_a_finished_one(plan: Plan) -> None:
    for path, unit in units_by_tar(plan).items():
        commit(plan, unit)
        publish(plan, path)
    before = status(plan.dst)
    gc(plan.dst)
    after = status(plan.dst)
    assert (after.images_done, after.units_done, after.quarantine) == (10, 2, before.quarantine)
    assert after.rate is None


def test_status_without_a_plan_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no plan"):
        status(str(tmp_path))


# Garbage


def test_only_published_sources_are_collected(plan: Plan) -> None:
    for unit in units_by_tar(plan).values():
        commit(plan, unit)
    publish(plan, "b.tar")
    age(plan.dst)
    before, gone = kept(plan), units_by_tar(plan)["b.tar"].id
    collected = gc(plan.dst)
    assert before - kept(plan) == {name for name in before if gone in name}
    assert collected.objects == 3  # attempt, rows, marker
    publish(plan, "a.tar")
    assert status(plan.dst).images_done == 10


def test_what_a_deadly_unit_was_halved_into_is_kept_however_deep(plan: Plan) -> None:
    ledger, whole = Ledger(plan.dst), units_by_tar(plan)["a.tar"]
    first, second = halves(whole, plan.fingerprint)
    for deadly in (whole, second):
        for _ in range(2):
            ledger.start(deadly, "one wave")
    for unit in (first, halves(second, plan.fingerprint)[0]):
        commit(plan, unit)
    age(plan.dst)
    before = kept(plan)
    assert gc(plan.dst).objects == 0 and kept(plan) == before
    committed = ledger.committed()
    found = pieces(whole, plan.fingerprint, committed, ledger.poisonous(committed))
    assert [len(unit.members) for unit in found.committed] == [4, 2]
    assert [unit.id for unit in found.open] == [halves(second, plan.fingerprint)[1].id]


def test_what_nothing_names_goes_once_it_is_a_day_old(plan: Plan) -> None:
    unit = units_by_tar(plan)["a.tar"]
    commit(plan, unit)
    place, dst = Ledger(plan.dst).place, Path(plan.dst) / "_demoire"
    orphans = {
        f"_demoire/segments/{unit.id}.7-dead.bin",
        f"_demoire/rows/{unit.id}.7-dead.parquet",
        f"_demoire/commits/{'0' * 64}.json",
        "_demoire/manifest/another.parquet",
        "_demoire/rows/.demoire-0123.tmp",
    }
    for name in orphans:
        place.write(name, b"{}") if "tmp" not in name else (
            dst / "rows" / ".demoire-0123.tmp"
        ).write_bytes(b"{}")
    before = kept(plan)
    assert gc(plan.dst).objects == 0 and kept(plan) == before
    age(plan.dst)
    assert gc(plan.dst).objects == len(orphans)
    assert before - kept(plan) == orphans
