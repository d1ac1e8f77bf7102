"""What the objects of a shelf say together, and which shelves a process has seen."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from pydantic import ConfigDict, TypeAdapter

from demoire.errors import StorageError
from pipelines.destination.mirror_record import MirrorRecord
from pipelines.destination.published import Published
from pipelines.destination.stored_json import read_json
from pipelines.storage.place import Place

_KEPT = 64  # shelves in memory


@dataclass(frozen=True)
class ShelvedSource:
    """What a shelf says of one source."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    source_id: str
    written_at: float  # seconds since 1970
    record: MirrorRecord | None = None  # None before its mirror was written
    marker: Published | None = None  # None before it was published

    @staticmethod
    def claimed(source_id: str) -> "ShelvedSource":
        """A source that is put on a shelf now."""
        return ShelvedSource(source_id, time.time())

    @staticmethod
    def recorded(record: MirrorRecord) -> "ShelvedSource":
        """A source whose mirror is written now."""
        return ShelvedSource(record.source_id, time.time(), record=record)

    @staticmethod
    def published(marker: Published) -> "ShelvedSource":
        """A source that is published now."""
        return ShelvedSource(marker.source_id, time.time(), marker=marker)

    def after(self, before: "ShelvedSource | None") -> "ShelvedSource":
        """This with what it does not tell, as it was before."""
        if before is None:
            return self
        record = self.record or before.record
        return replace(self, record=record, marker=self.marker or before.marker)


ShelfState: TypeAlias = dict[str, ShelvedSource]  # by source, in the order of the shelf
SHELF_FORM = TypeAdapter(tuple[ShelvedSource, ...])


def read_states(place: Place, paths: Iterable[str]) -> ShelfState | None:
    """What these objects of a shelf say together; None where one of them is gone.

    Raises:
        UsageError: One is damaged or of another version.
        StorageError: One cannot be read.
    """
    together: ShelfState = {}
    for path in sorted(paths):
        try:
            stored = read_json(place, path, SHELF_FORM)
        except StorageError:
            if place.exists(path):
                raise
            return None
        for shelved in stored:
            known = together.get(shelved.source_id)
            if known is None or known.written_at <= shelved.written_at:
                together[shelved.source_id] = shelved
    return together


class SeenShelves:
    """The shelves that this process has seen; touches no storage.

    Attributes:
        paths: The objects of each shelf.
        members: The ids of the sources on each, in its order.
        homes: The shelf of each source: of two the first by name.
    """

    def __init__(self) -> None:
        self.paths: dict[str, AbstractSet[str]] = {}
        self.members: dict[str, tuple[str, ...]] = {}
        self.homes: dict[str, str] = {}
        self._kept: OrderedDict[str, ShelfState] = OrderedDict()
        self._changing = threading.Lock()

    def state(self, shelf_id: str) -> ShelfState | None:
        """What a shelf says; None where it was not seen lately."""
        with self._changing:
            return self._kept.get(shelf_id)

    def remember(self, shelf_id: str, paths: AbstractSet[str], state: ShelfState) -> None:
        """Note what a shelf is made of and says; one that says nothing is gone."""
        with self._changing:
            gone = set(self.members.get(shelf_id, ())) - state.keys()
            if state:
                self.paths[shelf_id] = paths
                self.members[shelf_id] = tuple(state)
                self._kept[shelf_id] = state
                self._kept.move_to_end(shelf_id)
            else:
                self.paths.pop(shelf_id, None)
                self.members.pop(shelf_id, None)
                self._kept.pop(shelf_id, None)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            for source_id in state:
                home = self.homes.get(source_id, shelf_id)
                self.homes[source_id] = min(home, shelf_id)
            if gone:
                self._find_homes()

    def _find_homes(self) -> None:
        """Work out anew which shelf each source is on."""
        self.homes = {}
        for shelf_id in sorted(self.members):
            for source_id in self.members[shelf_id]:
                self.homes.setdefault(source_id, shelf_id)
