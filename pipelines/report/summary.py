"""The report tables into one summary, read batch by batch.

Memory holds a row a source and a bounded number of quarantined members, never the images' rows. A
million rows take about two seconds.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoire.errors import UsageError
from pipelines.layout import REPORT
from pipelines.plan.manifest import Plan, load_plan
from pipelines.storage.place import Place

BINS = 20  # of moiré probability, each 0.05 wide
LISTED = 100  # quarantined members that are listed by name, for each reason
STAGES = ("fetch", "decode", "detect", "restore", "encode")

_STATUSES = ("cleaned", "copied", "quarantined")
_ORIGINS = ("weights_digest", "config_fingerprint", "run_id", "host", "device")
_MEANS = ("moire_before", "moire_after", "psnr_vs_input", "ssim_vs_input", "colour_shift")
_REFERENCES = ("psnr_vs_reference", "ssim_vs_reference")
_COLUMNS = (
    *(
        "source",
        "member",
        "page",
        "width",
        "height",
        "bytes_in",
        "bytes_out",
        "status",
        "reason",
        "moire_kind",
    ),
    *(
        "tiles",
        "tiles_restored",
        "finished_at",
        *_MEANS,
        *_REFERENCES,
        *_ORIGINS,
        *(f"ms_{name}" for name in STAGES),
    ),
)
_BATCH = 16_384
_MOST_ORIGINS = 20


@dataclass
class SourceTotals:
    """One source: how many images of it came out how."""

    name: str
    # rows it must have by the latest plan; None if that plan does not hold it
    planned: int | None = None
    images: int = 0
    cleaned: int = 0
    copied: int = 0
    quarantined: int = 0
    megapixels: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def proved(self) -> bool:
        return self.planned is None or self.planned == self.cleaned + self.copied + self.quarantined


@dataclass(frozen=True)
class QuarantinedMember:
    """A member that was copied through as it came, because it could not be cleaned."""

    source: str
    member: str
    page: int


@dataclass
class Mean:
    """A mean over the rows that have the figure."""

    total: float = 0.0
    count: int = 0

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None

    def add(self, values: pa.Array) -> None:
        numbers = _numbers(values)
        self.total += float(numbers.sum())
        self.count += len(numbers)


@dataclass
class Summary:
    """All that the report says, but for the pictures."""

    sources: list[SourceTotals] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)  # of the cleaned images
    quarantine: Counter[str] = field(default_factory=Counter)  # by reason
    listed: dict[str, list[QuarantinedMember]] = field(default_factory=dict)
    # all images by moire_before
    judged: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    before: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))  # the cleaned ones
    after: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    means: dict[str, Mean] = field(
        default_factory=lambda: {name: Mean() for name in (*_MEANS, *_REFERENCES)}
    )
    # all workers together
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    tiles: int = 0
    tiles_restored: int = 0
    origins: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _ORIGINS})
    first: datetime | None = None
    last: datetime | None = None
    planned: bool = False  # whether there is a plan to prove the count against

    @property
    def total(self) -> SourceTotals:
        """All sources together."""
        known = [source.planned for source in self.sources if source.planned is not None]
        total = SourceTotals("", planned=sum(known) if self.planned else None)
        for name in ("images", *_STATUSES, "megapixels", "bytes_in", "bytes_out"):
            setattr(total, name, sum(getattr(source, name) for source in self.sources))
        return total

    @property
    def unproved(self) -> list[SourceTotals]:
        """The sources whose count does not come out."""
        return [source for source in self.sources if not source.proved]

    @property
    def unplanned(self) -> int:
        """Images of sources that the latest plan does not hold: they came with earlier runs."""
        return (
            sum(source.images for source in self.sources if source.planned is None)
            if self.planned
            else 0
        )


def summarise(place: Place) -> Summary:
    """The summary of all report tables under DST.

    Raises UsageError if there is none.
    """
    summary = Summary()
    plan = _latest_plan(place)
    planned = {source.source.id: source for source in plan.sources} if plan else {}
    summary.planned = plan is not None
    found = sorted(report_tables(place))
    if not found and not planned:
        raise UsageError(f"{place.full()} holds no report yet: run `demoire clean SRC DST` first.")
    for path in found:
        expected = planned.pop(_stem(path), None)
        totals = SourceTotals("", planned=expected.rows if expected else None)
        for batch in _batches(place, path):
            _add(summary, totals, batch)
        if not totals.name and expected:
            totals.name = expected.source.path or expected.source.uri
        if totals.images or totals.planned:
            summary.sources.append(totals)
    for missing in planned.values():  # planned, and not published yet
        if missing.rows:
            summary.sources.append(
                SourceTotals(missing.source.path or missing.source.uri, planned=missing.rows)
            )
    summary.sources.sort(key=lambda source: source.name)
    return summary


def report_tables(place: Place) -> Iterator[str]:
    """The paths of the report tables, one for each source."""
    for entry in place.list(REPORT, recursive=False):
        if entry.kind == "file" and entry.name.endswith(".parquet"):
            yield entry.path


def _latest_plan(place: Place) -> Plan | None:
    try:
        return load_plan(place.uri)
    except UsageError:
        return None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".parquet")


def _batches(place: Place, path: str) -> Iterator[pa.RecordBatch]:
    with place.open(path) as file:
        yield from pq.ParquetFile(file).iter_batches(_BATCH, columns=list(_COLUMNS))


def _add(summary: Summary, totals: SourceTotals, batch: pa.RecordBatch) -> None:
    if not batch.num_rows:
        return
    totals.name = totals.name or batch.column("source")[0].as_py()
    totals.images += batch.num_rows
    statuses = _counts(batch.column("status"))
    for status in _STATUSES:
        setattr(totals, status, getattr(totals, status) + statuses.get(status, 0))
    pixels = pc.multiply(
        pc.cast(batch.column("width"), pa.float64()), pc.cast(batch.column("height"), pa.float64())
    )
    totals.megapixels += _sum(pixels) / 1e6
    totals.bytes_in += int(_sum(batch.column("bytes_in")))
    totals.bytes_out += int(_sum(batch.column("bytes_out")))
    summary.tiles += int(_sum(batch.column("tiles")))
    summary.tiles_restored += int(_sum(batch.column("tiles_restored")))
    for stage in STAGES:
        summary.seconds[stage] += _sum(batch.column(f"ms_{stage}")) / 1e3
    _add_moire(summary, batch)
    _add_quarantine(summary, batch.filter(pc.equal(batch.column("status"), "quarantined")))
    _add_origins(summary, batch)


def _add_moire(summary: Summary, batch: pa.RecordBatch) -> None:
    cleaned = batch.filter(pc.equal(batch.column("status"), "cleaned"))
    summary.judged += _binned(batch.column("moire_before"))
    summary.before += _binned(cleaned.column("moire_before"))
    summary.after += _binned(cleaned.column("moire_after"))
    summary.kinds.update(_counts(cleaned.column("moire_kind")))
    for name in _MEANS:
        summary.means[name].add(cleaned.column(name))
    for name in _REFERENCES:
        summary.means[name].add(batch.column(name))


def _add_quarantine(summary: Summary, quarantined: pa.RecordBatch) -> None:
    rows = zip(
        *(quarantined.column(name).to_pylist() for name in ("reason", "source", "member", "page")),
        strict=True,
    )
    for reason, source, member, page in rows:
        reason = reason or "unknown"
        summary.quarantine[reason] += 1
        listed = summary.listed.setdefault(reason, [])
        if len(listed) < LISTED:
            listed.append(QuarantinedMember(source, member, page))


def _add_origins(summary: Summary, batch: pa.RecordBatch) -> None:
    for name, known in summary.origins.items():
        for value in _counts(batch.column(name)):
            if value and value not in known and len(known) < _MOST_ORIGINS:
                known.append(value)
    times = pc.min_max(batch.column("finished_at")).as_py()
    if times["min"] is not None:
        summary.first = min(summary.first or times["min"], times["min"])
        summary.last = max(summary.last or times["max"], times["max"])


def _counts(column: pa.Array) -> Mapping[str, int]:
    return {
        row["values"]: row["counts"]
        for row in pc.value_counts(column).to_pylist()
        if row["values"] is not None
    }


def _sum(column: pa.Array) -> float:
    return float(pc.sum(column).as_py() or 0)


def _numbers(column: pa.Array) -> np.ndarray:
    numbers = np.asarray(pc.drop_null(column).to_numpy(zero_copy_only=False), dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def _binned(column: pa.Array) -> np.ndarray:
    return np.histogram(_numbers(column).clip(0, 1), bins=BINS, range=(0, 1))[0]
