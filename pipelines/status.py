"""How far a job under DST is, and what of its bookkeeping can go.

Both read only what the run itself goes by: the plan, the commit markers, the published markers.
`status` costs a listing of the markers, a small read for each unit of a source that is not
published yet, and the reports' reasons.
"""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.clean.ledger import Ledger
from pipelines.plan.manifest import Plan, SourcePlan, load_plan, read_units
from pipelines.plan.units import pieces
from pipelines.publish.marker import is_published, read_marker
from pipelines.publish.table import read_report
from pipelines.storage.open import open_place
from pipelines.storage.place import Place

_RATED = 600.0  # seconds before the newest marker over which the rate is taken
_READERS = 16


@dataclass(frozen=True)
class Status:
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


def is_done(place: Place, plan: Plan, planned: SourcePlan) -> bool:
    """Whether nothing is left to do for this source of the plan."""
    if not plan.generation:
        return is_published(place, planned.source, plan.fingerprint, plan.sample) is not None
    marker = read_marker(place, planned.source.id)
    return marker is not None and marker.generation >= plan.generation


def status(dst: str) -> Status:
    """How far the latest job under DST is. Raises UsageError if nothing was planned there."""
    place, plan, ledger = open_place(dst), load_plan(dst), Ledger(dst)
    published = _published(place, plan)
    times = {entry.name.partition(".")[0]: entry.mtime for entry in ledger.commits()}
    deadly = ledger.poisonous(times.keys())
    images = units = 0
    megapixels, recent = 0.0, 0.0
    newest = max(times.values(), default=0.0)
    oldest = newest
    open_commits = []
    for unit in read_units(dst, plan.id):
        here = unit.source.id in published
        parts = (unit,) if here else pieces(unit, plan.fingerprint, times.keys(), deadly).committed
        images += sum(len(part.members) for part in parts)
        megapixels += sum(part.megapixels for part in parts)
        units += len(unit.members) == sum(len(part.members) for part in parts)
        open_commits += [] if here else [part.id for part in parts]
        for part in parts:
            made = times.get(part.id)  # none where it was collected
            if made is not None and newest - made < _RATED:
                recent, oldest = recent + part.megapixels, min(oldest, made)
    rate = recent / (newest - oldest) if newest > oldest else None
    left = plan.megapixels - megapixels
    return Status(
        planned_images=plan.images,
        images_done=images,
        units=plan.units,
        units_done=units,
        sources=len(plan.sources),
        sources_published=len(published),
        megapixels=plan.megapixels,
        megapixels_done=megapixels,
        rate=rate,
        seconds_left=left / rate if rate else None,
        quarantine=dict(_reported(place, published) + _committed(ledger, open_commits)),
    )


def _published(place: Place, plan: Plan) -> set[str]:
    return {planned.source.id for planned in plan.sources if is_done(place, plan, planned)}


def _reported(place: Place, published: Iterable[str]) -> Counter[str]:
    """Quarantine of the published sources, by reason."""
    reasons: Counter[str] = Counter()
    for source_id in published:
        table = read_report(place, source_id, ["status", "reason"])
        reasons.update(
            row["reason"] or "unknown"
            for row in table.to_pylist()
            if row["status"] == "quarantined"
        )
    return reasons


def _committed(ledger: Ledger, unit_ids: Iterable[str]) -> Counter[str]:
    """Quarantine of committed units, by reason."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="status") as pool:
        return sum(
            (Counter(commit.reasons) for commit in pool.map(ledger.read, unit_ids)), Counter()
        )
