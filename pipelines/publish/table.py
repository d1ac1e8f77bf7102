"""The report rows of one source as they are published, and what they come to."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demoire.reasons import Reason
from pipelines.destination.reports import RowsDigest
from pipelines.layout import image_id, position_of
from pipelines.publish.row_changes import NOTHING_WRITTEN, UNCLEANED, changed_rows
from pipelines.records import Member, Source
from pipelines.report.previews import SHOWN


@dataclass
class ReportRows:
    """Makes the rows of a source what they are to say, and counts while it does.

    Attributes:
        source: Which source's they are.
        refused: Positions of images whose cleaned payload found no way into the mirror.
        late: What DST refused, with the reasons; a member at -1 stands for the whole archive.
        statuses: Images by status.
        megapixels: Of all images.
        moire_before: Sum over the cleaned images.
        moire_after: Sum over the cleaned images.
        most_changed: (PSNR, position) of the images that changed most, at most `SHOWN`.
        digest: Of all rows.
    """

    source: Source
    refused: AbstractSet[int]
    late: Sequence[Member] = ()
    statuses: Counter[str] = field(default_factory=Counter)
    megapixels: float = 0.0
    moire_before: float = 0.0
    moire_after: float = 0.0
    most_changed: list[tuple[float, int]] = field(default_factory=list)
    digest: RowsDigest = field(default_factory=RowsDigest)

    def sound(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """These rows as they are to be published, a table in memory at a time."""
        for table in tables:
            rows = self._without_late(self._without_refused(table))
            self._count(rows)
            yield rows

    def _without_refused(self, table: pa.Table) -> pa.Table:
        """The table with the refused images in quarantine: in the mirror they are as they came."""
        ids = [image_id(self.source.id, position) for position in self.refused]
        is_refused = pc.is_in(table["image_id"], pa.array(ids, pa.string()))
        if not pc.any(is_refused).as_py():
            return table
        changes = {
            "status": "quarantined",
            "reason": Reason.ENCODE_FAILED.value,
            **UNCLEANED,
            "bytes_out": table["bytes_in"],
            "sha256_out": table["sha256_in"],
        }
        return changed_rows(table, is_refused, changes)

    def _without_late(self, table: pa.Table) -> pa.Table:
        """The table with those rows as withheld whose images are not in the mirror after all."""
        for member in self.late:
            is_late = pc.equal(table["image_id"], image_id(self.source.id, member.position))
            if member.position < 0:
                is_late = pa.array([True] * table.num_rows)
            changes = {
                "status": "withheld",
                "reason": member.reason,
                **UNCLEANED,
                **NOTHING_WRITTEN,
            }
            table = changed_rows(table, is_late, changes)
        return table

    def _count(self, table: pa.Table) -> None:
        self.digest.add(table)
        widths = pc.cast(table["width"], pa.float64(), safe=False)
        heights = pc.cast(table["height"], pa.float64(), safe=False)
        cleaned = table.filter(pc.equal(table["status"], "cleaned"))
        self.statuses.update(table["status"].to_pylist())
        self.megapixels += _sum(pc.multiply(widths, heights)) / 1e6
        self.moire_before += _sum(cleaned["moire_before"])
        self.moire_after += _sum(cleaned["moire_after"])
        figures = cleaned["psnr_vs_input"].to_pylist()
        names = cleaned["image_id"].to_pylist()
        changes = list(self.most_changed)
        for psnr, name in zip(figures, names, strict=True):
            if psnr is not None and np.isfinite(psnr):
                changes.append((psnr, position_of(name)))
        self.most_changed = heapq.nsmallest(SHOWN, changes)


def with_rows_replaced(before: pa.Table, rows: pa.Table) -> pa.Table:
    """The table with these rows instead of those of the same images."""
    both = pa.concat_tables([before, rows])
    replacements = pc.index_in(before["image_id"], rows["image_id"]).to_pylist()
    chosen = []
    for number, replacement in enumerate(replacements):
        if replacement is None:
            chosen.append(number)
        else:
            chosen.append(before.num_rows + replacement)
    return both.take(chosen).combine_chunks()


def _sum(column: pa.ChunkedArray) -> float:
    """The sum of a column; 0 where it holds nothing."""
    total: float | None = pc.sum(column).as_py()
    return total or 0.0
