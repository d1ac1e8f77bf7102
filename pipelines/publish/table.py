"""The report table of one source."""

import heapq
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.layout import REPORT
from pipelines.records import REPORT_SCHEMA, Source
from pipelines.report.previews import SHOWN
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place


def read_report(place: Place, source_id: str, columns: list[str] | None = None) -> pa.Table:
    """A source's report table."""
    with place.open(f"{REPORT}/{source_id}.parquet") as file:
        return pq.read_table(file, columns=columns)


@dataclass
class _Report:
    """The report table of a source, and what is counted while it is written."""

    place: Place
    source: Source
    # positions whose cleaned payload has not found its way into the mirror
    refused: AbstractSet[int]
    statuses: Counter[str] = field(default_factory=Counter)
    megapixels: float = 0.0
    moire_before: float = 0.0
    moire_after: float = 0.0
    # (PSNR, position), at most SHOWN
    most_changed: list[tuple[float, int]] = field(default_factory=list)

    def write(self, tables: Iterable[pa.Table]) -> None:
        """Write these rows, a table in memory at a time."""
        with local_temporary() as local:
            with pq.ParquetWriter(local, REPORT_SCHEMA, compression="zstd") as writer:
                for table in tables:
                    table = self._without_refused(table)
                    self._count(table)
                    writer.write_table(table)
            self.place.put_file(local, f"{REPORT}/{self.source.id}.parquet")

    def replace(self, rows: pa.Table) -> None:
        """Write the table that is there again, with these rows in the places of those of the same
        images.
        """
        before = read_report(self.place, self.source.id).cast(REPORT_SCHEMA)
        fresh = pc.index_in(before["image_id"], rows["image_id"]).to_pylist()
        both = pa.concat_tables([before, rows])
        places = [i if j is None else before.num_rows + j for i, j in enumerate(fresh)]
        self.write([both.take(places).combine_chunks()])

    def _without_refused(self, table: pa.Table) -> pa.Table:
        ids = [f"{self.source.id}/{position}" for position in self.refused]
        hit = pc.is_in(table["image_id"], pa.array(ids, pa.string()))
        if not pc.any(hit).as_py():
            return table
        null = pa.scalar(None)
        changes = {"status": "quarantined", "reason": "encode_failed", "tiles_restored": 0}
        changes |= {
            name: null for name in ("moire_after", "psnr_vs_input", "ssim_vs_input", "colour_shift")
        }
        changes |= {"bytes_out": table["bytes_in"], "sha256_out": table["sha256_in"]}
        for name, value in changes.items():
            place = table.schema.get_field_index(name)
            column = pc.if_else(hit, value, table[name]).cast(table.schema.field(name).type)
            table = table.set_column(place, table.schema.field(name), column)
        return table

    def _count(self, table: pa.Table) -> None:
        sides = (pc.cast(table[name], pa.float64(), safe=False) for name in ("width", "height"))
        pixels = pc.multiply(*sides)
        cleaned = table.filter(pc.equal(table["status"], "cleaned"))
        self.statuses.update(table["status"].to_pylist())
        self.megapixels += (pc.sum(pixels).as_py() or 0.0) / 1e6
        self.moire_before += pc.sum(cleaned["moire_before"]).as_py() or 0.0
        self.moire_after += pc.sum(cleaned["moire_after"]).as_py() or 0.0
        changes = [
            (psnr, int(name.rpartition("/")[2]))
            for psnr, name in zip(
                cleaned["psnr_vs_input"].to_pylist(), cleaned["image_id"].to_pylist(), strict=True
            )
            if psnr is not None and np.isfinite(psnr)
        ]
        self.most_changed = heapq.nsmallest(SHOWN, [*self.most_changed, *changes])
