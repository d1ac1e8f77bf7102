"""The report tables into one summary, read batch by batch.

Memory holds a row a source, a bounded number of quarantined members and the names of what is
withheld, never more than a batch of the images' rows. A million rows take about two seconds.
"""

from collections.abc import Mapping
from sys import intern

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from demoire.errors import UsageError
from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan, SourcePlan
from pipelines.destination.tables import tables_in
from pipelines.fixity.findings import read_findings
from pipelines.layout import REPORT, is_shelf, source_id_of
from pipelines.report.charts import counts_by_score
from pipelines.report.summary import (
    LISTED,
    MEANS_OF_ALL,
    MEANS_OF_CLEANED,
    ORIGINS,
    TIMED_STAGES,
    QuarantinedMember,
    ReportSummary,
    SourceTotals,
    WithheldObject,
)
from pipelines.storage.open import is_there
from pipelines.storage.place import Place

_COLUMNS = [
    *("source", "member", "width", "height", "bytes_in", "bytes_out"),
    *("status", "reason", "moire_kind", "tiles", "tiles_restored", "finished_at"),
    *MEANS_OF_CLEANED,
    *MEANS_OF_ALL,
    *ORIGINS,
    *(f"ms_{stage}" for stage in TIMED_STAGES),
]
_BATCH = 16_384  # rows
_MOST_ORIGINS = 20  # values of a column


def summarise(place: Place, plan: Plan | None) -> ReportSummary:
    """Summarise all report tables under DST.

    Args:
        place: DST.
        plan: The latest plan; None where nothing was planned.

    Returns:
        The summary, with a plan to prove the count against if there is one.

    Raises:
        UsageError: Nothing was planned or published there.
        StorageError: The store cannot be read.
    """
    summary = ReportSummary(has_plan=plan is not None, fixity=read_findings(place))
    unpublished: dict[str, SourcePlan] = {}
    if plan is not None:
        unpublished = {planned.source.id: planned for planned in plan.sources}
        summary.not_looked_into = plan.not_looked_into
        summary.rewrite = plan.rewrite
    tables = sorted(entry.path for entry in tables_in(place, REPORT))
    if not tables and not unpublished:
        if not is_there(place):
            raise UsageError(f"{place.full()} does not exist: check the path.")
        raise UsageError(f"{place.full()} holds no report yet: run `demoire clean SRC DST` first.")
    for path in tables:
        if is_shelf(path):
            _add_shelf(summary, place, path, unpublished)
            continue
        totals = _add_table(summary, place, path, unpublished.pop(source_id_of(path), None))
        if totals.images or totals.planned:
            summary.sources.append(totals)
    for planned in unpublished.values():
        if planned.rows:
            summary.sources.append(SourceTotals(_name(planned), planned=planned.rows))
    summary.sources.sort(key=lambda source: source.name)
    return summary


def _name(planned: SourcePlan) -> str:
    return planned.source.path or planned.source.uri


def _add_table(
    summary: ReportSummary, place: Place, path: str, planned: SourcePlan | None
) -> SourceTotals:
    """Add one source's table to the summary; the source's own totals."""
    totals = SourceTotals("", planned=planned.rows if planned else None)
    with place.open(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(_BATCH, columns=_COLUMNS):
            if batch.num_rows:
                totals.name = totals.name or batch.column("source")[0].as_py()
                totals.include(_totals_of(batch))
                _add(summary, batch)
    _add_late_rows(place, totals, planned)
    if not totals.name and planned is not None:
        totals.name = _name(planned)
    return totals


def _add_shelf(
    summary: ReportSummary, place: Place, path: str, unpublished: dict[str, SourcePlan]
) -> None:
    """Add the table of a shelf, source by source; what is published is no longer unpublished then.

    All of it is in memory.
    """
    with place.open(path) as file:
        table = pq.read_table(file, columns=[*_COLUMNS, "image_id"]).combine_chunks()
    for batch in table.to_batches():
        _add(summary, batch)
        ids = pc.replace_substring_regex(batch.column("image_id"), "/[^/]*$", "")
        for source_id in pc.unique(ids).to_pylist():
            of_source = batch.filter(pc.equal(ids, source_id))
            planned = unpublished.pop(source_id, None)
            totals = _totals_of(of_source)
            totals.name = of_source.column("source")[0].as_py()
            totals.planned = planned.rows if planned else None
            _add_late_rows(place, totals, planned)
            summary.sources.append(totals)


def _add_late_rows(place: Place, totals: SourceTotals, planned: SourcePlan | None) -> None:
    """Count as planned what DST refused only when it was written, and has a row only for that."""
    if planned is None or totals.withheld <= len(planned.withheld):
        return
    marker = Destination(place).markers.read(planned.source.id)
    if marker is not None:
        totals.planned = planned.rows + marker.late_rows


def _add(summary: ReportSummary, batch: pa.RecordBatch) -> None:
    summary.tiles += int(_sum(batch.column("tiles")))
    summary.tiles_restored += int(_sum(batch.column("tiles_restored")))
    for stage in TIMED_STAGES:
        summary.seconds[stage] += _sum(batch.column(f"ms_{stage}")) / 1e3
    _add_moire(summary, batch)
    _add_quarantine(summary, batch.filter(pc.equal(batch.column("status"), "quarantined")))
    _add_withheld(summary, batch.filter(pc.equal(batch.column("status"), "withheld")))
    copied = batch.filter(pc.equal(batch.column("status"), "copied"))
    summary.kept.update(_counts(copied.column("reason")))
    _add_origins(summary, batch)
    _add_times(summary, batch)


def _totals_of(batch: pa.RecordBatch) -> SourceTotals:
    statuses = _counts(batch.column("status"))
    # As floats, since the product of two 32-bit sides may not fit 32 bits.
    widths = pc.cast(batch.column("width"), pa.float64())
    heights = pc.cast(batch.column("height"), pa.float64())
    return SourceTotals(
        "",
        images=batch.num_rows - statuses.get("withheld", 0),
        cleaned=statuses.get("cleaned", 0),
        copied=statuses.get("copied", 0),
        quarantined=statuses.get("quarantined", 0),
        withheld=statuses.get("withheld", 0),
        megapixels=_sum(pc.multiply(widths, heights)) / 1e6,
        bytes_in=int(_sum(batch.column("bytes_in"))),
        bytes_out=int(_sum(batch.column("bytes_out"))),
    )


def _add_moire(summary: ReportSummary, batch: pa.RecordBatch) -> None:
    cleaned = batch.filter(pc.equal(batch.column("status"), "cleaned"))
    summary.judged += counts_by_score(_numbers(batch.column("moire_before")))
    summary.before += counts_by_score(_numbers(cleaned.column("moire_before")))
    summary.after += counts_by_score(_numbers(cleaned.column("moire_after")))
    summary.kinds.update(_counts(cleaned.column("moire_kind")))
    for name in MEANS_OF_CLEANED:
        getattr(summary.means, name).add(_numbers(cleaned.column(name)))
    for name in MEANS_OF_ALL:
        getattr(summary.means, name).add(_numbers(batch.column(name)))


def _add_quarantine(summary: ReportSummary, quarantined: pa.RecordBatch) -> None:
    for row in quarantined.select(["reason", "source", "member"]).to_pylist():
        reason = row["reason"] or "unknown"
        summary.quarantine[reason] += 1
        listed = summary.listed.setdefault(reason, [])
        if len(listed) < LISTED:
            listed.append(QuarantinedMember(row["source"], row["member"]))


def _add_withheld(summary: ReportSummary, withheld: pa.RecordBatch) -> None:
    for row in withheld.select(["source", "member", "reason"]).to_pylist():
        # There may be many; of source and reason there are few, and each is in memory once.
        source = intern(row["source"])
        reason = intern(row["reason"])
        summary.withheld.append(WithheldObject(source, row["member"], reason))


def _add_origins(summary: ReportSummary, batch: pa.RecordBatch) -> None:
    for name, known in summary.origins.items():
        for value in _counts(batch.column(name)):
            if value and value not in known and len(known) < _MOST_ORIGINS:
                known.append(value)


def _add_times(summary: ReportSummary, batch: pa.RecordBatch) -> None:
    times = pc.min_max(batch.column("finished_at")).as_py()
    if times["min"] is not None:
        summary.first = min(summary.first or times["min"], times["min"])
        summary.last = max(summary.last or times["max"], times["max"])


def _counts(column: pa.Array) -> Mapping[str, int]:
    """How often each value occurs, in the order in which they first do; nulls are left out."""
    counts = {}
    for row in pc.value_counts(column).to_pylist():
        if row["values"] is not None:
            counts[row["values"]] = row["counts"]
    return counts


def _sum(column: pa.Array) -> float:
    return float(pc.sum(column).as_py() or 0)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """The figures of a column that are known and finite."""
    numbers = np.asarray(pc.drop_null(column).to_numpy(zero_copy_only=False), dtype=np.float64)
    return numbers[np.isfinite(numbers)]
