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
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from demoire.errors import UsageError
from pipelines import layout
from pipelines.destination.plan_rows import (
    SOURCES,
    UNITS,
    members_of,
    source_plan_of,
    source_row,
    unit_row,
)
from pipelines.destination.plans import Plan, PlanScope, SourcePlan
from pipelines.destination.stored_json import check_json, read_json
from pipelines.records import Unit
from pipelines.storage.local import local_temporary
from pipelines.storage.open import is_there
from pipelines.storage.place import Place

_UNITS_A_BATCH = 64


class NoPlanError(UsageError):
    """Nothing was planned under DST yet. Exit status 2."""


@dataclass(frozen=True)
class _StoredFacts(PlanScope):
    """The metadata of a sources table."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str = field(kw_only=True)


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
            name = self._place.full()
            if not is_there(self._place):
                raise NoPlanError(f"{name} does not exist: check the path.")
            raise NoPlanError(
                f"{name} holds no plan: run `demoire clean SRC DST` or `demoire plan` first."
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

    def day_of(self, plan: Plan) -> date | None:
        """The day (UTC) on which a plan was written, as the store knows it."""
        entry = self._place.stat(layout.sources_table(plan.id))
        return None if entry is None else datetime.fromtimestamp(entry.mtime, UTC).date()

    def units(self, plan: Plan) -> Iterator[Unit]:
        """The units of a plan in order, a batch in memory at a time."""
        with self._place.open(layout.units_table(plan.id)) as file:
            for batch in pq.ParquetFile(file).iter_batches(_UNITS_A_BATCH):
                for row in batch.to_pylist():
                    source = plan.sources[row["source"]].source
                    members = members_of(row["members"])
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
            with pq.ParquetWriter(units_file, UNITS, compression="zstd") as writer:
                rows: list[dict[str, Any]] = []
                for source_plan, units in planned:
                    digest.add(source_plan, units)
                    rows += [unit_row(unit, len(sources)) for unit in units]
                    sources.append(source_plan)
                    if len(rows) >= _UNITS_A_BATCH:
                        writer.write_table(pa.Table.from_pylist(rows, UNITS))
                        rows = []
                writer.write_table(pa.Table.from_pylist(rows, UNITS))
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
            table = pq.read_table(file, schema=SOURCES)
            metadata = pq.read_schema(file).metadata
        facts = check_json(metadata[b"demoire.plan"], self._place.full(path), _FACTS_FORM)
        sources = tuple(source_plan_of(row) for row in table.to_pylist())
        return Plan(**asdict(facts), sources=sources)


class _PlanDigest:
    """The id of a plan, as its sources come: a digest of facts by name, in canonical JSON."""

    def __init__(self, scope: PlanScope) -> None:
        self._digest = hashlib.sha256()
        self._add(_facts_of(scope))

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


def _facts_of(scope: PlanScope) -> dict[str, Any]:
    """The scope by the names of its fields, for the plan's id and beside its sources."""
    facts = asdict(scope)
    if not scope.also:
        del facts["also"]  # plans of one SRC keep the ids that they always had
    if not scope.rewrite:
        del facts["rewrite"]  # and so do those that only add to files
    return facts


def _write_sources(file: Path, plan: Plan) -> None:
    rows = [source_row(planned) for planned in plan.sources]
    facts = {"id": plan.id, **_facts_of(plan.scope)}
    schema = SOURCES.with_metadata({"demoire.plan": json.dumps(facts)})
    pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")
