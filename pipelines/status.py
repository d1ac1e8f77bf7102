"""How far a job under DST is.

It reads only what the run itself goes by: the plan, the commit markers, the published markers. That
costs a listing of the markers, a small read for each unit of a source that is not published yet,
the reports' reasons, the records of what was published, and a listing of the grey pictures.
"""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.destination.destination import Destination
from pipelines.destination.differences import differences
from pipelines.job import ObjectList
from pipelines.plan.units import parts_of
from pipelines.records import Unit
from pipelines.storage.place import REQUESTS_AT_ONCE

_RATED_SECONDS = 600.0  # before the newest marker, over which the rate is taken


@dataclass(frozen=True)
class JobStatus:
    """Done, of planned."""

    planned_images: int
    images_done: int
    units: int
    units_done: int
    sources: int
    sources_published: int
    megapixels: float
    megapixels_done: float
    rate: float | None  # MP/s over the last ten minutes of work; None where too little was done
    seconds_left: float | None  # at that rate; None where there is none
    quarantine: dict[str, int] = field(default_factory=dict)  # images by reason
    foreign: ObjectList = ObjectList()  # somebody else's, where mirrors would go; it stays
    left: ObjectList = ObjectList()  # mirrors of what has left SRC
    withheld: dict[str, int] = field(default_factory=dict)  # planned so, by reason
    not_looked_into: dict[str, int] = field(default_factory=dict)  # members, by kind
    grey_pictures: int = 0  # of black and white images


def status(destination: Destination) -> JobStatus:
    """How far the latest job under DST is.

    Raises:
        NoPlanError: Nothing was planned there.
    """
    plan = destination.manifests.latest()
    ledger = destination.ledger
    published = destination.markers.done(plan)
    times = ledger.times()
    deadly = ledger.deadly(times.keys())
    tally = _Tally(_Rate(times))
    open_commits: list[str] = []  # of sources that are not published: their reasons are here only
    for unit in destination.manifests.units(plan):
        if unit.source.id in published:
            tally.add(unit, (unit,))
            continue
        parts = parts_of(unit, plan.fingerprint, times.keys(), deadly).committed
        tally.add(unit, parts)
        open_commits.extend(part.id for part in parts)
    rate = tally.rate.megapixels_a_second
    left = plan.megapixels - tally.megapixels
    differing = differences(destination, plan)
    in_order: list[str] = []
    unread = 0  # of published sources: in quarantine without any unit
    for planned in plan.sources:
        if planned.source.id in published:
            in_order.append(planned.source.id)
            unread += planned.unread
    quarantine = _reported(destination, in_order) + _committed(destination, open_commits)
    return JobStatus(
        planned_images=plan.all_images,
        images_done=tally.images + unread,
        units=plan.units,
        units_done=tally.units,
        sources=len(plan.sources),
        sources_published=len(published),
        megapixels=plan.megapixels,
        megapixels_done=tally.megapixels,
        rate=rate,
        seconds_left=left / rate if rate else None,
        quarantine=dict(quarantine),
        foreign=differing.foreign,
        left=differing.left,
        withheld=plan.withheld,
        not_looked_into=plan.not_looked_into,
        grey_pictures=sum(1 for _ in destination.grey_pictures.all()),
    )


class _Rate:
    """Megapixels a second over the last ten minutes before the newest marker."""

    def __init__(self, times: dict[str, float]) -> None:
        self._times = times  # of each commit marker, by unit
        self._newest = max(times.values(), default=0.0)
        self._oldest = self._newest  # of the markers that count
        self._megapixels = 0.0

    def add(self, unit: Unit) -> None:
        """Count a committed unit, if its marker is recent. It may have been collected."""
        made = self._times.get(unit.id)
        if made is not None and self._newest - made < _RATED_SECONDS:
            self._megapixels += unit.megapixels
            self._oldest = min(self._oldest, made)

    @property
    def megapixels_a_second(self) -> float | None:
        """None where too little was done to say."""
        if self._newest <= self._oldest:
            return None
        return self._megapixels / (self._newest - self._oldest)


@dataclass
class _Tally:
    """What is done of a plan."""

    rate: _Rate
    images: int = 0
    units: int = 0
    megapixels: float = 0.0

    def add(self, planned: Unit, done: tuple[Unit, ...]) -> None:
        """Count what is done of a planned unit; the unit itself only if that is all of it."""
        images = 0
        for part in done:
            images += len(part.members)
            self.megapixels += part.megapixels
            self.rate.add(part)
        self.images += images
        if images == len(planned.members):
            self.units += 1


def _reported(destination: Destination, published: Iterable[str]) -> Counter[str]:
    """Quarantine of the published sources, by reason."""
    reasons: Counter[str] = Counter()
    reports = destination.reports.reader(["status", "reason"])
    for source_id in published:
        table = reports.rows(source_id)
        for row in table.to_pylist():
            if row["status"] == "quarantined":
                reasons[row["reason"] or "unknown"] += 1
    return reasons


def _committed(destination: Destination, unit_ids: Iterable[str]) -> Counter[str]:
    """Quarantine of committed units, by reason."""
    reasons: Counter[str] = Counter()
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="status") as pool:
        for commit in pool.map(destination.ledger.read, unit_ids):
            reasons.update(commit.reasons)
    return reasons
