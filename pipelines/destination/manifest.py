"""The plans under DST, as Parquet: `<plan>.parquet` with a row a unit, `<plan>.sources.parquet`
with a row a source, and `latest.json`, which names the last plan.

Names are binary, because a member's name need not be UTF-8. A plan never changes once it is
written, so one that was loaded is kept: a run loads it once. Units are read a batch at a time;
memory holds one batch and a row a source.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from demoire.errors import UsageError
from pipelines import layout
from pipelines.destination.stored_json import check_json, read_json
from pipelines.records import Member, Source, Unit
from pipelines.storage.local import local_temporary
from pipelines.storage.place import Place

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
        ("unsafe_members", pa.list_(_MEMBER)),  # null in plans of versions before 0.2
    ]
)


class NoPlanError(UsageError):
    """Nothing was planned under DST yet. Exit status 2."""


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
    # Why the archive cannot be indexed: it is copied as it is, and has one row.
    damaged: str | None = None
    unsafe_members: tuple[Member, ...] = ()  # those counted by `unsafe`, for their rows

    @property
    def knows_unsafe(self) -> bool:
        """Whether the unsafe members are at hand; before version 0.2 they were only counted."""
        return len(self.unsafe_members) == self.unsafe

    @property
    def rows(self) -> int:
        """Rows that its report has to have."""
        if self.damaged is not None:
            return self.images + self.unsafe + 1
        return self.images + self.unsafe


@dataclass(frozen=True)
class PlanScope:
    """What a plan is made for. Generation 0 is a run over everything; retries have higher ones."""

    src: str
    fingerprint: str  # of the configuration
    sample: int | None = None  # so many images only
    generation: int = 0


@dataclass(frozen=True)
class Plan(PlanScope):
    """A plan with its sources; the units are read by `Manifests.units`."""

    id: str = field(kw_only=True)
    sources: tuple[SourcePlan, ...] = field(kw_only=True)

    @property
    def scope(self) -> PlanScope:
        """What the plan is made for, without the sources: small enough to travel with each task."""
        return PlanScope(self.src, self.fingerprint, self.sample, self.generation)

    @property
    def source_ids(self) -> set[str]:
        """The ids of all its sources."""
        return {planned.source.id for planned in self.sources}

    @property
    def images(self) -> int:
        """Images to be cleaned or copied."""
        return sum(planned.images for planned in self.sources)

    @property
    def rows(self) -> int:
        """Rows that the reports have to have."""
        return sum(planned.rows for planned in self.sources)

    @property
    def others(self) -> int:
        """Members that are mirrored untouched."""
        return sum(planned.others for planned in self.sources)

    @property
    def units(self) -> int:
        """Units of work."""
        return sum(planned.units for planned in self.sources)

    @property
    def megapixels(self) -> float:
        """Megapixels of the images, estimated."""
        return sum(planned.megapixels for planned in self.sources)

    @property
    def bytes(self) -> int:
        """Bytes of the images, as the sources store them."""
        return sum(planned.bytes for planned in self.sources)


@dataclass(frozen=True)
class _StoredFacts:
    """The metadata of a sources table."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    src: str
    fingerprint: str
    sample: int | None
    generation: int


@dataclass(frozen=True)
class _Latest:
    """The content of latest.json."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    plan: str


_FACTS_FORM = TypeAdapter(_StoredFacts)
_LATEST_FORM = TypeAdapter(_Latest)


class Manifests:
    """The plans under DST."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loaded: dict[str, Plan] = {}

    def find_latest(self) -> Plan | None:
        """The latest plan; None where nothing was planned yet.

        Raises:
            StorageError: DST cannot be read.
        """
        if not self._place.exists(layout.LATEST_PLAN):
            return None
        latest = read_json(self._place, layout.LATEST_PLAN, _LATEST_FORM)
        return self.load(latest.plan)

    def latest(self) -> Plan:
        """The latest plan.

        Raises:
            NoPlanError: Nothing was planned yet.
            StorageError: DST cannot be read.
        """
        plan = self.find_latest()
        if plan is None:
            raise NoPlanError(
                f"{self._place.full()} holds no plan: "
                "run `demoire clean SRC DST` or `demoire plan` first."
            )
        return plan

    def all(self) -> Iterator[Plan]:
        """Every plan that was ever written under DST, in no order."""
        for entry in self._place.list(layout.MANIFEST):
            plan_id = layout.plan_id_of(entry.name)
            if plan_id is not None:
                yield self.load(plan_id)

    def load(self, plan_id: str) -> Plan:
        """A plan by its id, read once and kept."""
        if plan_id not in self._loaded:
            self._loaded[plan_id] = self._read(plan_id)
        return self._loaded[plan_id]

    def units(self, plan: Plan) -> Iterator[Unit]:
        """The units of a plan in order, a batch in memory at a time."""
        with self._place.open(layout.units_table(plan.id)) as file:
            for batch in pq.ParquetFile(file).iter_batches(_UNITS_A_BATCH):
                for row in batch.to_pylist():
                    source = plan.sources[row["source"]].source
                    members = _members(row["members"])
                    yield Unit(row["id"], source, members, row["generation"])

    def write(self, scope: PlanScope, planned: Iterable[tuple[SourcePlan, Sequence[Unit]]]) -> Plan:
        """Write a plan's sources and units as they come; it does not become the latest by that.

        Args:
            scope: What it is made for.
            planned: Each source with its units. Consumed once; a batch of units is in memory.

        Returns:
            The plan. Its id is a digest of all that is in it, so the same collection and
            configuration give the same plan.
        """
        digest = _PlanDigest(scope)
        sources: list[SourcePlan] = []
        with local_temporary() as units_file, local_temporary() as sources_file:
            with pq.ParquetWriter(units_file, _UNITS, compression="zstd") as writer:
                rows: list[dict[str, Any]] = []
                for source_plan, units in planned:
                    digest.add(source_plan, units)
                    rows += [_unit_row(unit, len(sources)) for unit in units]
                    sources.append(source_plan)
                    if len(rows) >= _UNITS_A_BATCH:
                        writer.write_table(pa.Table.from_pylist(rows, _UNITS))
                        rows = []
                writer.write_table(pa.Table.from_pylist(rows, _UNITS))
            plan = Plan(**asdict(scope), id=digest.id, sources=tuple(sources))
            _write_sources(sources_file, plan)
            self._place.put_file(units_file, layout.units_table(plan.id))
            self._place.put_file(sources_file, layout.sources_table(plan.id))
        self._loaded[plan.id] = plan
        return plan

    def make_latest(self, plan: Plan) -> None:
        """Make a plan the one that runs, reports and retries go by."""
        self._place.write(layout.LATEST_PLAN, json.dumps({"plan": plan.id}).encode())

    def _read(self, plan_id: str) -> Plan:
        path = layout.sources_table(plan_id)
        with self._place.open(path) as file:
            table = pq.read_table(file, schema=_SOURCES)
            metadata = pq.read_schema(file).metadata
        facts = check_json(metadata[b"demoire.plan"], self._place.full(path), _FACTS_FORM)
        sources = tuple(_source_plan(row) for row in table.to_pylist())
        return Plan(**asdict(facts), sources=sources)


class _PlanDigest:
    """The id of a plan, as its sources come: a digest of facts by name, in canonical JSON."""

    def __init__(self, scope: PlanScope) -> None:
        self._digest = hashlib.sha256()
        self._add(asdict(scope))

    def add(self, planned: SourcePlan, units: Sequence[Unit]) -> None:
        """Take in one more source."""
        facts = asdict(planned.source)
        facts["rows"] = planned.rows
        facts["units"] = [unit.id for unit in units]
        self._add(facts)

    @property
    def id(self) -> str:
        return self._digest.hexdigest()[:16]

    def _add(self, facts: dict[str, Any]) -> None:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        self._digest.update(f"{text}\n".encode())


def _write_sources(file: Path, plan: Plan) -> None:
    rows = [_source_row(planned) for planned in plan.sources]
    facts = {
        "id": plan.id,
        "src": plan.src,
        "fingerprint": plan.fingerprint,
        "sample": plan.sample,
        "generation": plan.generation,
    }
    schema = _SOURCES.with_metadata({"demoire.plan": json.dumps(facts)})
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def _source_row(planned: SourcePlan) -> dict[str, Any]:
    source = planned.source
    return {
        "uri": _to_bytes(source.uri),
        "path": _to_bytes(source.path),
        "kind": source.kind,
        "version": source.version,
        "size": source.size,
        "images": planned.images,
        "unsafe": planned.unsafe,
        "others": planned.others,
        "units": planned.units,
        "megapixels": planned.megapixels,
        "bytes": planned.bytes,
        "reads": planned.reads,
        "damaged": planned.damaged,
        "unsafe_members": [_member_row(member) for member in planned.unsafe_members],
    }


def _source_plan(row: dict[str, Any]) -> SourcePlan:
    source = Source(
        uri=_to_text(row["uri"]),
        path=_to_text(row["path"]),
        kind=row["kind"],
        version=row["version"],
        size=row["size"],
    )
    return SourcePlan(
        source=source,
        images=row["images"],
        unsafe=row["unsafe"],
        others=row["others"],
        units=row["units"],
        megapixels=row["megapixels"],
        bytes=row["bytes"],
        reads=row["reads"],
        damaged=row["damaged"],
        unsafe_members=_members(row["unsafe_members"] or []),
    )


def _unit_row(unit: Unit, source: int) -> dict[str, Any]:
    return {
        "id": unit.id,
        "source": source,
        "generation": unit.generation,
        "members": [_member_row(member) for member in unit.members],
    }


def _member_row(member: Member) -> dict[str, Any]:
    return {**vars(member), "name": _to_bytes(member.name)}


def _members(rows: Iterable[dict[str, Any]]) -> tuple[Member, ...]:
    return tuple(Member(**{**row, "name": _to_text(row["name"])}) for row in rows)


def _to_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _to_text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
