"""What this program wrote into the mirrors: each object of a source with its digest.

    mirrored/<source>.parquet                  the record: every object of the source's mirror
    announced/<source>.<token>-<n>.json        what is about to be written, and not yet recorded

An object is announced with its digest before it appears, and recorded once the whole source is
written; then its announcements go. So whenever a run dies, everything that it wrote is named by one
of the two, and nothing else is: that is how a later run tells its own objects from other people's.

Costs one small Parquet file a source, and while it is being written one small object for up to
eight files.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from demoire.errors import StorageError
from pipelines import layout
from pipelines.destination.stored_json import check_json, read_json
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place

# mirrored: in the mirror, and in SRC when it was written.
# left: still in the mirror, although it has left SRC.
# foreign: somebody else's, where the mirror of something would go.
ObjectState = Literal["mirrored", "left", "foreign"]

_READERS = 16  # records at a time; each mostly waits for storage

_COLUMNS = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class MirroredObject:
    """One object under DST at a place that belongs to a source."""

    path: str  # under DST
    state: ObjectState
    sha256: str  # of what was written; '' where that is not known
    version: str  # as DST gave it right after the write; '' where that is not known


@dataclass(frozen=True)
class MirrorRecord:
    """All that is known of one source's mirror."""

    source_id: str
    src: str  # the SRC that took the source in, as a full path or URL
    objects: tuple[MirroredObject, ...]

    def paths(self, *states: ObjectState) -> list[str]:
        """The paths of the objects in one of these states, in order."""
        return [item.path for item in self.objects if item.state in states]


@dataclass(frozen=True)
class Announcement:
    """An object that is about to be written."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str  # under DST
    sha256: str  # '' of what a store copies itself
    version: str = ""  # that it will have; '' of what is written


@dataclass(frozen=True)
class Note:
    """A small object that announces some others."""

    path: str  # under DST
    version: str  # as DST gives it
    announcements: tuple[Announcement, ...]


@dataclass(frozen=True)
class _RecordFacts:
    """The metadata of a record."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    src: str


_FACTS_FORM = TypeAdapter(_RecordFacts)
_ANNOUNCEMENTS_FORM = TypeAdapter(tuple[Announcement, ...])


class MirrorRecords:
    """The records and announcements under DST."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self, source_id: str) -> MirrorRecord | None:
        """The record of a source; None if there is none.

        Raises:
            UsageError: It is damaged or of another version.
        """
        if not self.version(source_id):
            return None
        return self.read_existing(source_id)

    def version(self, source_id: str) -> str:
        """The version of the record of a source, as DST gives it; '' if there is no record."""
        entry = self._place.stat(layout.mirror_record(source_id))
        return "" if entry is None else entry.version

    def read_existing(self, source_id: str) -> MirrorRecord:
        """The record of a source that has one.

        Raises:
            UsageError: It is damaged or of another version.
        """
        path = layout.mirror_record(source_id)
        table = pq.read_table(pa.BufferReader(self._place.read(path)))
        metadata = (table.schema.metadata or {}).get(b"demoire.mirror", b"")
        facts = check_json(metadata, self._place.full(path), _FACTS_FORM)
        objects = []
        for row in table.to_pylist():
            name = row["path"].decode("utf-8", "surrogateescape")
            objects.append(MirroredObject(name, row["state"], row["sha256"], row["version"]))
        return MirrorRecord(source_id, facts.src, tuple(objects))

    def write(self, record: MirrorRecord) -> None:
        """Put a record in the place of the one before."""
        rows = []
        for item in record.objects:
            path = item.path.encode("utf-8", "surrogateescape")
            rows.append({**asdict(item), "path": path})
        schema = _COLUMNS.with_metadata({"demoire.mirror": json.dumps({"src": record.src})})
        with local_temporary() as local:
            pq.write_table(pa.Table.from_pylist(rows, schema), local, compression="zstd")
            self._place.put_file(local, layout.mirror_record(record.source_id))

    def delete(self, source_id: str) -> None:
        """Remove the record of a source that has no mirror any more."""
        self._place.delete(layout.mirror_record(source_id))

    def all(self) -> Iterator[MirrorRecord]:
        """The records of all sources that were ever published under DST."""
        entries = list(self._place.list(layout.MIRROR_RECORDS))
        source_ids = [layout.source_id_of(entry.name) for entry in entries]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
            yield from pool.map(self.read_existing, source_ids)

    def notes(self, source_id: str, known: Mapping[str, str]) -> Iterator[Note]:
        """The notes of what was announced for a source and is not recorded yet.

        Args:
            source_id: The source.
            known: Versions, by path, of notes that need not be read again.
        """
        prefix = layout.announcement_prefix(source_id)
        for entry in list(self._place.list_named(layout.ANNOUNCEMENTS, prefix)):
            if known.get(entry.path) == entry.version:
                continue
            try:
                announcements = read_json(self._place, entry.path, _ANNOUNCEMENTS_FORM)
            except StorageError:
                # Another run has recorded the objects meanwhile, and removed the note.
                if self._place.exists(entry.path):
                    raise
                continue
            yield Note(entry.path, entry.version, announcements)


class Announcer:
    """Announces the objects of one source, those of several threads in one note."""

    def __init__(self, place: Place, source_id: str) -> None:
        self._place = place
        self._source_id = source_id
        self._token = uuid4().hex[:8]
        self._pending: list[Announcement] = []
        self._asked = 0
        self._written = 0
        self._adding = threading.Lock()
        self._writing = threading.Lock()
        self.notes: list[str] = []  # paths of what was written

    def announce(self, announcement: Announcement) -> None:
        """Return once the announcement is stored."""
        with self._adding:
            self._pending.append(announcement)
            self._asked += 1
            number = self._asked
        with self._writing:
            if self._written < number:
                self._write_pending()

    def _write_pending(self) -> None:
        """Write what all threads are waiting for; if that fails, each of them tries again."""
        with self._adding:
            batch = list(self._pending)
            last = self._asked
        path = layout.announcement(self._source_id, self._token, len(self.notes) + 1)
        text = json.dumps([asdict(announcement) for announcement in batch])
        self._place.write(path, text.encode())
        self.notes.append(path)
        with self._adding:
            del self._pending[: len(batch)]
        self._written = last
