"""Removing segments and what interrupted attempts left behind."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.clean.ledger import ATTEMPTS, COMMITS, ROWS, SEGMENTS, Ledger
from pipelines.plan.manifest import LATEST, MANIFEST, Plan, load_plan, read_units
from pipelines.plan.units import lineage
from pipelines.status import _published
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place

_DAY = 86_400.0  # what nothing names may still be in the making; after a day it is not


@dataclass(frozen=True)
class Collected:
    """What `gc` removed."""

    objects: int
    bytes: int


def gc(dst: str) -> Collected:
    """Remove what published sources no longer need, and what nothing has named for a day.

    A mirror that is lost afterwards is cleaned anew by the next run. Never touches what the
    committed units of an unpublished source are made of, nor mirrors and reports. Raises UsageError
    if nothing was planned under DST.
    """
    place, plan, ledger = open_place(dst), load_plan(dst), Ledger(dst)
    published = _published(place, plan)
    committed = ledger.committed()
    deadly = ledger.poisonous(committed)
    needed: set[str] = set()
    finished: set[str] = set()
    for unit in read_units(dst, plan.id):
        ids = lineage(unit, plan.fingerprint, deadly)
        (finished if unit.source.id in published else needed).update(ids)
    named = {
        name
        for commit in map(ledger.read, needed & committed)
        for name in (commit.segment, commit.rows)
    }
    now, count, size = time.time(), 0, 0
    for entry in _ledger_objects(place):
        unit_id, old = entry.name.partition(".")[0], now - entry.mtime > _DAY
        orphan = entry.path.startswith((SEGMENTS, ROWS)) and entry.name not in named
        if unit_id in finished or (old and (unit_id not in needed or orphan)):
            place.delete(entry.path)
            count, size = count + 1, size + entry.size
    for entry in _stale(place, plan, now):
        place.delete(entry.path)
        count, size = count + 1, size + entry.size
    return Collected(count, size)


def _ledger_objects(place: Place) -> Iterator[Entry]:
    """Markers first: a marker without its segment would be a promise that cannot be kept."""
    for folder in (COMMITS, SEGMENTS, ROWS, ATTEMPTS):
        yield from list(place.list(folder))


def _stale(place: Place, plan: Plan, now: float) -> Iterator[Entry]:
    """Manifests of other plans, and what killed writers left of files, once they are a day old."""
    kept = {LATEST, f"{MANIFEST}/{plan.id}.parquet", f"{MANIFEST}/{plan.id}.sources.parquet"}
    manifests = [entry for entry in place.list(MANIFEST) if entry.path not in kept]
    for entry in (*manifests, *place.leftovers()):
        if now - entry.mtime > _DAY:
            yield entry
