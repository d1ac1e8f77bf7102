"""A small job whose units are cleaned here, without Ray, ready to be published."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demoire.cleaning.cleaner import Cleaner
from demoire.cleaning.result import Cleaned
from demoire.errors import ImageError
from pipelines.clean.fetched_unit import Fetched, clean_unit
from pipelines.clean.grey import keep_grey_picture
from pipelines.clean.reading import read_for_cleaning
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.destination.published import Published
from pipelines.layout import position_of
from pipelines.plan.plan import make_plan, make_retry_plan
from pipelines.publish.proof import Proof, prove
from pipelines.publish.publish import publish_source
from pipelines.publish.shelf import publish_shelf
from pipelines.publish.shelving import put_on_shelves
from pipelines.records import Member, Unit
from pipelines.rows import UnitAttempt


@dataclass(frozen=True)
class Job:
    """A plan and what lies under its DST."""

    destination: Destination
    plan: Plan

    @property
    def dst(self) -> Path:
        return Path(self.destination.place.uri)

    @property
    def units(self) -> list[Unit]:
        return list(self.destination.manifests.units(self.plan))

    def prove(self) -> Proof:
        return prove(self.destination, self.plan)

    def planned(self, path: str) -> SourcePlan:
        """What is planned of the source with this path."""
        (planned,) = (planned for planned in self.plan.sources if planned.source.path == path)
        return planned

    def publish(self, planned: SourcePlan) -> Published:
        units = [unit for unit in self.units if unit.source.id == planned.source.id]
        return publish_source(self.destination, planned, units, self.plan.scope)

    def publish_on_shelves(self) -> list[str]:
        """Publish everything that is not published as a run does, but one after the other; what it
        has to say of sources that have changed.
        """
        open_sources = self.plan.source_ids - self.destination.markers.done(self.plan)
        if not self.plan.generation:
            put_on_shelves(self.destination, self.plan, open_sources)
        by_shelf: dict[str | None, list[tuple[SourcePlan, list[Unit]]]] = {}
        for planned in self.plan.sources:
            if planned.source.id in open_sources:
                units = [unit for unit in self.units if unit.source.id == planned.source.id]
                shelf_id = self.destination.shelves.shelf_of(planned.source.id)
                by_shelf.setdefault(shelf_id, []).append((planned, units))
        changed = []
        for planned, _ in by_shelf.pop(None, []):
            self.publish(planned)
        for shelf_id, sources in by_shelf.items():
            if shelf_id is not None:
                changed += publish_shelf(self.destination, shelf_id, sources, self.plan.scope)
        return changed

    def publish_all(self) -> None:
        for planned in self.plan.sources:
            self.publish(planned)


def job_of(src: Path | str, dst: Path | str, fingerprint: str, *, rewrite: bool = False) -> Job:
    """A job of which nothing is done yet."""
    destination = Destination.at(str(dst))
    scope = PlanScope(str(src), fingerprint, rewrite=rewrite)
    return Job(destination, make_plan(destination, scope))


def commit(unit: Unit, job: Job, cleaner: Cleaner) -> None:
    """Clean a unit and commit it, as an actor does."""
    ledger = job.destination.ledger
    asked = read_for_cleaning(unit.source, unit.members, cleaner.config)
    read = [payload for _, payload in asked]
    payloads = tuple(None if isinstance(data, ImageError) else data for data in read)
    reasons = []
    for member, data in zip(unit.members, read, strict=True):
        unread = data.reason if isinstance(data, ImageError) else None
        reasons.append(member.reason or unread)
    number = ledger.start(unit)
    fingerprint = job.plan.fingerprint
    attempt = UnitAttempt(unit, number, fingerprint, "run", cleaner.weights_digest, "cpu")
    pictures = job.destination.grey_pictures

    def keep_grey(member: Member, cleaned: Cleaned) -> None:
        if cleaner.config.bilevel == "grey":
            keep_grey_picture(pictures, unit.source, member, cleaned)

    fetched = Fetched(unit, payloads, tuple(reasons), 0.0)
    outcomes = clean_unit(cleaner, fetched, attempt, keep_grey)
    ledger.commit(unit, number, outcomes)


def cleaned_job(src: Path | str, dst: Path | str, cleaner: Cleaner) -> Job:
    """A job whose units are all committed."""
    config = cleaner.config
    job = job_of(src, dst, config.fingerprint(), rewrite=config.rewrite)
    for unit in job.units:
        commit(unit, job, cleaner)
    return job


def published_job(src: Path | str, dst: Path | str, cleaner: Cleaner) -> Job:
    """A job of which all is published."""
    job = cleaned_job(src, dst, cleaner)
    job.publish_all()
    return job


def tried_again(
    job: Job, path: str, members: Collection[str], cleaner: Cleaner, *, rewrite: bool = False
) -> Job:
    """A retry of some images of a source, all cleaned and none published."""
    rows = rows_of(job, path)
    source_id = job.planned(path).source.id
    images = [(source_id, position_of(rows[member]["image_id"])) for member in members]
    fingerprint = cleaner.config.fingerprint()
    plan = make_retry_plan(job.destination, images, fingerprint, 1, rewrite=rewrite)
    again = Job(job.destination, plan)
    for unit in again.units:
        commit(unit, again, cleaner)
    return again


def rows_of(job: Job, path: str) -> dict[str, dict[str, Any]]:
    """The report of a source by member."""
    table = job.destination.reports.read(job.planned(path).source.id)
    return {row["member"]: row for row in table.to_pylist()}
