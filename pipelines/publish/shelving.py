"""Which small sources are put on which shelf, before anything of them is written.

A source is small if it holds few images and few other objects, whether it is a folder or an
archive. It is put on a shelf when it is published for the first time, and stays there; shelves with
room are filled first. So two runs that plan the same put the same sources on the same shelves. A
source that has objects of its own, from an earlier version or because it was large, keeps them.

Costs a listing of what is published, and one small write for each shelf that gets sources.
"""

import hashlib
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from pipelines import layout
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, SourcePlan
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.destination.shelves import Shelves
from pipelines.storage.place import Place

SHELF_SOURCES = 128  # on one shelf

_IMAGES = 8  # at most in a small source
_OBJECTS = 64  # files, links and folders
_BYTES = 64_000_000


def is_shelved(planned: SourcePlan) -> bool:
    """Whether a source is small enough for a shelf."""
    is_light = planned.source.size <= _BYTES and planned.objects <= _OBJECTS
    return is_light and planned.images + planned.unsafe <= _IMAGES


def put_on_shelves(destination: Destination, plan: Plan, source_ids: AbstractSet[str]) -> None:
    """Put those of these sources on shelves that are small and were never published.

    Args:
        destination: Everything under DST.
        plan: What the sources are of.
        source_ids: Those that are to be published now.
    """
    shelves = destination.shelves
    shelves.refresh()
    for shelf_id, source_ids_there in shelves.doubled().items():
        # Two runs have put one source on two shelves at the same moment.
        shelves.put(shelf_id, (), off=source_ids_there)
        destination.reports.write_shelf(shelf_id, {})
    homeless = []
    for planned in plan.sources:
        source_id = planned.source.id
        is_new = source_id in source_ids and shelves.shelf_of(source_id) is None
        if is_new and is_shelved(planned):
            homeless.append(source_id)
    if homeless:
        with_own_objects = _ids_with_objects(destination.place)
        _claim(shelves, (one for one in homeless if one not in with_own_objects))


def _claim(shelves: Shelves, source_ids: Iterable[str]) -> None:
    """Put these on shelves that have room, and on new ones."""
    coming = iter(source_ids)
    for shelf_id in shelves.ids():
        room = SHELF_SOURCES - len(shelves.members(shelf_id))
        chosen = _first(coming, room)
        if chosen:
            shelves.put(shelf_id, map(ShelvedSource.claimed, chosen))
    while chosen := _first(coming, SHELF_SOURCES):
        digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()
        shelves.put(layout.new_shelf_id(digest), map(ShelvedSource.claimed, chosen))


def _first(coming: Iterator[str], count: int) -> list[str]:
    """The next so many."""
    chosen: list[str] = []
    while len(chosen) < count:
        source_id = next(coming, None)
        if source_id is None:
            break
        chosen.append(source_id)
    return chosen


def _ids_with_objects(place: Place) -> set[str]:
    """The ids of the sources that have a record, a marker or a table of their own."""
    ids = set()
    for folder in (layout.MIRROR_RECORDS, layout.PUBLISHED, layout.REPORT):
        for entry in place.list(folder):
            ids.add(layout.source_id_of(entry.name))
    return ids
