"""The plan: sources -> units, written down as a manifest, and what it will cost.

A unit is at most 32 consecutive images of one source, 96 MB encoded and 400 MP decoded; one larger
image is a unit of its own. Its id is a digest of what goes in (source version, members, ranges,
config fingerprint), so planning the same collection twice gives the same ids, and whatever is
committed already is known by them.

The manifest is Parquet under DST/_demoire/manifest: `<plan>.parquet` with a row a unit,
`<plan>.sources.parquet` with a row a source, and `latest.json`, which names the last plan. Names
are binary, because a member's name need not be UTF-8. Sources are indexed by a few threads and
written in order as they come: memory holds the members of about ten sources and one row a source.
Planning costs the index (see `pipelines.sources.read`) and two small writes.
"""

import hashlib
import heapq
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.plan.manifest import (
    _UNITS,
    _UNITS_A_BATCH,
    LATEST,
    MANIFEST,
    Plan,
    SourcePlan,
    _unit_row,
    _write_sources,
    load_plan,
    read_units,
)
from pipelines.plan.units import plan_members
from pipelines.records import Member, Source, Unit
from pipelines.sources.coalesce import COALESCE_GAP, COALESCE_LIMIT, coalesce
from pipelines.sources.discover import discover
from pipelines.sources.index import index
from pipelines.sources.members import DamagedArchiveError
from pipelines.storage.local import local_temporary
from pipelines.storage.open import open_place

# an index waits for storage more than it computes
_INDEXERS = min(16, 2 * (os.cpu_count() or 1) + 2)


Progress = Callable[[int, int], None]  # sources indexed, of how many


def make_plan(
    src: str,
    dst: str,
    fingerprint: str,
    sample: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Discover, index and write the manifest; the same collection and fingerprint give the same
    plan.

    `sample`: plan only so many images, chosen evenly over all of them (by digest: the same ones
    each time), and only the sources that hold them. Raises UsageError if SRC holds nothing.
    """
    sources = discover(src)
    indexed = _indexed(sources, progress)
    if sample is not None:
        indexed = iter(_sampled(indexed, sample))
    return _write(
        indexed, Plan("", src, open_place(dst).uri, fingerprint, sample, 0, ()), latest=True
    )


def make_retry_plan(
    dst: str, images: Iterable[tuple[str, int]], fingerprint: str, generation: int
) -> Plan:
    """A plan for some images of the latest plan, given as (source id, position), under the next
    generation.

    It does not become the latest plan. Images that the latest plan does not hold are passed over.
    """
    latest = load_plan(dst)
    wanted: dict[str, set[int]] = {}
    for source_id, position in images:
        wanted.setdefault(source_id, set()).add(position)
    chosen: dict[str, list[Member]] = {}
    for unit in read_units(dst, latest.id):
        positions = wanted.get(unit.source.id, set())
        chosen.setdefault(unit.source.id, []).extend(
            m for m in unit.members if m.position in positions
        )
    found = (
        (p.source, chosen[p.source.id], None) for p in latest.sources if chosen.get(p.source.id)
    )
    return _write(
        found,
        replace(latest, fingerprint=fingerprint, generation=generation, sources=()),
        latest=False,
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
        return source, list(index(source).members), None
    except DamagedArchiveError as error:
        return source, [], str(error)


def _sampled(indexed: Iterable[_Indexed], count: int) -> list[_Indexed]:
    """The `count` images with the smallest digests of where they stand; the heap keeps the largest
    of them on top.
    """
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
    return [
        (sources[i], sorted(chosen[i], key=lambda member: member.position), None)
        for i in sorted(chosen)
    ]


def _write(indexed: Iterable[_Indexed], plan: Plan, *, latest: bool) -> Plan:
    """Write the manifest of these sources; the plan with its id and totals."""
    digest = hashlib.sha256(
        json.dumps([plan.src, plan.fingerprint, plan.sample, plan.generation]).encode()
    )
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


def _totals(
    source: Source, members: Sequence[Member], units: Sequence[Unit], damaged: str | None
) -> SourcePlan:
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
    return (
        1
        if unit.source.kind == "tar.gz"
        else sum(1 for _ in coalesce(spans, COALESCE_GAP, COALESCE_LIMIT))
    )
