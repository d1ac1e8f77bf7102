"""What a plan says it will cost is what it does cost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.destination.plans import SourcePlan
from pipelines.estimate import estimate
from pipelines.plan.wave_plan import plan_wave
from pipelines.publish.publish import publish_source
from pipelines.publish.shelf import publish_shelf
from pipelines.publish.shelving import put_on_shelves
from pipelines.records import Bundle, Unit, units_in
from pipelines.rows import Outcome, UnitAttempt
from pipelines.sources.read import read_members
from tests.pipelines.conftest import write_tar
from tests.pipelines.destination.launcher import outcome_of
from tests.pipelines.publish.job import Job, job_of
from tests.s3_server import s3_variables, serve_faults, serve_s3


def clean(job: Job, work: Unit | Bundle) -> None:
    """Commit a unit or bundle as an actor does; nobody cleans here."""
    ledger = job.destination.ledger
    units = units_in(work)
    read = [[data for _, data in read_members(unit.source, unit.members)] for unit in units]
    is_known = ledger.bundles.exists if isinstance(work, Bundle) else ledger.has
    assert not is_known(work.id)
    number = ledger.start(work, "wave")
    outcomes: list[list[Outcome]] = []
    for unit, payloads in zip(units, read, strict=True):
        attempt = UnitAttempt(unit, number, "config", "run")
        of_unit = []
        for member, data in zip(unit.members, payloads, strict=True):
            assert isinstance(data, bytes)
            of_unit.append(outcome_of(member, data, attempt))
        outcomes.append(of_unit)
    if isinstance(work, Bundle):
        ledger.commit_bundle(work, number, outcomes)
    else:
        ledger.commit(work, number, outcomes[0])


def publish(job: Job, units: dict[str, list[Unit]]) -> None:
    """Publish all sources as a run does: the small ones on their shelf."""
    shelves: dict[str, list[tuple[SourcePlan, list[Unit]]]] = {}
    for planned in job.plan.sources:
        of_source = units[planned.source.id]
        shelf_id = job.destination.shelves.shelf_of(planned.source.id)
        if shelf_id is None:
            publish_source(job.destination, planned, of_source, job.plan.scope)
        else:
            shelves.setdefault(shelf_id, []).append((planned, of_source))
    for shelf_id, sources in shelves.items():
        assert publish_shelf(job.destination, shelf_id, sources, job.plan.scope) == []


class Count:
    """Counts the requests that a server before the real one is asked."""

    def __init__(self) -> None:
        self.requests = 0

    def __iter__(self) -> Iterator[None]:
        while True:
            self.requests += 1
            yield None


def test_the_requests_of_a_plan_are_those_that_a_bucket_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = tmp_path / "box"
    (tmp_path / "out").mkdir()
    for number in range(10):
        (box / f"folder-{number}").mkdir(parents=True)
        (box / f"folder-{number}" / "1.jpg").write_bytes(b"moire")
    write_tar(box / "moire.tar", {f"{number}.jpg": b"moire" for number in range(40)})
    write_tar(box / "plain.tar", {f"{number}.jpg": b"nothing" for number in range(20)})
    count = Count()
    with serve_s3(tmp_path) as server, serve_faults(server, count) as endpoint:
        for name, value in s3_variables(endpoint, "a-key", "a-secret").items():
            monkeypatch.setenv(name, value)
        job = job_of("s3://box", "s3://out/mirror", "config")
        all_units = job.units
        units: dict[str, list[Unit]] = {}
        for unit in all_units:
            units.setdefault(unit.source.id, []).append(unit)
        wave = plan_wave(job.destination, job.plan, job.plan.source_ids, 5_000)
        before = count.requests
        for work in wave.work:
            clean(job, work)
        cleaning = count.requests - before
        job.destination.ledger.bundles.refresh()
        put_on_shelves(job.destination, job.plan, job.plan.source_ids)
        before = count.requests
        publish(job, units)
        publishing = count.requests - before
    cost = estimate(job.plan, all_units, mps=1.0)
    assert cost.units == 13
    assert cost.requests == pytest.approx(cleaning + publishing, rel=0.1)
