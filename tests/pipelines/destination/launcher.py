"""A launcher without Ray and without models: it does with the storage what `pipelines.run` does.

It makes the same calls in the same order, by the same functions of ledger and publishing. Cleaning
is a function of an image's bytes, as it is in the real Cleaner.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pipelines.destination.destination import Destination
from pipelines.destination.plans import Plan
from pipelines.layout import position_of
from pipelines.plan.plan import make_retry_plan
from pipelines.plan.units import parts_of
from pipelines.publish.proof import prove
from pipelines.publish.publish import publish_source
from pipelines.records import Member, Unit
from pipelines.rows import CleanedFile, Outcome, UnitAttempt, quarantined
from pipelines.sources.read import read_members
from pipelines.storage.place import Place

FINGERPRINT = "config"
TRIES = 2  # of a unit in one wave: Ray starts it a second time after its worker has died
WAVES = 60  # more than any launcher needs: what takes more comes to no end

# Cleaned, none of these needs another number of a tar's blocks, so the mirror is always of one
# size: what is in it has to be right without anything being noticed by its size. 3.jpg is in
# quarantine whatever happens: a retry always has something to do.
IMAGES = {
    "0.jpg": b"moire in 0",
    "1.jpg": b"nothing in 1",
    "2.jpg": b"moire in 2",
    "3.jpg": b"damage in 3",
    "4.jpg": b"moire in 4",
}
UNSAFE_NAME = "../5.jpg"
UNSAFE_REASON = "unsafe_name"


def cleaned(data: bytes) -> bytes:
    """What cleaning makes of an image."""
    return data.replace(b"moire", b"no moire any more")


def outcome_of(member: Member, data: bytes, attempt: UnitAttempt) -> Outcome:
    """What becomes of one image; nothing but its bytes decides it."""
    outcome = quarantined(member, "truncated", attempt)
    digest = hashlib.sha256(data).hexdigest()
    row = replace(outcome.row, sha256_in=digest, sha256_out=digest)
    if data.startswith(b"damage"):
        return Outcome(member, row, None)
    if data.startswith(b"nothing"):
        return Outcome(member, replace(row, status="copied", reason=None), None)
    file = CleanedFile.of(cleaned(data))
    row = replace(
        row,
        status="cleaned",
        reason=None,
        moire_before=0.75,
        moire_after=0.25,
        bytes_out=len(file.data),
        sha256_out=file.sha256,
    )
    return Outcome(member, row, file)


def expected_of(name: str, deadly: Collection[str]) -> tuple[str, str | None]:
    """Status and reason of an image in the end."""
    if name == UNSAFE_NAME:
        return "quarantined", UNSAFE_REASON
    if name in deadly:
        return "quarantined", "native_crash"
    statuses = {b"moire": "cleaned", b"nothing": "copied"}
    status = statuses.get(IMAGES[name].partition(b" ")[0], "quarantined")
    return status, "truncated" if status == "quarantined" else None


class Death(BaseException):
    """A process ends here. No Exception: nothing may catch it on its way."""


@dataclass
class Launcher:
    """One life of a launcher.

    deadly: names of the images that kill the worker which cleans them, and where `fatal` the
    launcher with it.
    """

    dst: str
    plan: Plan  # the latest
    run_id: str
    deadly: Collection[str] = ()
    fatal: bool = False
    fingerprint: str = FINGERPRINT  # of a retry, which may be under another configuration
    unit: Unit | None = None  # in work: begun, and not yet committed

    def clean(self, place: Place) -> None:
        """`demoire clean`, once everything is planned."""
        self._work_off(Destination(place), self.plan)

    def retry(self, place: Place) -> None:
        """`demoire retry` of all that is in quarantine."""
        destination = Destination(place)
        (source_id,) = (planned.source.id for planned in self.plan.sources)
        marker = destination.markers.read(source_id)
        assert marker is not None
        columns = ["image_id", "status", "reason"]
        chosen = []
        for row in destination.reports.read(source_id, columns).to_pylist():
            if row["status"] == "quarantined" and row["reason"] != UNSAFE_REASON:
                chosen.append((source_id, position_of(row["image_id"])))
        plan = make_retry_plan(self._at_once, chosen, self.fingerprint, marker.generation + 1)
        self._work_off(destination, plan)

    @property
    def _at_once(self) -> Destination:
        """The destination by calls that nothing comes between: planning is not tested here."""
        return Destination.at(self.dst)

    def _work_off(self, destination: Destination, plan: Plan) -> None:
        (planned,) = plan.sources
        if not destination.markers.is_done(plan, planned):
            units = list(self._at_once.manifests.units(plan))
            waves = (f"{self.run_id}, wave {number}" for number in range(WAVES))
            open_units = (self._clean_next_wave(plan, units, destination, wave) for wave in waves)
            assert not all(open_units), "units stay open"
            if not destination.markers.is_done(plan, planned):
                publish_source(destination, planned, units, plan.scope)
        prove(destination, self.plan)

    def _clean_next_wave(
        self, plan: Plan, units: Sequence[Unit], destination: Destination, wave: str
    ) -> int:
        """The number of units that were open before."""
        ledger = destination.ledger
        committed = ledger.committed()
        deadly = ledger.deadly(committed)
        left: list[Unit] = []
        for unit in units:
            left.extend(parts_of(unit, plan.fingerprint, committed, deadly).open)
        for unit in left:
            if unit.id in deadly:
                number = ledger.start(unit, wave)
                attempt = UnitAttempt(unit, number, plan.fingerprint, self.run_id)
                outcomes = [quarantined(m, "native_crash", attempt) for m in unit.members]
                ledger.commit(unit, number, outcomes)
        wanted = [unit for unit in left if unit.id not in deadly]
        self._clean_wave(wanted, plan, destination, wave)
        return len(left)

    def _clean_wave(
        self, units: Sequence[Unit], plan: Plan, destination: Destination, wave: str
    ) -> None:
        """Clean these units, one after the other; a unit that kills its worker twice ends the
        wave.
        """
        for unit in units:
            if not any(self._clean_unit(unit, plan, destination, wave) for _ in range(TRIES)):
                return

    def _clean_unit(self, unit: Unit, plan: Plan, destination: Destination, wave: str) -> bool:
        """What a worker does with a unit; whether it lives on."""
        ledger = destination.ledger
        if ledger.has(unit.id):
            return True
        self.unit = unit
        number = ledger.start(unit, wave)
        if any(member.name in self.deadly for member in unit.members):
            if self.fatal:
                raise Death
            self.unit = None
            return False
        attempt = UnitAttempt(unit, number, plan.fingerprint, self.run_id)
        outcomes = []
        for member, data in read_members(unit.source, unit.members):
            assert isinstance(data, bytes)
            outcomes.append(outcome_of(member, data, attempt))
        ledger.commit(unit, number, outcomes)
        self.unit = None
        return True
