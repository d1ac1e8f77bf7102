"""What is about to be written into a mirror: it is announced with its digest before it appears.

    announced/<source or shelf>.<token>-<n>.json

Once it is written and recorded (`pipelines.destination.mirrored`), its announcement goes. So
whenever a run dies, everything that it wrote is named by one of the two.

Costs one small object for up to eight files while these are written, and a listing to find what
earlier runs left.
"""

import json
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import ClassVar
from uuid import uuid4

from pydantic import ConfigDict, TypeAdapter

from demoire.errors import StorageError
from pipelines import layout
from pipelines.destination.stored_json import read_json
from pipelines.storage.place import Entry, Place


@dataclass(frozen=True)
class Announcement:
    """An object that is about to be written."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str  # under DST
    sha256: str  # '' of what a store copies itself
    version: str = ""  # that it will have; '' of what is written


@dataclass(frozen=True)
class _Note:
    """A small object that announces some others."""

    version: str  # as DST gives it; '' of one that was written here
    announcements: tuple[Announcement, ...]


_FORM = TypeAdapter(tuple[Announcement, ...])


class Announcements:
    """The announcements of one source or shelf: those that are there, and new ones.

    Threads may share it; what several of them announce at a time goes into one note.
    """

    def __init__(self, place: Place, home_id: str) -> None:
        self._place = place
        self._home_id = home_id
        self._token = uuid4().hex[:8]
        self._notes: dict[str, _Note] = {}  # by path
        self._names: dict[str, set[str]] = {}  # digests and versions by the path of the object
        self._pending: list[Announcement] = []
        self._asked = 0
        self._written = 0
        self._own_notes = 0
        self._adding = threading.Lock()
        self._writing = threading.Lock()
        self._looking = threading.Lock()

    def names(self, path: str) -> AbstractSet[str]:
        """The digests and versions that were announced for a path."""
        return self._names.get(path, set())

    @property
    def paths(self) -> set[str]:
        """What was announced, ever, and may not be recorded."""
        return set(self._names)

    def look(self) -> None:
        """Read what others have announced since the last look."""
        prefix = layout.name_prefix(self._home_id)
        with self._looking:
            for entry in list(self._place.list_named(layout.ANNOUNCEMENTS, prefix)):
                known = self._notes.get(entry.path)
                if known is None or known.version not in ("", entry.version):
                    self._read(entry)

    def announce(self, announcement: Announcement) -> None:
        """Return once the announcement is stored."""
        with self._adding:
            self._pending.append(announcement)
            self._asked += 1
            number = self._asked
        with self._writing:
            if self._written < number:
                self._write_pending()

    def forget(self, is_recorded: Callable[[str], bool]) -> None:
        """Remove the notes that are not needed any more.

        Args:
            is_recorded: Whether the record tells of what was announced for this path. A note stays
                as long as it names anything else.
        """
        for path, note in list(self._notes.items()):
            if all(is_recorded(announcement.path) for announcement in note.announcements):
                self._place.delete(path)
                del self._notes[path]

    def _read(self, entry: Entry) -> None:
        try:
            announcements = read_json(self._place, entry.path, _FORM)
        except StorageError:
            # Another run has recorded the objects meanwhile, and removed the note.
            if self._place.exists(entry.path):
                raise
            return
        self._take(entry.path, _Note(entry.version, announcements))

    def _take(self, path: str, note: _Note) -> None:
        self._notes[path] = note
        for announcement in note.announcements:
            name = announcement.sha256 or announcement.version
            self._names.setdefault(announcement.path, set()).add(name)

    def _write_pending(self) -> None:
        """Write what all threads are waiting for; if that fails, each of them tries again."""
        with self._adding:
            batch = tuple(self._pending)
            last = self._asked
        path = layout.announcement(self._home_id, self._token, self._own_notes + 1)
        text = json.dumps([asdict(announcement) for announcement in batch])
        self._place.write(path, text.encode())
        self._own_notes += 1
        self._take(path, _Note("", batch))
        with self._adding:
            del self._pending[: len(batch)]
        self._written = last
