"""The report tables under DST: one a source, a row an image."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import layout
from pipelines.storage.place import Place


class Reports:
    """The report tables under DST."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self, source_id: str, columns: list[str] | None = None) -> pa.Table:
        """A source's report table; `columns`: only these."""
        with self._place.open(layout.report_table(source_id)) as file:
            return pq.read_table(file, columns=columns)

    def put(self, source_id: str, local: Path) -> None:
        """Make a local Parquet file a source's report table, in one step."""
        self._place.put_file(local, layout.report_table(source_id))
