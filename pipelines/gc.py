"""Removing segments that are published, and what interrupted attempts left behind."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.ledger import Ledger
from pipelines.destination.plans import Plan
from pipelines.plan.units import lineage
from pipelines.storage.place import Entry, Place

_DAY = 86_400.0  # seconds; what nothing names may still be in the making, after a day it is not


@dataclass(frozen=True)
class Collected:
    """What `gc` removed."""

    objects: int
    bytes: int


def gc(destination: Destination) -> Collected:
    """Remove what published sources no longer need, and what nothing has named for a day.

    A mirror that is lost afterwards is cleaned anew by the next run. Never touches what the
    committed units of an unpublished source are made of, nor mirrors and reports.

    Raises:
        NoPlanError: Nothing was planned under DST.
    """
    plan = destination.manifests.latest()
    place = destination.place
    units = _UnitsInUse.of(destination, plan)
    a_day_ago = time.time() - _DAY
    objects = 0
    size = 0
    for entry in _garbage(destination, plan, units, a_day_ago):
        place.delete(entry.path)
        objects += 1
        size += entry.size
    return Collected(objects, size)


def _garbage(
    destination: Destination, plan: Plan, units: "_UnitsInUse", a_day_ago: float
) -> Iterator[Entry]:
    """What may go; each object is removed before the next is asked for.

    Args:
        destination: Everything under DST.
        plan: The latest plan.
        units: Which units the ledger has to keep.
        a_day_ago: What is older, and named by nothing, is not in the making; seconds since 1970.
    """
    for entry in _ledger_objects(destination.place):
        if units.may_go(entry, is_old=entry.mtime < a_day_ago):
            yield entry
    unnamed = _unfinished(destination.place, plan)
    if destination.markers.done(plan) >= plan.source_ids:  # else some images have no row yet
        unnamed = chain(unnamed, destination.grey_pictures.without_image())
    for entry in unnamed:
        if entry.mtime < a_day_ago:
            yield entry


@dataclass(frozen=True)
class _UnitsInUse:
    """Which units and bundles the ledger has to keep."""

    finished: set[str]  # of published sources, with all the parts they were halved into
    needed: set[str]  # of all other sources of the plan
    named: set[str]  # segments and rows that the needed units' commits name

    @staticmethod
    def of(destination: Destination, plan: Plan) -> "_UnitsInUse":
        ledger = destination.ledger
        published = destination.markers.done(plan)
        committed = ledger.committed()
        deadly = ledger.deadly(committed)
        finished: set[str] = set()
        needed: set[str] = set()
        for unit in destination.manifests.units(plan):
            unit_ids = lineage(unit, plan.fingerprint, deadly)
            if unit.source.id in published:
                finished.update(unit_ids)
            else:
                needed.update(unit_ids)
        named = _named_by(ledger, needed & committed)
        for bundle_id, bundled in ledger.bundles.all().items():
            if not needed.isdisjoint(bundled):
                needed.add(bundle_id)
            elif finished.issuperset(bundled):
                finished.add(bundle_id)
        return _UnitsInUse(finished, needed, named)

    def may_go(self, entry: Entry, *, is_old: bool) -> bool:
        """Whether an object of the ledger can be removed."""
        unit_id = layout.unit_id_of(entry.name)
        if unit_id in self.finished:
            return True
        if unit_id not in self.needed:
            return is_old
        is_data = entry.path.startswith((f"{layout.SEGMENTS}/", f"{layout.ROWS}/"))
        return is_old and is_data and entry.name not in self.named


def _named_by(ledger: Ledger, unit_ids: Iterable[str]) -> set[str]:
    named = set()
    for unit_id in unit_ids:
        commit = ledger.read(unit_id)
        named.add(commit.segment)
        named.add(commit.rows)
    return named


def _ledger_objects(place: Place) -> Iterator[Entry]:
    """Markers first: a marker without its segment would be a promise that cannot be kept."""
    markers = (layout.COMMIT_MARKERS, layout.BUNDLE_MARKERS)
    for folder in (*markers, layout.SEGMENTS, layout.ROWS, layout.ATTEMPT_NOTES):
        # Listed whole before anything in it is deleted.
        yield from list(place.list(folder))


def _unfinished(place: Place, plan: Plan) -> Iterator[Entry]:
    """Manifests of other plans, and what killed writers left of files."""
    kept = {layout.LATEST_PLAN, layout.units_table(plan.id), layout.sources_table(plan.id)}
    for entry in list(place.list(layout.MANIFEST)):
        if entry.path not in kept:
            yield entry
    yield from place.leftovers()
