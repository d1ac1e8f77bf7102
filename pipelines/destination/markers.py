"""The markers that say a source is published.

    published/<source>.json    that of a small source may be on a shelf instead
                               (`pipelines.destination.shelves`)

A marker counts only as long as it fits the source's version and the configuration and the mirror is
still there; so whether a source is done costs one to three small requests. `done` asks for many
sources at a time.
"""

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from pydantic import TypeAdapter

from pipelines import layout
from pipelines.destination.loose_objects import loose_objects
from pipelines.destination.plans import Plan, SourcePlan
from pipelines.destination.published import Published
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.destination.shelves import Shelves
from pipelines.destination.stored_json import read_json
from pipelines.records import Source
from pipelines.storage.place import REQUESTS_AT_ONCE, Place

_FORM = TypeAdapter(Published)


class Markers:
    """The markers of published sources under DST."""

    def __init__(self, place: Place, shelves: Shelves) -> None:
        self._place = place
        self._shelves = shelves

    def read(self, source_id: str) -> Published | None:
        """The marker of a source, whether or not it still fits; None if there is none.

        That of a source on a shelf is the one that this process saw last.
        """
        shelved = self._shelves.find(source_id)
        if shelved is not None:
            return shelved.marker
        path = layout.publication_marker(source_id)
        if not self._place.exists(path):
            return None
        return read_json(self._place, path, _FORM)

    def write(self, marker: Published) -> None:
        """Say that a source is published, over what was said of it before."""
        shelf_id = self._shelves.shelf_of(marker.source_id)
        if shelf_id is not None:
            self._shelves.put(shelf_id, [ShelvedSource.published(marker)])
            return
        path = layout.publication_marker(marker.source_id)
        self._place.write(path, json.dumps(asdict(marker)).encode())

    def withdraw(self, marker: Published) -> None:
        """Have a source published again by the next run: its marker fits no version any more."""
        self.write(replace(marker, version=""))

    def all(self) -> Iterator[Published]:
        """Every marker under DST, of this job or an earlier one."""
        self._shelves.refresh()
        for entry in self._place.list(layout.PUBLISHED):
            yield read_json(self._place, entry.path, _FORM)
        for shelf_id in self._shelves.ids():
            for shelved in self._shelves.entries(shelf_id).values():
                if shelved.marker is not None:
                    yield shelved.marker

    def fitting(self, source: Source, fingerprint: str, sample: int | None) -> Published | None:
        """The marker of a source, if it is of this very version and configuration and the mirror is
        still there.
        """
        marker = self.read(source.id)
        if marker is None or marker.version != source.version:
            return None
        if marker.fingerprint != fingerprint or marker.sample != sample:
            return None
        return marker if self._is_there(source, marker) else None

    def _is_there(self, source: Source, marker: Published) -> bool:
        """Whether the mirror is still there, and what was foreign still stands in its way."""
        if source.kind == "folder":
            expected = marker.files + marker.foreign + marker.left
            return sum(1 for _ in loose_objects(self._place, source.path)) >= expected
        if marker.files + marker.foreign == 0:  # DST refuses its name
            return True
        mirror = self._place.stat(source.path)
        if mirror is None:
            return False
        return marker.foreign > 0 or mirror.size == marker.size

    def is_done(self, plan: Plan, planned: SourcePlan) -> bool:
        """Whether nothing is left to do for this source of the plan."""
        if plan.generation:
            marker = self.read(planned.source.id)
            return marker is not None and marker.generation >= plan.generation
        marker = self.fitting(planned.source, plan.fingerprint, plan.sample)
        # A PDF that was locked at that time, and is open now, is planned as a file with pictures.
        return marker is not None and marker.others == planned.others

    def done(self, plan: Plan, among: AbstractSet[str] | None = None) -> set[str]:
        """The ids of the sources of which nothing is left to do.

        Args:
            plan: What there is to do.
            among: Ask about the sources with these ids only.
        """
        self._shelves.refresh()
        with_marker = {layout.source_id_of(one.name) for one in self._place.list(layout.PUBLISHED)}
        asked = []
        for planned in plan.sources:
            source_id = planned.source.id
            is_known = source_id in with_marker or self._shelves.shelf_of(source_id) is not None
            if is_known and (among is None or source_id in among):
                asked.append(planned)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="markers") as pool:
            answers = list(pool.map(lambda planned: self.is_done(plan, planned), asked))
        done = set()
        for planned, is_done in zip(asked, answers, strict=True):
            if is_done:
                done.add(planned.source.id)
        return done
