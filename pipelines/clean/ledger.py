"""The ledger: which units exist, which were tried, and what each of them gave.

    DST/_demoire/attempts/<unit>.<n>.json       unit was begun, for the n-th time, in some wave; created exclusively
    DST/_demoire/segments/<unit>.<n>-<t>.bin    the cleaned payloads of a unit, one behind the other
    DST/_demoire/rows/<unit>.<n>-<t>.parquet    its report rows
    DST/_demoire/commits/<unit>.json            the marker; created exclusively, and only it makes the unit exist

A crash between any two of these writes leaves objects that nothing names: the unit is simply done
again. Two writers of one unit end with one marker, which names the objects of one of them; the
other's are orphans. The token `t` keeps writers apart even on a store that ignores exclusive
creation, where two may hold the same attempt number.

A unit that kills its process is found by its attempts and halved (`pieces`): the halves are units
with ids of their own that follow from the whole's, so nothing about the split has to be written
down.

Costs four small requests and two writes a unit. Listing the markers is a request a thousand units.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, astuple, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from demoire.errors import DemoireError
from pipelines.layout import BOOKKEEPING
from pipelines.records import REPORT_SCHEMA, Unit
from pipelines.rows import Outcome, rows_to_parquet
from pipelines.storage.open import open_place
from pipelines.storage.place import Entry, Place

ATTEMPTS, SEGMENTS, ROWS, COMMITS = (
    f"{BOOKKEEPING}/{name}" for name in ("attempts", "segments", "rows", "commits")
)

# Ray starts a unit a second time in one wave only if the process died of the first, or with it; the
# driver's own death leaves one attempt a wave. That may be the unit's fault as well (it took all
# memory), but only repetition says so.
DEATHS_IN_A_WAVE, ATTEMPTS_IN_ALL = 2, 5


@dataclass(frozen=True)
class Payload:
    """Where a cleaned payload lies in its segment."""

    position: int  # of the member in its source
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """A unit's marker. `segment` is '' where nothing was cleaned."""

    unit_id: str
    source_id: str
    attempt: int
    segment: str
    rows: str
    payloads: tuple[Payload, ...]
    images: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    reasons: dict[str, int] = field(default_factory=dict)  # of the quarantined
    committed_at: str = ""  # UTC, ISO 8601

    @staticmethod
    def from_json(data: bytes) -> "Commit":
        facts = json.loads(data)
        return Commit(
            **{**facts, "payloads": tuple(Payload(*values) for values in facts["payloads"])}
        )

    def to_json(self) -> bytes:
        return json.dumps(
            {**asdict(self), "payloads": [astuple(payload) for payload in self.payloads]}
        ).encode()


class Ledger:
    """The ledger under DST. Holds nothing but the place: any number of processes may use it at
    once.
    """

    def __init__(self, dst: str) -> None:
        self.dst = dst

    @cached_property
    def place(self) -> Place:
        return open_place(self.dst)

    def start(self, unit: Unit, wave: str = "") -> int:
        """Note that the unit is begun, and get the number of this attempt, from 1."""
        attempt = 1
        note = json.dumps({"wave": wave, "started_at": _now()}).encode()
        while not self.place.create(f"{ATTEMPTS}/{unit.id}.{attempt}.json", note):
            attempt += 1
        return attempt

    def commit(self, unit: Unit, attempt: int, outcomes: Sequence[Outcome]) -> Commit:
        """Write segment and rows, then the marker: this attempt's, or that of another one that came
        first.
        """
        name = f"{unit.id}.{attempt}-{uuid4().hex[:8]}"
        payloads, segment = _segment(outcomes)
        if segment:
            self.place.write(f"{SEGMENTS}/{name}.bin", segment)
        self.place.write(
            f"{ROWS}/{name}.parquet", rows_to_parquet([outcome.row for outcome in outcomes])
        )
        statuses = Counter(outcome.row.status for outcome in outcomes)
        commit = Commit(
            unit_id=unit.id,
            source_id=unit.source.id,
            attempt=attempt,
            segment=f"{name}.bin" if segment else "",
            rows=f"{name}.parquet",
            payloads=payloads,
            images=len(outcomes),
            cleaned=statuses["cleaned"],
            copied=statuses["copied"],
            quarantined=statuses["quarantined"],
            megapixels=sum((o.row.width or 0) * (o.row.height or 0) for o in outcomes) / 1e6,
            reasons=dict(
                Counter(
                    o.row.reason or "unknown" for o in outcomes if o.row.status == "quarantined"
                )
            ),
            committed_at=_now(),
        )
        if self.place.create(f"{COMMITS}/{unit.id}.json", commit.to_json()):
            return commit
        return self.read(unit.id)

    def has(self, unit_id: str) -> bool:
        return self.place.exists(f"{COMMITS}/{unit_id}.json")

    def read(self, unit_id: str) -> Commit:
        """The marker of a committed unit. Raises StorageError if there is none."""
        return Commit.from_json(self.place.read(f"{COMMITS}/{unit_id}.json"))

    def committed(self) -> set[str]:
        """The ids of all committed units."""
        return {_unit_of(entry) for entry in self.commits()}

    def commits(self) -> Iterator[Entry]:
        return self.place.list(COMMITS)

    def rows(self, commit: Commit) -> pa.Table:
        """The report rows of a committed unit, in the order of its members."""
        with self.place.open(f"{ROWS}/{commit.rows}") as file:
            return pq.read_table(file, schema=REPORT_SCHEMA)

    def segment(self, commit: Commit) -> bytes:
        """The cleaned payloads of a committed unit, one behind the other."""
        return self.place.read(f"{SEGMENTS}/{commit.segment}")

    def damaged(self, commit: Commit) -> DemoireError:
        """The error for a segment whose bytes are not the ones that were committed."""
        segment, marker = f"{SEGMENTS}/{commit.segment}", f"{COMMITS}/{commit.unit_id}.json"
        return DemoireError(
            f"{self.place.full(segment)} is damaged: delete {self.place.full(marker)} and run the same command again."
        )

    def poisonous(self, committed: AbstractSet[str]) -> set[str]:
        """The ids of the units that keep dying, apart from those that are committed by now."""
        counts = Counter(_unit_of(entry) for entry in self.place.list(ATTEMPTS))
        tried = {
            unit_id: count
            for unit_id, count in counts.items()
            if count > 1 and unit_id not in committed
        }
        return {unit_id for unit_id, count in tried.items() if self._is_poisonous(unit_id, count)}

    def _is_poisonous(self, unit_id: str, count: int) -> bool:
        if count >= ATTEMPTS_IN_ALL:
            return True
        notes = (self.place.read(f"{ATTEMPTS}/{unit_id}.{n}.json") for n in range(1, count + 1))
        waves = Counter(json.loads(note)["wave"] for note in notes)
        return max(waves.values()) >= DEATHS_IN_A_WAVE


def _segment(outcomes: Sequence[Outcome]) -> tuple[tuple[Payload, ...], bytes]:
    payloads, parts, offset = [], [], 0
    for outcome in outcomes:
        if outcome.payload is not None:
            digest = hashlib.sha256(outcome.payload).hexdigest()
            payloads.append(Payload(outcome.member.position, offset, len(outcome.payload), digest))
            parts.append(outcome.payload)
            offset += len(outcome.payload)
    return tuple(payloads), b"".join(parts)


def _unit_of(entry: Entry) -> str:
    return entry.name.partition(".")[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
