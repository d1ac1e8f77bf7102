"""The plan: sources -> units, written down as a manifest, and what it will cost.

A unit is at most 32 consecutive images of one source, 96 MB encoded and 400 MP decoded; one larger image is a unit of
its own. Its id is a digest of what goes in (source version, members, ranges, config fingerprint), so planning the same
collection twice gives the same ids, and whatever is committed already is known by them.

The manifest is Parquet under DST/_demoire/manifest: `<plan>.parquet` with a row a unit, `<plan>.sources.parquet` with a
row a source, and `latest.json`, which names the last plan. Names are binary, because a member's name need not be UTF-8.
Sources are indexed by a few threads and written in order as they come: memory holds the members of about ten sources
and one row a source. Planning costs the index (see `pipelines.sources.read`) and two small writes.
"""

import hashlib
import heapq
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.errors import UsageError
from pipelines.records import Member, Source, Unit
from pipelines.sources.members import DamagedArchiveError
from pipelines.sources.read import COALESCE_GAP, COALESCE_LIMIT, coalesce, discover, index
from pipelines.storage.place import BOOKKEEPING, local_temporary, open_place

UNIT_IMAGES, UNIT_BYTES, UNIT_MEGAPIXELS = 32, 96_000_000, 400.0
MANIFEST = f"{BOOKKEEPING}/manifest"

LATEST = f"{MANIFEST}/latest.json"
_INDEXERS = min(16, 2 * (os.cpu_count() or 1) + 2)  # an index waits for storage more than it computes
_UNITS_A_BATCH = 64
_WRITES_A_UNIT, _WRITES_A_SOURCE = 4, 3  # attempt, segment, rows, marker; archive, report, marker

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
    [("id", pa.string()), ("source", pa.int64()), ("generation", pa.int64()), ("members", pa.list_(_MEMBER))]
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

Progress = Callable[[int, int], None]  # sources indexed, of how many


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
    damaged: str | None = None  # why the archive cannot be indexed: it is copied as it is, and has one row

    @property
    def rows(self) -> int:
        return self.images + self.unsafe + (self.damaged is not None)


@dataclass(frozen=True)
class Plan:
    """A manifest's totals. Generation 0 is a run over everything; `retry` plans have higher ones."""

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


@dataclass(frozen=True)
class Estimate:
    """What a plan costs, all told: cleaning, and publishing, which reads every source again and writes its mirror."""

    sources: int
    units: int
    images: int
    megapixels: float
    hours: float
    requests: int
    bytes_read: int
    bytes_written: int


def make_plan(
    src: str, dst: str, fingerprint: str, sample: int | None = None, progress: Progress | None = None
) -> Plan:
    """Discover, index and write the manifest; the same collection and fingerprint give the same plan.

    `sample`: plan only so many images, chosen evenly over all of them (by digest: the same ones each time), and only
    the sources that hold them. Raises UsageError if SRC holds nothing.
    """
    sources = discover(src)
    indexed = _indexed(sources, progress)
    if sample is not None:
        indexed = iter(_sampled(indexed, sample))
    return _write(indexed, Plan("", src, open_place(dst).uri, fingerprint, sample, 0, ()), latest=True)


def make_retry_plan(dst: str, images: Iterable[tuple[str, int]], fingerprint: str, generation: int) -> Plan:
    """A plan for some images of the latest plan, given as (source id, position), under the next generation.

    It does not become the latest plan. Images that the latest plan does not hold are passed over.
    """
    latest = load_plan(dst)
    wanted: dict[str, set[int]] = {}
    for source_id, position in images:
        wanted.setdefault(source_id, set()).add(position)
    chosen: dict[str, list[Member]] = {}
    for unit in read_units(dst, latest.id):
        positions = wanted.get(unit.source.id, set())
        chosen.setdefault(unit.source.id, []).extend(m for m in unit.members if m.position in positions)
    found = ((p.source, chosen[p.source.id], None) for p in latest.sources if chosen.get(p.source.id))
    return _write(found, replace(latest, fingerprint=fingerprint, generation=generation, sources=()), latest=False)


def load_plan(dst: str, plan_id: str | None = None) -> Plan:
    """A plan by its id, or the latest. Raises UsageError if there is none."""
    place = open_place(dst)
    if plan_id is None:
        if not place.exists(LATEST):
            raise UsageError(f"{place.full()} holds no plan: run `demoire clean SRC DST` or `demoire plan` first.")
        plan_id = str(json.loads(place.read(LATEST))["plan"])
    with place.open(f"{MANIFEST}/{plan_id}.sources.parquet") as file:
        table = pq.read_table(file, schema=_SOURCES)
        facts = json.loads(pq.read_schema(file).metadata[b"demoire.plan"])
    return Plan(dst=place.uri, sources=tuple(_source_plan(row) for row in table.to_pylist()), **facts)


def read_units(dst: str, plan_id: str) -> Iterator[Unit]:
    """The units of a plan in order, a batch in memory at a time."""
    sources = [planned.source for planned in load_plan(dst, plan_id).sources]
    with open_place(dst).open(f"{MANIFEST}/{plan_id}.parquet") as file:
        for batch in pq.ParquetFile(file).iter_batches(_UNITS_A_BATCH):
            for row in batch.to_pylist():
                members = tuple(Member(**{**m, "name": _text(m["name"])}) for m in row["members"])
                yield Unit(row["id"], sources[row["source"]], members, row["generation"])


def plan_members(source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0) -> list[Unit]:
    """The image members among these, in order, as units within the limits."""
    units: list[Unit] = []
    group: list[Member] = []
    size, megapixels = 0, 0.0
    for member in members:
        if member.kind != "image":
            continue
        size, megapixels = size + member.size, megapixels + member.megapixels
        if group and (len(group) == UNIT_IMAGES or size > UNIT_BYTES or megapixels > UNIT_MEGAPIXELS):
            units.append(make_unit(source, group, fingerprint, generation))
            group, size, megapixels = [], member.size, member.megapixels
        group.append(member)
    if group:
        units.append(make_unit(source, group, fingerprint, generation))
    return units


def make_unit(source: Source, members: Sequence[Member], fingerprint: str, generation: int = 0) -> Unit:
    """The unit of exactly these members. Also for splitting: a half of a unit is a unit with its own id."""
    # A folder's version changes with any file in it; its members have their own.
    version = "" if source.kind == "folder" else source.version
    parts = [[m.position, m.name, m.offset, m.length, m.size, m.compression, m.version] for m in members]
    text = json.dumps([source.uri, version, fingerprint, generation, parts], separators=(",", ":"))
    return Unit(hashlib.sha256(text.encode()).hexdigest(), source, tuple(members), generation)


def estimate(plan: Plan, mps: float) -> Estimate:
    """What the plan will cost on a machine that cleans `mps` megapixels a second (`demoire bench`)."""
    copies = sum(planned.source.size for planned in plan.sources)
    reads = sum(planned.reads + 1 + planned.source.size // COALESCE_LIMIT for planned in plan.sources)
    writes = _WRITES_A_UNIT * plan.units + _WRITES_A_SOURCE * len(plan.sources)
    return Estimate(
        sources=len(plan.sources),
        units=plan.units,
        images=plan.images,
        megapixels=plan.megapixels,
        hours=plan.megapixels / mps / 3600,
        requests=reads + writes,
        bytes_read=plan.bytes + copies,
        bytes_written=plan.bytes + copies,
    )


_Indexed = tuple[Source, list[Member], str | None]  # members, or why there are none


def _indexed(sources: Sequence[Source], progress: Progress | None) -> Iterator[_Indexed]:
    """Each source with its members, in order; a few ahead are being indexed."""
    waiting: deque[Future[_Indexed]] = deque()
    coming = iter(sources)
    with ThreadPoolExecutor(_INDEXERS, thread_name_prefix="index") as pool:
        try:
            for done in range(len(sources)):
                while len(waiting) < _INDEXERS and (source := next(coming, None)) is not None:
                    waiting.append(pool.submit(_index_one, source))
                yield waiting.popleft().result()
                if progress is not None:
                    progress(done + 1, len(sources))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _index_one(source: Source) -> _Indexed:
    try:
        return source, index(source), None
    except DamagedArchiveError as error:
        return source, [], str(error)


def _sampled(indexed: Iterable[_Indexed], count: int) -> list[_Indexed]:
    """The `count` images with the smallest digests of where they stand; the heap keeps the largest of them on top."""
    heap: list[tuple[int, int, Member]] = []
    sources: list[Source] = []
    for source, members, _ in indexed:
        for member in members:
            if member.kind == "image":
                digest = hashlib.sha256(f"{source.id}/{member.position}".encode()).digest()
                rank = (-int.from_bytes(digest, "big"), len(sources), member)
                if len(heap) < count:
                    heapq.heappush(heap, rank)
                else:
                    heapq.heappushpop(heap, rank)
        sources.append(source)
    chosen: dict[int, list[Member]] = {}
    for _, number, member in heap:
        chosen.setdefault(number, []).append(member)
    return [(sources[i], sorted(chosen[i], key=lambda member: member.position), None) for i in sorted(chosen)]


def _write(indexed: Iterable[_Indexed], plan: Plan, *, latest: bool) -> Plan:
    """Write the manifest of these sources; the plan with its id and totals."""
    digest = hashlib.sha256(json.dumps([plan.src, plan.fingerprint, plan.sample, plan.generation]).encode())
    planned: list[SourcePlan] = []
    place = open_place(plan.dst)
    with local_temporary() as units_file, local_temporary() as sources_file:
        with pq.ParquetWriter(units_file, _UNITS, compression="zstd") as writer:
            rows: list[dict[str, Any]] = []
            for source, members, damaged in indexed:
                units = plan_members(source, members, plan.fingerprint, plan.generation)
                facts = _totals(source, members, units, damaged)
                digest.update(repr((source, facts.rows, [unit.id for unit in units])).encode())
                rows += [_unit_row(unit, len(planned)) for unit in units]
                planned.append(facts)
                if len(rows) >= _UNITS_A_BATCH:
                    writer.write_table(pa.Table.from_pylist(rows, _UNITS))
                    rows = []
            writer.write_table(pa.Table.from_pylist(rows, _UNITS))
        plan = replace(plan, id=digest.hexdigest()[:16], sources=tuple(planned))
        _write_sources(sources_file, plan)
        place.put_file(units_file, f"{MANIFEST}/{plan.id}.parquet")
        place.put_file(sources_file, f"{MANIFEST}/{plan.id}.sources.parquet")
    if latest:
        place.write(LATEST, json.dumps({"plan": plan.id}).encode())
    return plan


def _totals(source: Source, members: Sequence[Member], units: Sequence[Unit], damaged: str | None) -> SourcePlan:
    kinds = [member.kind for member in members]
    return SourcePlan(
        source=source,
        images=sum(len(unit.members) for unit in units),
        unsafe=kinds.count("unsafe"),
        others=kinds.count("other"),
        units=len(units),
        megapixels=sum(unit.megapixels for unit in units),
        bytes=sum(unit.bytes for unit in units),
        reads=sum(_reads(unit) for unit in units),
        damaged=damaged,
    )


def _reads(unit: Unit) -> int:
    if unit.source.kind == "folder":
        return len(unit.members)
    spans = [(member.offset, member.length) for member in unit.members]
    return 1 if unit.source.kind == "tar.gz" else sum(1 for _ in coalesce(spans, COALESCE_GAP, COALESCE_LIMIT))


def _write_sources(file: Path, plan: Plan) -> None:
    rows = [
        {f.name: getattr(planned, f.name) for f in fields(SourcePlan) if f.name != "source"}
        | {f.name: getattr(planned.source, f.name) for f in fields(Source)}
        | {"uri": _binary(planned.source.uri), "path": _binary(planned.source.path)}
        for planned in plan.sources
    ]
    facts = {f.name: getattr(plan, f.name) for f in fields(Plan) if f.name not in ("dst", "sources")}
    schema = _SOURCES.with_metadata({"demoire.plan": json.dumps(facts)})
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def _source_plan(row: dict[str, Any]) -> SourcePlan:
    facts = {f.name: row[f.name] for f in fields(Source)}
    source = Source(**{**facts, "uri": _text(row["uri"]), "path": _text(row["path"])})
    return SourcePlan(source, **{f.name: row[f.name] for f in fields(SourcePlan) if f.name != "source"})


def _unit_row(unit: Unit, source: int) -> dict[str, Any]:
    members = [{**{f.name: getattr(m, f.name) for f in fields(Member)}, "name": _binary(m.name)} for m in unit.members]
    return {"id": unit.id, "source": source, "generation": unit.generation, "members": members}


def _binary(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
