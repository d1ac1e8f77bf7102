"""The markers of bundles: each commits several small units at once.

A source of one small image would otherwise have an attempt, a segment, rows and a marker of its
own. Which units a bundle holds is nowhere but in its marker: the units keep their ids, and a later
plan may bundle what is still open in another way.

Costs one listing and, once a process, one read of a few kilobytes for each bundle. Memory holds
the ids of the units, and what the last few markers say.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from pydantic import TypeAdapter

from demoire.errors import StorageError
from pipelines import layout
from pipelines.destination.commits import Commit
from pipelines.destination.stored_json import read_json
from pipelines.storage.place import REQUESTS_AT_ONCE, Place

_KEPT = 64  # markers in memory

_FORM = TypeAdapter(tuple[Commit, ...])


class BundleMarkers:
    """The markers of bundles under DST, as far as this process has read them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._units: dict[str, tuple[str, ...]] = {}  # ids by bundle
        self._bundles: dict[str, str] = {}  # by the id of the unit
        self._kept: OrderedDict[str, tuple[Commit, ...]] = OrderedDict()
        self._changing = threading.Lock()

    def create(self, bundle_id: str, commits: Sequence[Commit]) -> bool:
        """Write a marker exclusively; False where there is one."""
        text = json.dumps([asdict(commit) for commit in commits])
        return self._place.create(layout.bundle_marker(bundle_id), text.encode())

    def read(self, bundle_id: str) -> tuple[Commit, ...]:
        """What a marker says of each of its units.

        Raises:
            StorageError: There is none.
            UsageError: It is damaged or of another version.
        """
        with self._changing:
            commits = self._kept.get(bundle_id)
        if commits is not None:
            return commits
        commits = read_json(self._place, layout.bundle_marker(bundle_id), _FORM)
        with self._changing:
            self._kept[bundle_id] = commits
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return commits

    def _read_listed(self, bundle_id: str) -> tuple[Commit, ...]:
        """`read`; nothing where the marker was removed since it was listed."""
        try:
            return self.read(bundle_id)
        except StorageError:
            if self.exists(bundle_id):
                raise
            return ()

    def commit_of(self, bundle_id: str, unit_id: str) -> Commit:
        """What a marker says of one of its units."""
        for commit in self.read(bundle_id):
            if commit.unit_id == unit_id:
                return commit
        raise StorageError(
            f"{self._place.full(layout.bundle_marker(bundle_id))} does not hold the unit that it "
            "held before: run the same command again."
        )

    def exists(self, bundle_id: str) -> bool:
        """Whether a bundle is committed."""
        return self._place.exists(layout.bundle_marker(bundle_id))

    def knows(self, bundle_id: str) -> bool:
        """Whether a bundle is known to be committed, without a request."""
        return bundle_id in self._units

    def bundle_of(self, unit_id: str) -> str | None:
        """The bundle that a unit is known to be committed with, without a request."""
        return self._bundles.get(unit_id)

    def learn(self, bundles: Mapping[str, str]) -> None:
        """Take from another process which bundles some units are committed with.

        Args:
            bundles: Ids of bundles by those of their units.
        """
        self._bundles.update(bundles)

    def all(self) -> dict[str, tuple[str, ...]]:
        """The ids of the units of each known bundle."""
        return dict(self._units)

    def refresh(self) -> dict[str, float]:
        """Read what is new; when each bundled unit was committed, in seconds since 1970."""
        times = {}
        for entry in self._place.list(layout.BUNDLE_MARKERS):
            times[layout.unit_id_of(entry.name)] = entry.mtime
        unread = [bundle_id for bundle_id in times if bundle_id not in self._units]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="bundles") as pool:
            for bundle_id, commits in zip(unread, pool.map(self._read_listed, unread), strict=True):
                self._units[bundle_id] = tuple(commit.unit_id for commit in commits)
        for bundle_id in self._units.keys() - times.keys():
            del self._units[bundle_id]
        # The first by name, where two runs at once have bundled one unit in two ways.
        bundles: dict[str, str] = {}
        for bundle_id in sorted(self._units):
            for unit_id in self._units[bundle_id]:
                bundles.setdefault(unit_id, bundle_id)
        self._bundles = bundles
        unit_times = {}
        for unit_id, bundle_id in bundles.items():
            unit_times[unit_id] = times[bundle_id]
        return unit_times
