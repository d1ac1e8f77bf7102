"""The ledger: which units exist, which were tried, and what each of them gave.

    attempts/<unit>.<n>.json           unit was begun, for the n-th time, in some wave; created
                                       exclusively
    segments/<unit>.<n>-<token>.bin    the cleaned payloads of a unit, one behind the other
    rows/<unit>.<n>-<token>.parquet    its report rows
    commits/<unit>.json                the marker; created exclusively, and only it makes the unit
                                       exist
    bundles/<bundle>.json              the same for a bundle of small units: its attempts, segment
                                       and rows are shared, under the bundle's id

A crash between any two of these writes leaves objects that nothing names: the unit is simply done
again. Two writers of one unit end with one marker, which names the objects of one of them; the
other's are orphans. The token keeps writers apart even on a store that ignores exclusive creation,
where two may hold the same attempt number.

A unit that kills its process is found by its attempts: it is deadly, and the next wave takes its
halves instead (`pipelines.plan.units.parts_of`).

Costs four small requests and two writes, side by side, a unit or bundle. Listing the markers is a
request a thousand units; each bundle's is read once a process.
"""

import json
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from demoire.errors import DemoireError
from demoire.file_bytes import FileBytes, one_behind_the_other
from pipelines import layout
from pipelines.destination.bundles import BundleMarkers
from pipelines.destination.commits import COMMIT_FORM, Commit, Payload
from pipelines.destination.stored_json import read_json
from pipelines.records import REPORT_SCHEMA, Bundle, Unit
from pipelines.rows import Outcome, rows_to_parquet
from pipelines.storage.place import Place, read_object, write_side_by_side

# Ray starts a unit a second time in one wave only if the process died of the first, or with it; the
# driver's own death leaves one attempt a wave. That may be the unit's fault as well (it took all
# memory), but only repetition says so.
DEATHS_IN_A_WAVE = 2
ATTEMPTS_IN_ALL = 5


@dataclass(frozen=True)
class AttemptNote:
    """What is noted when a unit is begun."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    wave: str  # names the wave, and whether it was fetched or cleaned there
    started_at: str  # UTC, ISO 8601


_NOTE_FORM = TypeAdapter(AttemptNote)


class Ledger:
    """The ledger under DST. Any number of processes may use it, each through one of its own.

    Attributes:
        place: DST.
        bundles: The markers of bundles, as far as this process has read them.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.bundles = BundleMarkers(place)
        self._bundled_rows: dict[str, pa.Table] = {}  # of the bundle that was read last, by name

    def start(self, unit: Unit | Bundle, wave: str = "") -> int:
        """Note that the unit or bundle is begun, and get the number of this attempt, from 1."""
        note = json.dumps(asdict(AttemptNote(wave, _now()))).encode()
        number = 1
        name = _tried_as(unit)
        while not self.place.create(layout.attempt_note(name, number), note):
            number += 1
        return number

    def attempts_in(self, unit: Unit | Bundle, wave: str, attempts: int) -> int:
        """How many of a unit's or bundle's attempts were begun in a wave.

        Args:
            unit: The unit or bundle.
            wave: As `start` was told.
            attempts: The number of the latest.
        """
        return _waves_of(self.place, _tried_as(unit), attempts)[wave]

    def commit(self, unit: Unit, attempt: int, outcomes: Sequence[Outcome]) -> Commit:
        """Write segment and rows, then the marker.

        Args:
            unit: The unit.
            attempt: As `start` numbered it.
            outcomes: One for each of its members, in their order.

        Returns:
            This attempt's marker, or that of another one that came first.
        """
        (commit,) = _write(self.place, unit.id, attempt, [(unit, outcomes)])
        if self.place.create(layout.commit_marker(unit.id), commit.to_json()):
            return commit
        return self.read(unit.id)

    def commit_bundle(
        self, bundle: Bundle, attempt: int, outcomes: Sequence[Sequence[Outcome]]
    ) -> tuple[Commit, ...]:
        """Write one segment and one table of rows, then the marker that commits all units at once.

        Args:
            bundle: The units.
            attempt: As `start` numbered it.
            outcomes: Of each unit one for each of its members, in their order.

        Returns:
            What this attempt's marker says of each unit, or that of another that came first.
        """
        units = list(zip(bundle.units, outcomes, strict=True))
        commits = _write(self.place, bundle.id, attempt, units)
        if self.bundles.create(bundle.id, commits):
            return commits
        return self.bundles.read(bundle.id)

    def has(self, unit_id: str) -> bool:
        """Whether the unit is known to be committed, at the price of one request.

        Of bundles it knows those that this process has read.
        """
        is_bundled = self.bundles.bundle_of(unit_id) is not None
        return is_bundled or self.place.exists(layout.commit_marker(unit_id))

    def read(self, unit_id: str) -> Commit:
        """What the marker of a committed unit says, or that of its bundle.

        Raises:
            StorageError: There is none.
            UsageError: It is damaged or of another version.
        """
        bundle_id = self.bundles.bundle_of(unit_id)
        if bundle_id is not None:
            return self.bundles.commit_of(bundle_id, unit_id)
        return read_json(self.place, layout.commit_marker(unit_id), COMMIT_FORM)

    def find(self, unit_id: str, *, look: bool = True) -> Commit | None:
        """A unit's commit by its marker or any bundle's; `look`: list those that are not known."""
        is_committed = self.has(unit_id)
        if look and not is_committed:
            self.bundles.refresh()
            is_committed = self.bundles.bundle_of(unit_id) is not None
        return self.read(unit_id) if is_committed else None

    def committed(self) -> set[str]:
        """The ids of all committed units."""
        return set(self.times())

    def times(self) -> dict[str, float]:
        """When each committed unit's marker was written, in seconds since 1970."""
        times = self.bundles.refresh()
        for entry in self.place.list(layout.COMMIT_MARKERS):
            times[layout.unit_id_of(entry.name)] = entry.mtime
        return times

    def rows(self, commit: Commit) -> pa.Table:
        """The report rows of a committed unit, in the order of its members."""
        if not _is_bundled(commit):
            return _read_rows(self.place, commit.rows)
        if commit.rows not in self._bundled_rows:
            self._bundled_rows = {commit.rows: _read_rows(self.place, commit.rows)}
        table = self._bundled_rows[commit.rows]
        return table.filter(pc.equal(table["unit_id"], commit.unit_id))

    def segment(self, commit: Commit) -> FileBytes:
        """The cleaned payloads of a committed unit, one behind the other."""
        start = commit.segment_start
        length = sum(payload.length for payload in commit.payloads)
        return read_object(self.place, f"{layout.SEGMENTS}/{commit.segment}", start, length)

    def damaged(self, commit: Commit) -> DemoireError:
        """The error for a segment whose bytes are not the ones that were committed."""
        segment = self.place.full(f"{layout.SEGMENTS}/{commit.segment}")
        marker = self.place.full(layout.commit_marker(commit.unit_id))
        if _is_bundled(commit):
            marker = self.place.full(layout.bundle_marker(layout.unit_id_of(commit.rows)))
        return DemoireError(
            f"{segment} is damaged: delete {marker} and run the same command again."
        )

    def deadly(self, committed: AbstractSet[str]) -> set[str]:
        """The ids of the units and bundles that keep killing their process, without those
        committed by now.
        """
        entries = self.place.list(layout.ATTEMPT_NOTES)
        attempts = Counter(layout.unit_id_of(entry.name) for entry in entries)
        deadly = set()
        for unit_id, count in attempts.items():
            # A first attempt says nothing, and costs no read of its note.
            if count == 1 or unit_id in committed or self.bundles.knows(unit_id):
                continue
            if self._is_deadly(unit_id, count):
                deadly.add(unit_id)
        return deadly

    def _is_deadly(self, unit_id: str, attempts: int) -> bool:
        if attempts >= ATTEMPTS_IN_ALL:
            return True
        return max(_waves_of(self.place, unit_id, attempts).values()) >= DEATHS_IN_A_WAVE


def _waves_of(place: Place, name: str, attempts: int) -> Counter[str]:
    """How many of a unit's or bundle's attempts were begun in each wave."""
    waves: Counter[str] = Counter()
    for number in range(1, attempts + 1):
        note = read_json(place, layout.attempt_note(name, number), _NOTE_FORM)
        waves[note.wave] += 1
    return waves


def _tried_as(unit: Unit | Bundle) -> str:
    """The name under which attempts are noted."""
    if isinstance(unit, Bundle):
        return unit.tried_as or unit.id
    return unit.id


def _write(
    place: Place, name: str, attempt: int, units: Sequence[tuple[Unit, Sequence[Outcome]]]
) -> tuple[Commit, ...]:
    """Write segment and rows of these units under one name; what is to be committed of each."""
    name = layout.attempt_name(name, attempt, uuid4().hex[:8])
    rows_name = f"{name}.parquet"
    files: list[FileBytes] = []
    size = 0
    rows = []
    commits = []
    for unit, outcomes in units:
        files += [outcome.cleaned.data for outcome in outcomes if outcome.cleaned is not None]
        payloads = _placed(outcomes, size)
        length = sum(payload.length for payload in payloads)
        size += length
        rows += [outcome.row for outcome in outcomes]
        commit = replace(
            _counted(unit, attempt, outcomes),
            segment=f"{name}.bin" if length else "",
            rows=rows_name,
            payloads=payloads,
            committed_at=_now(),
        )
        commits.append(commit)
    objects: dict[str, FileBytes] = {}
    if size:
        objects[f"{layout.SEGMENTS}/{name}.bin"] = one_behind_the_other(files)
    objects[f"{layout.ROWS}/{rows_name}"] = rows_to_parquet(rows)
    write_side_by_side(place, objects)
    return tuple(commits)


def _read_rows(place: Place, name: str) -> pa.Table:
    with place.open(f"{layout.ROWS}/{name}") as file:
        return pq.read_table(file, schema=REPORT_SCHEMA)


def _is_bundled(commit: Commit) -> bool:
    """Whether a unit shares its segment and rows, which are named after its bundle then."""
    return layout.unit_id_of(commit.rows) != commit.unit_id


def _placed(outcomes: Sequence[Outcome], offset: int) -> tuple[Payload, ...]:
    """Where each of the cleaned files lies in a segment that has them from `offset` on."""
    payloads = []
    for outcome in outcomes:
        cleaned = outcome.cleaned
        if cleaned is None:
            continue
        size = len(cleaned.data)
        payloads.append(Payload(outcome.member.position, offset, size, cleaned.sha256))
        offset += size
    return tuple(payloads)


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
