"""What this program wrote into the mirrors: each object of a source with its digest.

    mirrored/<source>.parquet    the record: every object of the source's mirror; that of a small
                                 source may be on a shelf (`pipelines.destination.shelves`)

An object is announced with its digest before it appears (`pipelines.destination.announcements`),
and recorded once the whole source is written; then its announcements go. So whenever a run dies,
everything that it wrote is named by one of the two, and nothing else is: that is how a later run
tells its own objects from other people's.

Costs one small Parquet file a source.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from pipelines import layout
from pipelines.destination.mirror_record import MirroredObject, MirrorRecord
from pipelines.destination.shelf_states import ShelvedSource
from pipelines.destination.shelves import Shelves
from pipelines.destination.stored_json import check_json
from pipelines.names import name_stored_as, stored_name
from pipelines.storage.local import local_temporary
from pipelines.storage.place import REQUESTS_AT_ONCE, Place

_COLUMNS = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class _RecordFacts:
    """The metadata of a record."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    src: str


_FACTS_FORM = TypeAdapter(_RecordFacts)


class MirrorRecords:
    """The records under DST."""

    def __init__(self, place: Place, shelves: Shelves) -> None:
        self._place = place
        self._shelves = shelves

    def read(self, source_id: str) -> MirrorRecord | None:
        """The record of a source; None if there is none.

        Raises:
            UsageError: It is damaged or of another version.
        """
        shelved = self._shelves.find(source_id)
        if shelved is not None:
            return shelved.record
        if not self.version(source_id):
            return None
        return self._read_own(source_id)

    def version(self, source_id: str) -> str:
        """What differs where the record of a source does; '' if there is no record.

        That of a source on a shelf is of the record that this process saw last.
        """
        shelved = self._shelves.find(source_id)
        if shelved is not None:
            return "" if shelved.record is None else str(shelved.written_at)
        entry = self._place.stat(layout.mirror_record(source_id))
        return "" if entry is None else entry.version

    def write(self, record: MirrorRecord) -> None:
        """Put a record in the place of the one before."""
        shelf_id = self._shelves.shelf_of(record.source_id)
        if shelf_id is not None:
            self._shelves.put(shelf_id, [ShelvedSource.recorded(record)])
            return
        rows = []
        for item in record.objects:
            rows.append({**asdict(item), "path": stored_name(item.path)})
        schema = _COLUMNS.with_metadata({"demoire.mirror": json.dumps({"src": record.src})})
        with local_temporary() as local:
            pq.write_table(pa.Table.from_pylist(rows, schema), local, compression="zstd")
            self._place.put_file(local, layout.mirror_record(record.source_id))

    def delete(self, source_id: str) -> None:
        """Remove the record of a source that has no mirror any more and is on no shelf."""
        self._place.delete(layout.mirror_record(source_id))

    def all(self) -> Iterator[MirrorRecord]:
        """The records of all sources that were ever published under DST."""
        self._shelves.refresh()
        entries = list(self._place.list(layout.MIRROR_RECORDS))
        source_ids = [layout.source_id_of(entry.name) for entry in entries]
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="records") as pool:
            yield from pool.map(self._read_own, source_ids)
        for shelf_id in self._shelves.ids():
            for shelved in list(self._shelves.entries(shelf_id).values()):
                if shelved.record is not None:
                    yield shelved.record

    def _read_own(self, source_id: str) -> MirrorRecord:
        """The record of a source that is on no shelf.

        Raises:
            UsageError: It is damaged or of another version.
        """
        record = layout.mirror_record(source_id)
        table = pq.read_table(pa.BufferReader(self._place.read(record)))
        metadata = (table.schema.metadata or {}).get(b"demoire.mirror", b"")
        facts = check_json(metadata, self._place.full(record), _FACTS_FORM)
        objects = []
        for row in table.to_pylist():
            path = name_stored_as(row["path"])
            objects.append(MirroredObject(path, row["state"], row["sha256"], row["version"]))
        return MirrorRecord(source_id, facts.src, tuple(objects))
