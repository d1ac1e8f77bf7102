"""The plan on disk, as Parquet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.errors import UsageError
from pipelines.layout import BOOKKEEPING
from pipelines.records import Member, Source, Unit
from pipelines.storage.open import open_place

MANIFEST = f"{BOOKKEEPING}/manifest"


LATEST = f"{MANIFEST}/latest.json"


_UNITS_A_BATCH = 64


_MEMBER = pa.struct(
    [
        ("position", pa.int64()),
        ("name", pa.binary()),
        ("kind", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("size", pa.int64()),
        ("compression", pa.string()),
        ("version", pa.string()),
        ("megapixels", pa.float64()),
    ]
)


_UNITS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.int64()),
        ("generation", pa.int64()),
        ("members", pa.list_(_MEMBER)),
    ]
)


_SOURCES = pa.schema(
    [
        ("uri", pa.binary()),
        ("path", pa.binary()),
        ("kind", pa.string()),
        ("version", pa.string()),
        ("size", pa.int64()),
        ("images", pa.int64()),
        ("unsafe", pa.int64()),
        ("others", pa.int64()),
        ("units", pa.int64()),
        ("megapixels", pa.float64()),
        ("bytes", pa.int64()),
        ("reads", pa.int64()),
        ("damaged", pa.string()),
    ]
)


@dataclass(frozen=True)
class SourcePlan:
    """What is planned for one source. Its report has `rows` rows."""

    source: Source
    images: int  # in units, to be cleaned or copied
    unsafe: int  # image-named, but quarantined as unsafe_name without being read
    others: int  # mirrored untouched, without a row
    units: int
    megapixels: float  # of the images, estimated
    bytes: int  # of the images, as stored
    reads: int  # ranged reads that fetch them
    # why the archive cannot be indexed: it is copied as it is, and has one row
    damaged: str | None = None

    @property
    def rows(self) -> int:
        return self.images + self.unsafe + (self.damaged is not None)


@dataclass(frozen=True)
class Plan:
    """A manifest's totals. Generation 0 is a run over everything; `retry` plans have higher
    ones.
    """

    id: str
    src: str
    dst: str
    fingerprint: str
    sample: int | None
    generation: int
    sources: tuple[SourcePlan, ...]

    @property
    def images(self) -> int:
        return sum(planned.images for planned in self.sources)

    @property
    def rows(self) -> int:
        return sum(planned.rows for planned in self.sources)

    @property
    def others(self) -> int:
        return sum(planned.others for planned in self.sources)

    @property
    def units(self) -> int:
        return sum(planned.units for planned in self.sources)

    @property
    def megapixels(self) -> float:
        return sum(planned.megapixels for planned in self.sources)

    @property
    def bytes(self) -> int:
        return sum(planned.bytes for planned in self.sources)


def load_plan(dst: str, plan_id: str | None = None) -> Plan:
    """A plan by its id, or the latest. Raises UsageError if there is none."""
    place = open_place(dst)
    if plan_id is None:
        if not place.exists(LATEST):
            raise UsageError(
                f"{place.full()} holds no plan: run `demoire clean SRC DST` or `demoire plan` first."
            )
        plan_id = str(json.loads(place.read(LATEST))["plan"])
    with place.open(f"{MANIFEST}/{plan_id}.sources.parquet") as file:
        table = pq.read_table(file, schema=_SOURCES)
        facts = json.loads(pq.read_schema(file).metadata[b"demoire.plan"])
    return Plan(
        dst=place.uri, sources=tuple(_source_plan(row) for row in table.to_pylist()), **facts
    )


def read_units(dst: str, plan_id: str) -> Iterator[Unit]:
    """The units of a plan in order, a batch in memory at a time."""
    sources = [planned.source for planned in load_plan(dst, plan_id).sources]
    with open_place(dst).open(f"{MANIFEST}/{plan_id}.parquet") as file:
        for batch in pq.ParquetFile(file).iter_batches(_UNITS_A_BATCH):
            for row in batch.to_pylist():
                members = tuple(Member(**{**m, "name": _text(m["name"])}) for m in row["members"])
                yield Unit(row["id"], sources[row["source"]], members, row["generation"])


def _write_sources(file: Path, plan: Plan) -> None:
    rows = [
        {f.name: getattr(planned, f.name) for f in fields(SourcePlan) if f.name != "source"}
        | {f.name: getattr(planned.source, f.name) for f in fields(Source)}
        | {"uri": _binary(planned.source.uri), "path": _binary(planned.source.path)}
        for planned in plan.sources
    ]
    facts = {
        f.name: getattr(plan, f.name) for f in fields(Plan) if f.name not in ("dst", "sources")
    }
    schema = _SOURCES.with_metadata({"demoire.plan": json.dumps(facts)})
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def _source_plan(row: dict[str, Any]) -> SourcePlan:
    facts = {f.name: row[f.name] for f in fields(Source)}
    source = Source(**{**facts, "uri": _text(row["uri"]), "path": _text(row["path"])})
    return SourcePlan(
        source, **{f.name: row[f.name] for f in fields(SourcePlan) if f.name != "source"}
    )


def _unit_row(unit: Unit, source: int) -> dict[str, Any]:
    members = [
        {**{f.name: getattr(m, f.name) for f in fields(Member)}, "name": _binary(m.name)}
        for m in unit.members
    ]
    return {"id": unit.id, "source": source, "generation": unit.generation, "members": members}


def _binary(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
