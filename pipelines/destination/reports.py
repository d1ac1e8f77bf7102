"""The report tables under DST: one a source, or one a shelf of small sources; a row an image."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import layout
from pipelines.destination.shelves import Shelves
from pipelines.records import REPORT_SCHEMA
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place

_KEPT = 4  # tables of shelves in memory

# What tells the rows of one attempt from those of any other.
ROW_NAMES = ("image_id", "unit_id", "attempt", "run_id", "status", "sha256_out")


class RowsDigest:
    """The sha256 of a source's rows, so that its marker and its rows are known to be of one making.

    Of two runs that write a shelf's table at once one may leave the other's rows as they were.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, rows: pa.Table) -> None:
        """Take in further rows."""
        columns = [rows.column(name).to_pylist() for name in ROW_NAMES]
        for row in zip(*columns, strict=True):
            self._digest.update(f"{row}\n".encode("utf-8", "surrogateescape"))

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._digest.hexdigest()


class ReportReader:
    """Reads the rows of one source after the other; a shelf's table once for all of its sources.

    It is made for one look at the reports: what is written meanwhile it may not see.
    """

    def __init__(self, place: Place, shelves: Shelves, columns: list[str] | None) -> None:
        self._place = place
        self._shelves = shelves
        self._columns = columns
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()

    def rows(self, source_id: str) -> pa.Table:
        """The rows of a source."""
        shelf_id = self._shelves.shelf_of(source_id)
        if shelf_id is None:
            return self._read(source_id, self._columns)
        table = self._table_of(shelf_id)
        rows = table.filter(_are_of(table, source_id))
        return rows if self._columns is None else rows.select(self._columns)

    def _table_of(self, shelf_id: str) -> pa.Table:
        if shelf_id not in self._kept:
            columns = self._columns
            if columns is not None and "image_id" not in columns:
                columns = [*columns, "image_id"]
            self._kept[shelf_id] = self._read(shelf_id, columns)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[shelf_id]

    def _read(self, home_id: str, columns: list[str] | None) -> pa.Table:
        with self._place.open(layout.report_table(home_id)) as file:
            return pq.read_table(file, columns=columns)


class Reports:
    """The report tables under DST."""

    def __init__(self, place: Place, shelves: Shelves) -> None:
        self._place = place
        self._shelves = shelves

    def read(self, source_id: str, columns: list[str] | None = None) -> pa.Table:
        """A source's rows; `columns`: only these."""
        return self.reader(columns).rows(source_id)

    def reader(self, columns: list[str] | None = None) -> ReportReader:
        """What reads the rows of many sources; `columns`: only these."""
        return ReportReader(self._place, self._shelves, columns)

    def write(self, source_id: str, tables: Iterable[pa.Table]) -> None:
        """Make these a source's rows, in one step; a table in memory at a time.

        On a shelf all of its rows are in memory.
        """
        shelf_id = self._shelves.shelf_of(source_id)
        if shelf_id is not None:
            self.write_shelf(shelf_id, {source_id: joined(tables)})
        else:
            self._put(source_id, tables)

    def write_shelf(self, shelf_id: str, rows: Mapping[str, pa.Table]) -> None:
        """Put the rows of some of a shelf's sources in the place of those before, in one step.

        Rows of what is not on the shelf are not kept.

        Args:
            shelf_id: The shelf.
            rows: By source.
        """
        path = layout.report_table(shelf_id)
        before: pa.Table | None = None
        if self._place.exists(path):
            with self._place.open(path) as file:
                before = pq.read_table(file)
        tables = []
        for source_id in self._shelves.members(shelf_id):
            if source_id in rows:
                tables.append(rows[source_id])
            elif before is not None:
                tables.append(before.filter(_are_of(before, source_id)))
        self._put(shelf_id, [joined(tables)])

    def delete(self, home_id: str) -> None:
        """Remove the table of a source that is on no shelf, or of a shelf."""
        self._place.delete(layout.report_table(home_id))

    def _put(self, home_id: str, tables: Iterable[pa.Table]) -> None:
        with local_temporary() as local:
            with pq.ParquetWriter(local, REPORT_SCHEMA, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)
            self._place.put_file(local, layout.report_table(home_id))


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of these tables in one of the report's schema."""
    parts = [REPORT_SCHEMA.empty_table()]
    for table in tables:
        parts.append(table.cast(REPORT_SCHEMA))
    return pa.concat_tables(parts).combine_chunks()


def _are_of(table: pa.Table, source_id: str) -> pa.ChunkedArray:
    """For each row whether it is of this source."""
    return pc.starts_with(table["image_id"], layout.image_id_prefix(source_id))
