"""The plan: sources -> units, written down as a manifest.

The id of a unit is a digest of what goes in (source version, members, ranges, config fingerprint),
so planning the same collection twice gives the same ids, and whatever is committed already is known
by them.

Sources are indexed by a few threads and written in order as they come: memory holds the members of
about ten sources and one row a source. Planning costs the index (see `pipelines.sources.read`) and
two small writes.
"""

import hashlib
import heapq
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from demoire.progress import Progress, in_silence
from pipelines.destination.destination import Destination
from pipelines.destination.foreign import check_free
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.layout import image_id
from pipelines.plan.units import plan_members
from pipelines.plan.withholding import Withholding, check_reserved
from pipelines.records import Member, Source, Unit
from pipelines.sources.coalesce import COALESCE_GAP, COALESCE_LIMIT, coalesce
from pipelines.sources.formats.pages import end_idle_readers, read_together
from pipelines.sources.given import discover_given
from pipelines.sources.index import SourceIndex, index
from pipelines.sources.inner_positions import is_inner, reading_order
from pipelines.sources.members import DamagedArchiveError, whole_archive, withheld_member
from pipelines.sources.not_looked_into import count_not_looked_into

# An index waits for storage more than it computes.
_INDEXERS = min(16, 2 * (os.cpu_count() or 1) + 2)


def make_plan(
    destination: Destination,
    scope: PlanScope,
    progress: Progress = in_silence,
    *,
    merge: bool = False,
    office: bool = False,
) -> Plan:
    """Discover, index and write the manifest; it becomes the latest plan.

    The same collection and configuration give the same plan.

    Args:
        destination: Where the manifest goes.
        scope: What to plan. With `sample` set only so many images, chosen evenly over all of them
            (by digest: the same ones each time), and only the sources that hold them.
        progress: Called as ("plan", sources indexed, sources).
        merge: Whether DST may hold what this program did not write. It is never replaced.
        office: Whether office documents are looked into; the scope's fingerprint says so, too.

    Raises:
        UsageError: SRC holds nothing, or a folder where DST has its notes, or DST holds something
            of somebody else's.
        SourceChangedError: A source changed between being listed and being indexed.
    """
    sources = discover_given(scope.src, scope.also)
    check_reserved(sources)
    check_free(destination, scope, sources, merge=merge)
    withholding = Withholding(destination.place, sources)
    indexed = _indexed(sources, withholding, progress, office=office)
    if scope.sample is not None:
        indexed = iter(_sampled(indexed, scope.sample))
    plan = destination.manifests.write(scope, _planned(indexed, scope))
    destination.manifests.make_latest(plan)
    return plan


def make_retry_plan(
    destination: Destination,
    images: Iterable[tuple[str, int]],
    fingerprint: str,
    generation: int,
    *,
    rewrite: bool = False,
) -> Plan:
    """A plan for some images of the latest plan, under the next generation.

    It does not become the latest plan. Images that the latest plan does not hold are passed over.

    Args:
        destination: What holds the latest plan.
        images: (source id, position) of each.
        fingerprint: Of the configuration that the retry cleans by.
        generation: One more than that of any retry before.
        rewrite: Whether files that could be added to are written anew.
    """
    latest = destination.manifests.latest()
    wanted: dict[str, set[int]] = {}
    for source_id, position in images:
        wanted.setdefault(source_id, set()).add(position)
    chosen: dict[str, list[Member]] = {}
    for unit in destination.manifests.units(latest):
        positions = wanted.get(unit.source.id, set())
        members = chosen.setdefault(unit.source.id, [])
        members.extend(member for member in unit.members if member.position in positions)
    indexed = []
    for planned in latest.sources:
        members = chosen.get(planned.source.id, [])
        if members:
            indexed.append(_Indexed(SourceIndex(planned.source, tuple(members))))
    scope = PlanScope(latest.src, fingerprint, latest.sample, generation, latest.also, rewrite)
    return destination.manifests.write(scope, _planned(indexed, scope))


@dataclass(frozen=True)
class _Indexed:
    """A source with what is in it, which is nothing where the archive is damaged."""

    contents: SourceIndex
    damage: str | None = None  # why the archive cannot be indexed
    objects: int = 1  # that were listed: an archive, or what lies in a folder


def _indexed(
    sources: Sequence[Source], withholding: Withholding, progress: Progress, *, office: bool
) -> Iterator[_Indexed]:
    """Each source with its members, in order; a few ahead are being indexed."""
    waiting: deque[Future[_Indexed]] = deque()
    coming = iter(sources)
    pool = ThreadPoolExecutor(_INDEXERS, thread_name_prefix="index")
    is_stopped = False
    try:
        for source in coming:
            waiting.append(pool.submit(_index_one, source, office=office))
            if len(waiting) == _INDEXERS:
                break
        for done in range(1, len(sources) + 1):
            indexed = waiting.popleft().result()
            following = next(coming, None)
            if following is not None:
                waiting.append(pool.submit(_index_one, following, office=office))
            yield _withheld(indexed, withholding)
            progress("plan", done, len(sources))
    except (KeyboardInterrupt, GeneratorExit):
        # To index a large compressed tar takes an hour, and the run is to stop.
        is_stopped = True
        raise
    finally:
        pool.shutdown(wait=not is_stopped, cancel_futures=True)
        end_idle_readers()


def _index_one(source: Source, *, office: bool) -> _Indexed:
    try:
        contents = index(source, office=office)
        return _Indexed(contents, objects=_objects_in(contents))
    except DamagedArchiveError as error:
        return _Indexed(SourceIndex(source, ()), str(error))


def _objects_in(contents: SourceIndex) -> int:
    """How many objects of SRC a source is; a page is none of its own."""
    if contents.source.kind != "folder":
        return 1
    return sum(1 for member in contents.members if not is_inner(member.position))


def _withheld(indexed: _Indexed, withholding: Withholding) -> _Indexed:
    """A source with those members, or that archive, as withheld that DST cannot hold."""
    source = indexed.contents.source
    if source.kind == "folder":
        members = withholding.applied_to(source, indexed.contents.members)
        return replace(indexed, contents=SourceIndex(source, tuple(members)))
    reason = withholding.of_archive(source)
    if reason is None:
        return indexed
    whole = withheld_member(whole_archive(source, "other"), reason)
    return _Indexed(SourceIndex(source, (whole,)))


def _sampled(indexed: Iterable[_Indexed], count: int) -> list[_Indexed]:
    """The `count` images with the smallest digests of their ids, in their sources, and what is
    withheld of these.

    The heap keeps the largest of them on top, so memory holds no more than `count` images.
    """
    heap: list[tuple[int, int, Member]] = []
    sources: list[_Indexed] = []
    for one in indexed:
        source = one.contents.source
        for member in one.contents.images:
            name = image_id(source.id, member.position)
            digest = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
            ranked = (-digest, len(sources), member)
            if len(heap) < count:
                heapq.heappush(heap, ranked)
            else:
                heapq.heappushpop(heap, ranked)
        sources.append(replace(one, contents=SourceIndex(source, one.contents.withheld)))
    chosen: dict[int, list[Member]] = {}
    for _, number, member in heap:
        chosen.setdefault(number, []).append(member)
    sampled = []
    for number in sorted(chosen):
        withheld = sources[number].contents
        members = sorted(chosen[number], key=lambda member: reading_order(member.position))
        contents = SourceIndex(withheld.source, (*members, *withheld.members))
        sampled.append(replace(sources[number], contents=contents))
    return sampled


def _planned(
    indexed: Iterable[_Indexed], scope: PlanScope
) -> Iterator[tuple[SourcePlan, Sequence[Unit]]]:
    """Each source's totals and its units."""
    for one in indexed:
        contents = one.contents
        units = plan_members(contents.source, contents.members, scope.fingerprint, scope.generation)
        totals = _totals(contents, units)
        yield replace(totals, damaged=one.damage, objects=one.objects), units


def _totals(contents: SourceIndex, units: Sequence[Unit]) -> SourcePlan:
    return SourcePlan(
        source=contents.source,
        images=sum(len(unit.members) for unit in units),
        unsafe=len(contents.unsafe),
        others=len(contents.others),
        units=len(units),
        megapixels=sum(unit.megapixels for unit in units),
        bytes=sum(unit.bytes for unit in units),
        reads=sum(_reads(unit) for unit in units),
        unsafe_members=contents.unsafe,
        withheld=contents.withheld,
        not_looked_into=dict(count_not_looked_into(contents.source, contents.members)),
    )


def _reads(unit: Unit) -> int:
    """Ranged reads that fetch a unit."""
    if unit.source.kind == "folder":
        return len({read_together(member) for member in unit.members})
    if unit.source.is_stream:
        return 1
    spans = []
    for member in unit.members:
        read = member.file or member
        spans.append((read.offset, read.length))
    return sum(1 for _ in coalesce(spans, COALESCE_GAP, COALESCE_LIMIT))
