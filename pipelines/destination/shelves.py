"""Shelves: the bookkeeping of many small published sources in one object.

    shelves/<shelf>.<token>.json    of each source on it the record of its mirror, and its marker
    report/<shelf>.parquet          the rows of all of them
    page/previews/<shelf>.parquet   the pictures of those that changed most

A source is put on a shelf before anything of it is written, and stays there: a shelf without a
record says that nothing of the source is recorded yet, one without a marker that it is not
published. A source that has objects of its own keeps those.

Each state of a shelf is an object with a name of its own, and once it is written those that it was
made of are removed. So two runs that write at once lose nothing of each other's: what is there is
read together, and of two that tell of one source the one that was written later holds. Of two
shelves with the same source the first by name holds.

Costs for each shelf two small writes and two deletions whenever some of its sources are published,
however few. A process lists the shelves and reads each once. Memory holds the ids of their sources,
and all of the last few.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from uuid import uuid4

from demoire.errors import StorageError
from pipelines import layout
from pipelines.destination.shelf_states import SeenShelves, ShelvedSource, read_states
from pipelines.storage.place import REQUESTS_AT_ONCE, Place

_LOOKS = 20  # at a shelf that others write meanwhile
_BETWEEN_LOOKS = 0.1  # seconds


class Shelves:
    """The shelves under DST, as this process has seen them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._seen = SeenShelves()
        self._has_looked = False
        self._writing = threading.Lock()

    def ids(self) -> list[str]:
        """The ids of all shelves, in order."""
        self._look_once()
        return sorted(self._seen.members)

    def shelf_of(self, source_id: str) -> str | None:
        """The shelf that a source is on."""
        self._look_once()
        return self._seen.homes.get(source_id)

    def find(self, source_id: str) -> ShelvedSource | None:
        """What is said of a source; None if it is on no shelf."""
        shelf_id = self.shelf_of(source_id)
        return None if shelf_id is None else self.entries(shelf_id).get(source_id)

    def members(self, shelf_id: str) -> tuple[str, ...]:
        """The ids of the sources on a shelf, in its order; reads nothing."""
        return self._seen.members.get(shelf_id, ())

    def entries(self, shelf_id: str) -> Mapping[str, ShelvedSource]:
        """What a shelf says, by source."""
        state = self._seen.state(shelf_id)
        if state is None:
            paths = self._seen.paths.get(shelf_id, frozenset())
            state = read_states(self._place, paths)
            if state is None:  # written by another process since it was seen
                self.look_at(shelf_id)
                return self.entries(shelf_id)
            self._seen.remember(shelf_id, paths, state)
        return state

    def doubled(self) -> dict[str, set[str]]:
        """The sources on each shelf that are on another one as well, which comes first by name."""
        doubled: dict[str, set[str]] = {}
        for shelf_id, members in self._seen.members.items():
            for source_id in members:
                if self._seen.homes[source_id] != shelf_id:
                    doubled.setdefault(shelf_id, set()).add(source_id)
        return doubled

    def refresh(self) -> None:
        """Look for what other processes have written."""
        self._has_looked = True
        listed: dict[str, set[str]] = {}
        for entry in self._place.list(layout.SHELVES):
            listed.setdefault(layout.source_id_of(entry.name), set()).add(entry.path)
        changed = []
        for shelf_id in sorted(listed.keys() | self._seen.paths.keys()):
            if listed.get(shelf_id, set()) != self._seen.paths.get(shelf_id):
                changed.append(shelf_id)
        if not changed:
            return
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="shelves") as pool:
            looks = [pool.submit(self._take, one, listed.get(one, set())) for one in changed]
        for look in looks:
            look.result()

    def learn(self, homes: Mapping[str, str]) -> None:
        """Take from another process which sources are on shelves; all others are on none.

        Args:
            homes: Ids of shelves by those of their sources.
        """
        self._has_looked = True
        self._seen.homes.update(homes)

    def look_at(self, shelf_id: str) -> None:
        """Look for what other processes have written of one shelf."""
        was_missing = False
        for _ in range(_LOOKS):
            prefix = layout.name_prefix(shelf_id)
            listed = {entry.path for entry in self._place.list_named(layout.SHELVES, prefix)}
            # A store's list may be late, so that a shelf is gone once two of them say so.
            is_missing = not listed and shelf_id in self._seen.paths
            if (was_missing or not is_missing) and self._took(shelf_id, listed):
                return
            was_missing = is_missing
            time.sleep(_BETWEEN_LOOKS)
        raise StorageError(
            f"{self._place.full(layout.SHELVES)} is written by others all the time: "
            "run the same command again later."
        )

    def put(
        self,
        shelf_id: str,
        sources: Iterable[ShelvedSource],
        off: AbstractSet[str] = frozenset(),
    ) -> None:
        """Write another state of a shelf, and remove those that it is made of.

        Args:
            shelf_id: The shelf.
            sources: What is to be said of some sources; what this does not tell stays.
            off: The ids of sources that are to be on it no longer. A shelf without sources is gone.
        """
        with self._writing:
            self.look_at(shelf_id)
            before = self._seen.paths.get(shelf_id, frozenset())
            state = dict(self.entries(shelf_id)) if before else {}
            for shelved in sources:
                state[shelved.source_id] = shelved.after(state.get(shelved.source_id))
            for source_id in off:
                state.pop(source_id, None)
            paths = set()
            if state:
                path = layout.shelf_object(shelf_id, uuid4().hex[:8])
                text = json.dumps([asdict(shelved) for shelved in state.values()])
                self._place.write(path, text.encode())
                paths.add(path)
            for path in before:
                self._place.delete(path)
            self._seen.remember(shelf_id, paths, state)

    def _look_once(self) -> None:
        if not self._has_looked:
            self.refresh()

    def _take(self, shelf_id: str, listed: AbstractSet[str]) -> None:
        if not listed or not self._took(shelf_id, listed):
            self.look_at(shelf_id)

    def _took(self, shelf_id: str, listed: AbstractSet[str]) -> bool:
        """Read a shelf's objects; False where one of them is gone since they were listed."""
        before = self._seen.paths.get(shelf_id, frozenset())
        if listed == before:
            return True
        unlisted = {path for path in before - listed if self._place.exists(path)}
        paths = listed | unlisted
        state = read_states(self._place, paths)
        if state is None:
            return False
        self._seen.remember(shelf_id, paths, state)
        return True
