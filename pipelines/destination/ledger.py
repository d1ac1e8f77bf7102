"""The ledger: which units exist, which were tried, and what each of them gave.

    attempts/<unit>.<n>.json           unit was begun, for the n-th time, in some wave; created
                                       exclusively
    segments/<unit>.<n>-<token>.bin    the cleaned payloads of a unit, one behind the other
    rows/<unit>.<n>-<token>.parquet    its report rows
    commits/<unit>.json                the marker; created exclusively, and only it makes the unit
                                       exist

A crash between any two of these writes leaves objects that nothing names: the unit is simply done
again. Two writers of one unit end with one marker, which names the objects of one of them; the
other's are orphans. The token keeps writers apart even on a store that ignores exclusive creation,
where two may hold the same attempt number.

A unit that kills its process is found by its attempts: it is deadly, and the next wave takes its
halves instead (`pipelines.plan.units.parts_of`).

Costs four small requests and two writes a unit. Listing the markers is a request a thousand units.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from demoire.errors import DemoireError
from pipelines import layout
from pipelines.destination.stored_json import read_json
from pipelines.records import REPORT_SCHEMA, Unit
from pipelines.rows import Outcome, rows_to_parquet
from pipelines.storage.place import Entry, Place

# Ray starts a unit a second time in one wave only if the process died of the first, or with it; the
# driver's own death leaves one attempt a wave. That may be the unit's fault as well (it took all
# memory), but only repetition says so.
DEATHS_IN_A_WAVE = 2
ATTEMPTS_IN_ALL = 5


class Payload(NamedTuple):
    """Where a cleaned payload lies in its segment. A list in JSON: a marker holds up to 32."""

    position: int  # of the member in its source
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """A unit's marker."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    unit_id: str
    source_id: str
    attempt: int
    segment: str  # name in its folder; '' where nothing was cleaned
    rows: str  # name in its folder
    payloads: tuple[Payload, ...]
    images: int
    cleaned: int
    copied: int
    quarantined: int
    megapixels: float
    reasons: dict[str, int] = field(default_factory=dict)  # of the quarantined
    committed_at: str = ""  # UTC, ISO 8601

    def to_json(self) -> bytes:
        """The marker as it is stored."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class AttemptNote:
    """What is noted when a unit is begun."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    wave: str  # names the wave, and whether it was fetched or cleaned there
    started_at: str  # UTC, ISO 8601


COMMIT_FORM = TypeAdapter(Commit)
_NOTE_FORM = TypeAdapter(AttemptNote)


class Ledger:
    """The ledger under DST. It holds nothing but the place: any number of processes may use it."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def start(self, unit: Unit, wave: str = "") -> int:
        """Note that the unit is begun, and get the number of this attempt, from 1."""
        note = json.dumps(asdict(AttemptNote(wave, _now()))).encode()
        number = 1
        while not self.place.create(layout.attempt_note(unit.id, number), note):
            number += 1
        return number

    def commit(self, unit: Unit, attempt: int, outcomes: Sequence[Outcome]) -> Commit:
        """Write segment and rows, then the marker.

        Args:
            unit: The unit.
            attempt: As `start` numbered it.
            outcomes: One for each of its members, in their order.

        Returns:
            This attempt's marker, or that of another one that came first.
        """
        name = layout.attempt_name(unit.id, attempt, uuid4().hex[:8])
        payloads, segment = _join(outcomes)
        segment_name = f"{name}.bin" if segment else ""
        rows_name = f"{name}.parquet"
        if segment:
            self.place.write(f"{layout.SEGMENTS}/{segment_name}", segment)
        rows = rows_to_parquet([outcome.row for outcome in outcomes])
        self.place.write(f"{layout.ROWS}/{rows_name}", rows)
        commit = replace(
            _counted(unit, attempt, outcomes),
            segment=segment_name,
            rows=rows_name,
            payloads=payloads,
            committed_at=_now(),
        )
        if self.place.create(layout.commit_marker(unit.id), commit.to_json()):
            return commit
        return self.read(unit.id)

    def has(self, unit_id: str) -> bool:
        """Whether the unit is committed."""
        return self.place.exists(layout.commit_marker(unit_id))

    def read(self, unit_id: str) -> Commit:
        """The marker of a committed unit.

        Raises:
            StorageError: There is none.
            UsageError: It is damaged or of another version.
        """
        return read_json(self.place, layout.commit_marker(unit_id), COMMIT_FORM)

    def committed(self) -> set[str]:
        """The ids of all committed units."""
        return {layout.unit_id_of(entry.name) for entry in self.commits()}

    def commits(self) -> Iterator[Entry]:
        """All markers, as the listing gives them."""
        return self.place.list(layout.COMMIT_MARKERS)

    def rows(self, commit: Commit) -> pa.Table:
        """The report rows of a committed unit, in the order of its members."""
        with self.place.open(f"{layout.ROWS}/{commit.rows}") as file:
            return pq.read_table(file, schema=REPORT_SCHEMA)

    def segment(self, commit: Commit) -> bytes:
        """The cleaned payloads of a committed unit, one behind the other."""
        return self.place.read(f"{layout.SEGMENTS}/{commit.segment}")

    def damaged(self, commit: Commit) -> DemoireError:
        """The error for a segment whose bytes are not the ones that were committed."""
        segment = self.place.full(f"{layout.SEGMENTS}/{commit.segment}")
        marker = self.place.full(layout.commit_marker(commit.unit_id))
        return DemoireError(
            f"{segment} is damaged: delete {marker} and run the same command again."
        )

    def deadly(self, committed: AbstractSet[str]) -> set[str]:
        """The ids of the units that keep killing their process, without those committed by now."""
        entries = self.place.list(layout.ATTEMPT_NOTES)
        attempts = Counter(layout.unit_id_of(entry.name) for entry in entries)
        deadly = set()
        for unit_id, count in attempts.items():
            # A first attempt says nothing, and costs no read of its note.
            if count > 1 and unit_id not in committed and self._is_deadly(unit_id, count):
                deadly.add(unit_id)
        return deadly

    def _is_deadly(self, unit_id: str, attempts: int) -> bool:
        if attempts >= ATTEMPTS_IN_ALL:
            return True
        waves: Counter[str] = Counter()
        for number in range(1, attempts + 1):
            note = read_json(self.place, layout.attempt_note(unit_id, number), _NOTE_FORM)
            waves[note.wave] += 1
        return max(waves.values()) >= DEATHS_IN_A_WAVE


def _join(outcomes: Sequence[Outcome]) -> tuple[tuple[Payload, ...], bytes]:
    """The cleaned files one behind the other, and where each of them lies."""
    payloads = []
    parts = []
    offset = 0
    for outcome in outcomes:
        cleaned = outcome.cleaned
        if cleaned is None:
            continue
        size = len(cleaned.data)
        payloads.append(Payload(outcome.member.position, offset, size, cleaned.sha256))
        parts.append(cleaned.data)
        offset += size
    return tuple(payloads), b"".join(parts)


def _counted(unit: Unit, attempt: int, outcomes: Sequence[Outcome]) -> Commit:
    """A marker with its counts, which names no objects yet."""
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    pixels = 0
    for outcome in outcomes:
        row = outcome.row
        statuses[row.status] += 1
        pixels += (row.width or 0) * (row.height or 0)
        if row.status == "quarantined":
            reasons[row.reason or "unknown"] += 1
    return Commit(
        unit_id=unit.id,
        source_id=unit.source.id,
        attempt=attempt,
        segment="",
        rows="",
        payloads=(),
        images=len(outcomes),
        cleaned=statuses["cleaned"],
        copied=statuses["copied"],
        quarantined=statuses["quarantined"],
        megapixels=pixels / 1e6,
        reasons=dict(reasons),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
